import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Option, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Activity, DurableClock, DurableDeferred, Workflow } from "effect/workflow"
import { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { answer, boot, record, type Server, state, turns, until } from "./harness.ts"

/** Ids of workflows are hashed by WebCrypto, outside of the test clock: wait for what they lead to. */
const reached = (server: Server, id: string, step: string) =>
  until(
    record(server, id),
    (found) => found?.steps.some(({ name }) => name === step) === true,
    `step ${step}`
  )

const onEngine = <A, E>(server: Server, effect: Effect.Effect<A, E, WorkflowEngine>) =>
  Effect.provideService(effect, WorkflowEngine, server.engine)

describe("stock primitives in a handler", () => {
  const once = (log: Array<string>, name: string) =>
    Activity.make({ name, success: Schema.Number, execute: Effect.sync(() => log.push(name)) })

  it.effect("Activity is not repeated, and its failures neither", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      let hang = true
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const a = yield* once(log, "a")
            const failed = yield* Effect.flip(Activity.make({
              name: "fails",
              error: Schema.String,
              execute: Effect.suspend(() => Effect.fail(`no ${log.push("fails")}`))
            }))
            if (hang) {
              return yield* Effect.never
            }
            return [a, failed, yield* once(log, "a")]
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      hang = false
      const second = yield* boot(handlers, { disk })
      // The same name twice is the same activity, by stock rules.
      assert.deepStrictEqual(yield* answer(second, stream), [1, "no 2", 1])
      assert.deepStrictEqual(log, ["a", "fails"])
    }))

  it.effect("Activity.retry counts attempts", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Activity.make({
            name: "flaky",
            success: Schema.Number,
            error: Schema.String,
            execute: Effect.flatMap(Activity.CurrentAttempt, (n) => n < 3 ? Effect.fail("no") : Effect.succeed(n))
          }).pipe(Activity.retry({ times: 5 }))
      })
      const stream = yield* server.call("tool")
      assert.strictEqual(yield* answer(server, stream), 3)
      const names = (yield* record(server, stream))?.steps.map(({ name }) => name)
      assert.deepStrictEqual(names, ["%activity/flaky", "%activity/flaky@2", "%activity/flaky@3"])
    }))

  it.effect("DurableDeferred waits in memory, parks, and is completed from outside", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const approved = DurableDeferred.make("approved", { success: Schema.String })
      const tokens: Array<DurableDeferred.Token> = []
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            tokens.push(yield* DurableDeferred.token(approved))
            return yield* DurableDeferred.await(approved)
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* TestClock.adjust("6 seconds")
      yield* until(state(first, stream), (state) => state === "waiting")
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* onEngine(second, DurableDeferred.succeed(approved, { token: tokens[0]!, value: "by Ann" }))
      assert.strictEqual(yield* answer(second, stream), "by Ann")
      assert.strictEqual(tokens.length, 2)
    }))

  it.effect("DurableDeferred.into and raceAll record the winner", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      let hang = true
      const deferred = DurableDeferred.make("into", { success: Schema.Number })
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const winner = yield* DurableDeferred.raceAll({
              name: "race",
              success: Schema.Number,
              error: Schema.Never,
              effects: [
                Effect.never as Effect.Effect<number>,
                Effect.sync(() => log.push("race"))
              ]
            })
            const into = yield* DurableDeferred.into(Effect.succeed(7), deferred)
            const awaited = yield* DurableDeferred.await(deferred)
            return hang ? yield* Effect.never : [winner, into, awaited]
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      hang = false
      const second = yield* boot(handlers, { disk })
      assert.deepStrictEqual(yield* answer(second, stream), [1, 7, 7])
      assert.deepStrictEqual(log, ["race"])
    }))

  it.effect("DurableClock sleeps to an absolute time, over a restart", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => Effect.as(DurableClock.sleep({ name: "nap", duration: "2 hours" }), "up") }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* TestClock.adjust("1 hour")
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* turns()
      yield* TestClock.adjust("59 minutes")
      yield* turns()
      assert.isUndefined((yield* record(second, stream))?.result)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* answer(second, stream), "up")
    }))

  it.effect("Workflow.withCompensation runs when the call fails, not when it parks", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const gate = DurableDeferred.make("gate")
      const tokens: Array<DurableDeferred.Token> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* once(log, "a").pipe(
              Workflow.withCompensation((value) => Effect.sync(() => log.push(`undo ${value}`)))
            )
            tokens.push(yield* DurableDeferred.token(gate))
            yield* DurableDeferred.await(gate)
            return yield* Effect.fail("no")
          })
      })
      const stream = yield* server.call("tool")
      yield* turns()
      yield* TestClock.adjust("6 seconds")
      yield* until(state(server, stream), (state) => state === "waiting")
      assert.deepStrictEqual(log, ["a"])
      yield* onEngine(server, DurableDeferred.succeed(gate, { token: tokens[0]!, value: undefined }))
      assert.deepStrictEqual(yield* answer(server, stream), { failed: "no" })
      assert.deepStrictEqual(log, ["a", "undo 1"])
    }))
})

describe("users' workflows", () => {
  class Refused extends Schema.TaggedError<Refused>("Refused")("Refused", { at: Schema.Date }) {}

  const Order = Workflow.make("Order", {
    payload: { id: Schema.String, at: Schema.Date },
    success: Schema.Struct({ at: Schema.Date, steps: Schema.Number }),
    error: Refused,
    idempotencyKey: ({ id }) => id
  })

  const orders = (log: Array<string>) =>
    Order.toLayer(({ at, id }) =>
      Effect.gen(function*() {
        const steps = yield* Durable.step("count", Effect.sync(() => log.push("count")))
        if (id === "bad") {
          return yield* new Refused({ at })
        }
        yield* Durable.sleep("cool-off", "1 hour")
        return { at, steps }
      })
    )

  const at = new Date(7)

  it.effect("run on the same store, survive a restart, and give decoded results", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const first = yield* boot({}, { disk, workflows: orders(log) })
      const id = yield* onEngine(first, Order.execute({ id: "1", at }, { discard: true }))
      yield* reached(first, id, "cool-off")
      yield* first.kill
      const second = yield* boot({}, { disk, workflows: orders(log) })
      yield* turns()
      const waiting = yield* Effect.forkChild(onEngine(second, Order.execute({ id: "1", at })))
      yield* TestClock.adjust("1 hour")
      const result = yield* Fiber.join(waiting)
      assert.strictEqual(result.at.getTime(), 7)
      assert.deepStrictEqual(log, ["count"])
      const polled = yield* onEngine(second, Order.poll(id))
      assert.isTrue(Option.isSome(polled) && polled.value._tag === "Complete")
    }))

  it.effect("fail with their typed errors", () =>
    Effect.gen(function*() {
      const server = yield* boot({}, { workflows: orders([]) })
      const error = yield* Effect.flip(onEngine(server, Order.execute({ id: "bad", at })))
      assert.isTrue(error instanceof Refused && error.at.getTime() === 7)
    }))

  it.effect("interrupt: safe where it waits, with its compensations", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const Job = Workflow.make("Job", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
      const server = yield* boot({}, {
        workflows: Job.toLayer(() =>
          Effect.gen(function*() {
            yield* Durable.step("a", Effect.void, { compensate: () => Effect.sync(() => log.push("undo a")) })
            yield* Durable.sleep("long", "1 day")
          })
        )
      })
      const id = yield* onEngine(server, Job.execute({ id: "1" }, { discard: true }))
      yield* reached(server, id, "long")
      yield* TestClock.adjust("6 seconds")
      yield* until(state(server, id), (state) => state === "waiting")
      yield* onEngine(server, Job.interrupt(id))
      yield* until(state(server, id), (state) => state === "completed")
      const result = Option.getOrThrow(yield* onEngine(server, Job.poll(id)))
      assert.isTrue(
        result._tag === "Complete" && Exit.isFailure(result.exit) && Cause.hasInterruptsOnly(result.exit.cause)
      )
      assert.deepStrictEqual(log, ["undo a"])
    }))

  it.effect("interrupt: safe undoes also what another fiber comes to after the one that waits", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const Job = Workflow.make("Job", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
      const server = yield* boot({}, {
        workflows: Job.toLayer(() =>
          Effect.all([
            Durable.sleep("long", "1 day"),
            Effect.andThen(
              Effect.sleep("1 second"),
              Durable.step("a", Effect.void, { compensate: () => Effect.sync(() => log.push("undo a")) })
            )
          ], { concurrency: "unbounded", discard: true })
        )
      })
      const id = yield* onEngine(server, Job.execute({ id: "1" }, { discard: true }))
      yield* reached(server, id, "long")
      yield* TestClock.adjust("1 second")
      yield* reached(server, id, "a")
      yield* TestClock.adjust("6 seconds")
      yield* until(state(server, id), (state) => state === "waiting")
      yield* onEngine(server, Job.interrupt(id))
      yield* turns()
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("6 seconds")
      yield* until(state(server, id), (state) => state === "completed")
      assert.deepStrictEqual(log, ["undo a"])
    }))

  it.effect("interrupt: safe stands over a crash, also where what it waited for has come since", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const Job = Workflow.make("Job", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
      const workflows = Job.toLayer(() =>
        Effect.gen(function*() {
          yield* Durable.step("a", Effect.void, {
            compensate: () => Effect.suspend(() => log.push("undo a") === 1 ? Effect.never : Effect.void)
          })
          yield* Durable.sleep("long", "1 day")
          yield* Durable.step("b", Effect.sync(() => void log.push("b")))
        })
      )
      const first = yield* boot({}, { disk, workflows })
      const id = yield* onEngine(first, Job.execute({ id: "1" }, { discard: true }))
      yield* reached(first, id, "long")
      yield* onEngine(first, Job.interrupt(id))
      yield* until(Effect.sync(() => log.length), (length) => length === 1)
      yield* TestClock.adjust("2 days")
      yield* turns()
      yield* first.kill
      const second = yield* boot({}, { disk, workflows })
      yield* until(state(second, id), (state) => state === "completed")
      assert.deepStrictEqual(log, ["undo a", "undo a"])
    }))

  it.effect("a child's end wakes its parked parent", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const workflows = orders([])
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            runs++
            const { at } = yield* Order.execute({ id: "child", at: new Date(9) })
            return at.getTime()
          })
      }
      const first = yield* boot(handlers, { disk, workflows })
      const stream = yield* first.call("tool")
      yield* reached(first, yield* Order.executionId({ id: "child", at }), "cool-off")
      yield* TestClock.adjust("6 seconds")
      yield* until(state(first, stream), (state) => state === "waiting")
      yield* first.kill
      const second = yield* boot(handlers, { disk, workflows })
      yield* turns()
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* answer(second, stream), 9)
      assert.strictEqual(runs, 2)
    }))

  it.effect("a compensation that was cut off is found again behind a child that has ended", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const Quick = Workflow.make("Quick", {
        payload: { id: Schema.String },
        success: Schema.Number,
        idempotencyKey: ({ id }) => id
      })
      const workflows = Quick.toLayer(() => Effect.succeed(1))
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* Quick.execute({ id: "1" })
            yield* Quick.execute({ id: "2" }, { discard: true })
            yield* Durable.step("a", Effect.void, {
              compensate: () => Effect.suspend(() => log.push("undo a") === 1 ? Effect.never : Effect.void)
            })
            return yield* Effect.fail("no")
          })
      }
      const first = yield* boot(handlers, { disk, workflows })
      const stream = yield* first.call("tool")
      yield* until(Effect.sync(() => log.length), (length) => length === 1)
      yield* first.kill
      const second = yield* boot(handlers, { disk, workflows })
      assert.deepStrictEqual(yield* answer(second, stream), { failed: "no" })
      assert.deepStrictEqual(log, ["undo a", "undo a"])
    }))

  it.effect("a cancelled parent cancels its child", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Order.execute({ id: "child", at }) }, { workflows: orders([]) })
      const stream = yield* server.call("tool")
      const id = yield* Order.executionId({ id: "child", at })
      yield* reached(server, id, "cool-off")
      yield* server.calls.cancel(stream)
      assert.strictEqual(yield* answer(server, stream), "cancelled")
      yield* until(state(server, id), (state) => state === "completed")
    }))

  it.effect("SuspendOnFailure waits for resume", () =>
    Effect.gen(function*() {
      let broken = true
      const Job = Workflow.make("Fragile", {
        payload: { id: Schema.String },
        success: Schema.String,
        error: Schema.String,
        idempotencyKey: ({ id }) => id
      }).annotate(Workflow.SuspendOnFailure, true)
      const server = yield* boot({}, {
        workflows: Job.toLayer(() => Effect.suspend(() => broken ? Effect.fail("broken") : Effect.succeed("done")))
      })
      const id = yield* onEngine(server, Job.execute({ id: "1" }, { discard: true }))
      yield* until(state(server, id), (state) => state === "stuck")
      broken = false
      yield* onEngine(server, Job.resume(id))
      yield* until(state(server, id), (state) => state === "completed")
    }))

  it.effect("one that is not registered stays for the next process", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const first = yield* boot({}, { disk, workflows: orders([]) })
      const id = yield* onEngine(first, Order.execute({ id: "1", at }, { discard: true }))
      yield* turns()
      yield* first.kill
      const second = yield* boot({}, { disk, workflows: Layer.empty })
      yield* until(state(second, id), (state) => state === "stopped")
      assert.include((yield* record(second, id))?.parked?.reason, "NotRegistered")
      yield* second.kill
      const third = yield* boot({}, { disk, workflows: orders([]) })
      yield* turns()
      yield* TestClock.adjust("1 hour")
      yield* until(state(third, id), (state) => state === "completed")
    }))
})

describe("traps of effect-seams", () => {
  it.effect("1: suspending inside a forked handler does not hang, and is not swallowed by catchCause", () =>
    Effect.gen(function*() {
      const caught: Array<string> = []
      const server = yield* boot({
        tool: () =>
          // As `Toolkit.handle` does: the handler on a fiber of its own, its exit forwarded.
          Effect.flatMap(
            Effect.forkChild(
              Effect.flatMap(WorkflowInstance, Workflow.suspend).pipe(
                Effect.catchCause((cause) => Effect.sync(() => caught.push(String(cause))))
              )
            ),
            () => Effect.never
          )
      })
      const stream = yield* server.call("tool")
      yield* until(state(server, stream), (state) => state === "waiting")
      assert.deepStrictEqual(caught, [])
    }))

  it.effect("2: a durable await first in Effect.all does not keep its siblings from starting", () =>
    Effect.gen(function*() {
      const started: Array<string> = []
      const gate = DurableDeferred.make("gate")
      const server = yield* boot({
        tool: () =>
          Effect.all([
            DurableDeferred.await(gate),
            Durable.step("a", Effect.sync(() => started.push("a"))),
            Activity.make({ name: "b", execute: Effect.sync(() => void started.push("b")) })
          ], { concurrency: "unbounded" })
      })
      yield* server.call("tool")
      yield* turns()
      assert.deepStrictEqual(started, ["a", "b"])
    }))

  it.effect("3: completing a deferred does not preempt a running sibling, which would run again", () =>
    Effect.gen(function*() {
      let started = 0
      const gate = DurableDeferred.make("gate")
      const tokens: Array<DurableDeferred.Token> = []
      const server = yield* boot({
        tool: () =>
          Effect.all([
            Effect.andThen(
              Effect.map(DurableDeferred.token(gate), (token) => tokens.push(token)),
              DurableDeferred.await(gate)
            ),
            Activity.make({
              name: "busy",
              success: Schema.Number,
              execute: Effect.suspend(() => Effect.as(Effect.sleep("500 millis"), ++started))
            })
          ], { concurrency: "unbounded" })
      })
      const stream = yield* server.call("tool")
      yield* turns()
      yield* onEngine(server, DurableDeferred.succeed(gate, { token: tokens[0]!, value: undefined }))
      yield* turns()
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual((yield* answer(server, stream))[1], 1)
      assert.strictEqual(started, 1)
    }))

  it.effect("4: Effect.interrupt by the handler is a result, not a call that never ends", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () => Effect.interrupt,
        after: () => Effect.andThen(Effect.sleep(1), Effect.interrupt)
      })
      assert.property(yield* answer(server, yield* server.call("tool", { id: "a" })), "error")
      const stream = yield* server.call("after", { id: "b" })
      yield* turns()
      yield* TestClock.adjust(1)
      assert.property(yield* answer(server, stream), "error")
    }))

  it.effect("4: a handler that interrupts its own fiber ends too, with its compensations", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* Durable.step("a", Effect.void, { compensate: () => Effect.sync(() => log.push("undo a")) })
            return yield* Effect.withFiber((fiber) =>
              Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()), Effect.never)
            )
          })
      })
      assert.property(yield* answer(server, yield* server.call("tool")), "error")
      assert.deepStrictEqual(log, ["undo a"])
    }))

  it.effect("4: Effect.interrupt in an Activity ends in its recorded defect", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Effect.map(
            Effect.exit(
              Activity.make({ name: "x", execute: Effect.interrupt, interruptRetryPolicy: Schedule.recurs(0) })
            ),
            String
          )
      })
      assert.include(yield* answer(server, yield* server.call("tool")), "interrupted")
    }))

  it.effect("5: calls need no WebCrypto: one turn of the test clock is enough", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.as(Durable.sleep("nap", "1 second"), "up") })
      const stream = yield* server.call("tool")
      yield* turns(5)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* answer(server, stream), "up")
    }))
})
