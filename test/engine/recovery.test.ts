import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import type * as FaultStore from "../../src/testing/FaultStore.ts"
import {
  answer,
  boot,
  callOf,
  idOf,
  keys,
  limits,
  record,
  reply,
  resultOf,
  state,
  turns,
  until,
  wireId
} from "./harness.ts"

const Consent = Schema.Struct({ ok: Schema.Boolean })
const ask = (name: string) => Durable.elicit(name, { message: name, schema: Consent })

describe("NonDeterminism", () => {
  const contradict = Effect.fnUntraced(function*(
    before: Effect.Effect<unknown>,
    after: Effect.Effect<unknown>,
    caught: (effect: Effect.Effect<unknown>) => Effect.Effect<unknown> = (effect) => effect
  ) {
    const disk = MemoryStore.makeDisk()
    let current = caught(Effect.andThen(before, Effect.never))
    const handlers = { tool: () => Effect.suspend(() => current) }
    const first = yield* boot(handlers, { disk })
    const stream = yield* first.call("tool")
    yield* turns()
    yield* first.kill
    current = caught(after)
    const second = yield* boot(handlers, { disk })
    yield* until(state(second, stream), (state) => state !== "running")
    const found = yield* record(second, stream)
    return {
      server: second,
      stream,
      message: String(JSON.parse(found?.parked?.reason ?? "{}").defect?.message),
      repair: (effect: Effect.Effect<unknown>) =>
        Effect.suspend(() => {
          current = effect
          return second.executions.retry(stream)
        })
    }
  })

  it.effect("the same name with another kind", () =>
    Effect.gen(function*() {
      const { message } = yield* contradict(
        Durable.step("x", Effect.succeed(1)),
        Durable.sleep("x", "1 second")
      )
      assert.include(message, `"x" was recorded as step`)
    }))

  it.effect("a new step where another was recorded, which no code can catch, and a fix goes on", () =>
    Effect.gen(function*() {
      const after: Array<string> = []
      const { message, repair, server, stream } = yield* contradict(
        Durable.step("old", Effect.succeed(1)),
        Effect.andThen(Durable.step("new", Effect.sync(() => after.push("new"))), Effect.void),
        (effect) => Effect.catchCause(effect, () => Effect.sync(() => after.push("caught")))
      )
      assert.include(message, `"new" comes where version 0 recorded "old"`)
      assert.deepStrictEqual(after, [])
      assert.deepStrictEqual(yield* keys(server, stream), [])
      assert.isTrue(yield* repair(Durable.step("old", Effect.succeed(2))))
      assert.strictEqual(yield* answer(server, stream), 1)
    }))

  it.effect("a record that no longer decodes, and nothing is overwritten", () =>
    Effect.gen(function*() {
      const { message, server, stream } = yield* contradict(
        Durable.step("x", Effect.succeed("text")),
        Durable.step("x", Effect.succeed(1), { success: Schema.Number })
      )
      assert.include(message, "cannot be read")
      assert.strictEqual((yield* record(server, stream))?.steps[0]?.exit, `{"_tag":"Success","value":"text"}`)
    }))

  it.effect("ends in an error for the client after the repair limit, and stays with the operators", () =>
    Effect.gen(function*() {
      const { repair, server, stream } = yield* contradict(
        Durable.step("old", Effect.succeed(1)),
        Durable.step("new", Effect.succeed(1))
      )
      yield* TestClock.adjust("25 hours")
      assert.property(yield* answer(server, stream), "error")
      yield* until(state(server, stream), (state) => state === "stuck")
      yield* repair(Durable.step("old", Effect.succeed(2)))
      const result = yield* until(resultOf(server, stream), (result) => result !== undefined)
      assert.deepStrictEqual(result, { _tag: "Answered", answer: { result: { value: 1 } } })
      assert.deepStrictEqual(yield* keys(server, stream), ["result"])
    }))

  it.effect("gives no alarm for races, timeouts, early exits and concurrent steps", () =>
    Effect.gen(function*() {
      const say = (name: string) => Durable.step(name, Effect.succeed(name))
      let run = 0
      const disk = MemoryStore.makeDisk()
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            run++
            yield* Effect.raceFirst(
              Effect.andThen(say("a1"), run === 1 ? Effect.void : Effect.never),
              Effect.andThen(say("b1"), Effect.andThen(Effect.yieldNow, say("b2")))
            )
            yield* Effect.timeoutOption(Effect.andThen(say("t1"), run === 1 ? say("t2") : Effect.never), "1 second")
            yield* Effect.all([say("c1"), run === 1 ? Effect.fail("early") : say("c2")], { concurrency: 2 }).pipe(
              Effect.ignore
            )
            yield* say("end")
            return run === 1 ? yield* Effect.never : "done"
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* until(record(first, stream), (found) => found?.steps.some(({ name }) => name === "end") === true)
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      // What the first run gave up has its turn when nothing else is left to wait for.
      for (let i = 0; i < 3; i++) {
        yield* turns()
        yield* TestClock.adjust("6 seconds")
      }
      assert.strictEqual(yield* answer(second, stream), "done")
    }))

  it.effect("what the last replay did not reach is a warning in the timeline", () =>
    Effect.gen(function*() {
      const { repair, server, stream } = yield* contradict(
        Effect.andThen(Durable.step("a", Effect.succeed(1)), Durable.step("b", Effect.succeed(1))),
        Durable.step("c", Effect.succeed(1))
      )
      yield* repair(Durable.step("a", Effect.succeed(2)))
      assert.strictEqual(yield* answer(server, stream), 1)
      const found = yield* until(record(server, stream), (found) => found?.result !== undefined)
      assert.strictEqual(found?.steps.at(-1)?.exit, `{"notReached":["b"]}`)
    }))
})

describe("poison", () => {
  it.effect("after 10 recoveries without progress the call is stuck: an error for the client, a retry for operators", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let poison = true
      const handlers = { tool: () => Effect.suspend(() => poison ? Effect.never : Effect.succeed("cured")) }
      let server = yield* boot(handlers, { disk })
      const stream = yield* server.call("tool")
      let runs = 0
      while ((yield* state(server, stream)) === "running") {
        assert.isBelow(++runs, 20)
        yield* server.kill
        server = yield* boot(handlers, { disk })
        yield* turns()
      }
      assert.strictEqual(runs, 11)
      assert.strictEqual(yield* state(server, stream), "stuck")
      assert.property(yield* answer(server, stream), "error")
      poison = false
      assert.isTrue(yield* server.executions.retry(stream))
      const result = yield* until(resultOf(server, stream), (result) => result !== undefined)
      assert.deepStrictEqual(result, { _tag: "Answered", answer: { result: { value: "cured" } } })
    }))

  it.effect("an unclean end counts also when the disk fails just after it", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => Durable.step("a", Effect.never) }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      let failures = 0
      const second = yield* boot(handlers, {
        disk,
        faults: {
          decide: ({ what }) => what.startsWith("execution") && failures++ === 0 ? { _tag: "Fail" } : undefined
        }
      })
      yield* turns()
      yield* TestClock.adjust("1 second")
      yield* turns()
      const found = yield* record(second, stream)
      yield* second.kill
      assert.isAbove(failures, 1)
      assert.strictEqual(found?.recoveries, 1)
    }))

  it.effect("suspects run one at a time", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let live = 0
      const handlers = {
        tool: () => Effect.ensuring(Effect.suspend(() => (live++, Effect.never)), Effect.sync(() => live--))
      }
      let server = yield* boot(handlers, { disk })
      for (const id of ["a", "b", "c"]) {
        yield* server.call("tool", { id })
      }
      for (let i = 0; i < 3; i++) {
        yield* turns()
        assert.strictEqual(live, 3)
        yield* server.kill
        server = yield* boot(handlers, { disk })
      }
      yield* turns()
      assert.strictEqual(live, 1)
    }))

  it.effect("long steps over many orderly stops are not punished", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => Durable.step("long", Effect.never) }
      let server = yield* boot(handlers, {
        disk,
        limits: Context.make(limits.DrainTimeout, 0) as Context.Context<never>
      })
      const stream = yield* server.call("tool")
      for (let i = 0; i < 15; i++) {
        yield* turns()
        yield* server.stop
        server = yield* boot(handlers, {
          disk,
          limits: Context.make(limits.DrainTimeout, 0) as Context.Context<never>
        })
      }
      yield* turns()
      assert.strictEqual((yield* record(server, stream))?.recoveries, 0)
      assert.strictEqual(yield* state(server, stream), "running")
    }))
})

describe("shutdown", () => {
  it.effect("lets the running step finish, starts none, compensates nothing, and the next process goes on", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* Durable.step("a", Effect.andThen(Effect.sleep("10 seconds"), Effect.sync(() => log.push("a"))), {
              compensate: () => Effect.sync(() => log.push("undo"))
            })
            return yield* Durable.step("b", Effect.sync(() => log.push("b")))
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      const stopping = yield* Effect.forkChild(first.stop)
      yield* turns()
      const refused = yield* Effect.flip(first.calls.start(callOf("tool", { id: "late" })))
      assert.strictEqual(refused._tag === "CallRejected" && refused.reason, "Stopping")
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(log, ["a"])
      const second = yield* boot(handlers, { disk })
      assert.strictEqual(yield* answer(second, stream), 2)
      assert.deepStrictEqual(log, ["a", "b"])
    }))

  it.effect("cuts what is not done after the drain timeout", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const first = yield* boot({ tool: () => Durable.step("a", Effect.never) }, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      const stopping = yield* Effect.forkChild(first.stop)
      yield* turns()
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(stopping)
      const second = yield* boot({ tool: () => Durable.step("a", Effect.succeed("done")) }, { disk })
      assert.strictEqual(yield* answer(second, stream), "done")
      assert.strictEqual((yield* record(second, stream))?.recoveries, 0)
    }))

  it.effect("takes no time where nothing runs", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const first = yield* boot({ tool: () => Effect.andThen(ask("q"), ask("r")) }, { disk })
      const stream = yield* first.call("tool")
      yield* wireId(first, stream, "q")
      yield* first.stop
      const second = yield* boot({ tool: () => ask("q") }, { disk })
      yield* turns()
      yield* reply(second, stream, "q", { action: "decline" })
      assert.deepStrictEqual(yield* answer(second, stream), { _tag: "Declined" })
    }))
})

describe("a failing store", () => {
  /** A disk that takes no writes while it is broken. */
  const flaky = () => {
    const disk = { broken: false }
    const faults: FaultStore.Options = {
      decide: ({ kind }) => disk.broken && (kind === "commit" || kind === "submit") ? { _tag: "Fail" } : undefined
    }
    return { disk, faults }
  }

  it.effect("stops the run, which cannot catch it, and runs it again when it is healthy", () =>
    Effect.gen(function*() {
      const { disk, faults } = flaky()
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            log.push("run")
            yield* Durable.step("a", Effect.sync(() => log.push("a")), {
              compensate: () => Effect.sync(() => log.push("undo"))
            })
            yield* Effect.sleep("1 second")
            return yield* Durable.step("b", Effect.succeed("b"))
          }).pipe(
            Effect.catchCause(() => Effect.succeed("caught")),
            Effect.ensuring(Effect.sync(() => log.push("ensured")))
          )
      }, { faults })
      const stream = yield* server.call("tool")
      yield* turns()
      disk.broken = true
      yield* TestClock.adjust("1 second")
      yield* turns()
      assert.deepStrictEqual(log, ["run", "a", "ensured"])
      disk.broken = false
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust("1 second")
        yield* turns()
      }
      assert.strictEqual(yield* answer(server, stream), "b")
      assert.deepStrictEqual(log.filter((entry) => entry === "a" || entry === "undo"), ["a"])
    }))

  it.effect("refuses new calls with its error", () =>
    Effect.gen(function*() {
      const { disk, faults } = flaky()
      const server = yield* boot({ quick: () => Effect.succeed(1), slow: () => Effect.never }, { faults })
      disk.broken = true
      for (const tool of ["quick", "slow"]) {
        const error = yield* Effect.flip(server.calls.start(callOf(tool, { id: tool })))
        assert.strictEqual(error._tag === "StoreError" && error.reason, "Io")
      }
      disk.broken = false
      assert.strictEqual(yield* answer(server, yield* server.call("quick", { id: "quick" })), 1)
    }))

  it.effect("refuses a call that is over before the store has failed to take it", () =>
    Effect.gen(function*() {
      const full = new StoreError({ reason: "DiskFull", message: "full" })
      const gate = yield* Deferred.make<void>()
      const broken = Effect.andThen(Deferred.await(gate), Effect.fail(full))
      const server = yield* boot({ tool: () => turns(3) }, {
        wrap: (inner) => ({
          ...inner,
          commit: (writes) => writes[0]._tag === "OpenStream" ? broken : inner.commit(writes)
        })
      })
      const started = yield* Effect.forkChild(Effect.flip(server.calls.start(callOf("tool"))))
      yield* turns()
      yield* Deferred.succeed(gate, undefined)
      yield* turns()
      assert.deepStrictEqual(started.pollUnsafe(), Exit.succeed(full))
    }))

  it.effect("a result that is too large is an error for the client, not a loop", () =>
    Effect.gen(function*() {
      let runs = 0
      const server = yield* boot({
        quick: () => Effect.sync(() => "x".repeat(5_000_000)),
        long: () => Effect.as(Durable.step("a", Effect.sync(() => ++runs)), "x".repeat(5_000_000))
      })
      for (const tool of ["quick", "long"]) {
        const { error } = yield* answer(server, yield* server.call(tool, { id: tool }))
        assert.include(error, "too large")
      }
      assert.strictEqual(runs, 1)
    }))
})

describe("Executions", () => {
  it.effect("lists, and shows what happened", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.andThen(Durable.step("a", Effect.succeed(1)), ask("q")) })
      const stream = yield* server.call("tool", { id: "x" })
      yield* wireId(server, stream, "q")
      const [summary] = yield* Stream.runCollect(server.executions.list())
      assert.strictEqual(summary?.id, idOf("x"))
      yield* reply(server, stream, "q", { action: "decline" })
      yield* answer(server, stream)
      yield* until(state(server, stream), (state) => state === "completed")
      const details = Option.getOrThrow(yield* server.executions.get(stream))
      assert.deepStrictEqual(
        details.timeline.map((entry) => entry._tag === "Step" ? entry.path : entry._tag),
        ["Started", "a", "q", "Signal", "Completed"]
      )
      assert.strictEqual(details.state, "completed")
      assert.isTrue(Option.isNone(yield* server.executions.get("unknown")))
      assert.isFalse(yield* server.executions.retry(stream))
    }))
})
