/**
 * What may come in another order: between fibers of a handler, between a run
 * that ends and news of it, between processes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, type Duration, Effect, Fiber, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/engine/Limits.ts"
import * as ToolCall from "../../src/engine/ToolCall.ts"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type { Store } from "../../src/store/Store.ts"
import {
  answer,
  boot,
  callOf,
  events,
  idOf,
  record,
  reply,
  resultOf,
  type Server,
  state,
  turns,
  until
} from "./harness.ts"

const ask = Durable.elicit("pay", { message: "Pay?", schema: Schema.Struct({ ok: Schema.Boolean }) })
const accept = { action: "accept", content: { ok: true } }

const undoable = (log: Array<string>, name: string, undo: Effect.Effect<void> = Effect.void) =>
  Durable.step(name, Effect.succeed(name), {
    compensate: () => Effect.andThen(Effect.sync(() => log.push(`undo ${name}`)), undo)
  })

describe("while a parked run lets go of what it holds", () => {
  const parking = Effect.gen(function*() {
    const parking = yield* Deferred.make<void>()
    const release = yield* Deferred.make<void>()
    const letGo = Effect.andThen(Deferred.succeed(parking, undefined), Deferred.await(release))
    const server = yield* boot({ tool: () => Effect.ensuring(ask, letGo) })
    const stream = yield* server.call("tool")
    yield* turns()
    yield* TestClock.adjust("6 seconds")
    yield* Deferred.await(parking)
    return { server, stream, release: Effect.andThen(turns(), Deferred.succeed(release, undefined)) }
  })

  it.effect("an answer is not lost", () =>
    Effect.gen(function*() {
      const { release, server, stream } = yield* parking
      yield* reply(server, stream, "pay", accept)
      yield* release
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Accepted", content: { ok: true } })
    }))

  it.effect("a cancel is not lost", () =>
    Effect.gen(function*() {
      const { release, server, stream } = yield* parking
      yield* server.calls.cancel(stream)
      yield* release
      assert.strictEqual(yield* answer(server, stream), "cancelled")
    }))
})

describe("log messages of concurrent fibers", () => {
  const logs = (name: string, within: (effect: Effect.Effect<unknown>) => Effect.Effect<unknown>) =>
    it.effect(`${name}: none is lost or doubled by a replay in another order`, () =>
      Effect.gen(function*() {
        const disk = MemoryStore.makeDisk()
        let runs = 0
        const handlers = {
          tool: () =>
            Effect.gen(function*() {
              const run = ++runs
              yield* Durable.log("before")
              yield* within(Effect.gen(function*() {
                yield* Durable.log("inside")
                yield* Effect.all([
                  Effect.andThen(run === 1 ? Effect.void : turns(3), Durable.log("a")),
                  Effect.andThen(run === 1 ? Effect.never : Effect.void, Durable.log("b")),
                  Effect.andThen(run === 1 ? Effect.void : turns(3), Durable.log("a"))
                ], { concurrency: "unbounded" })
                yield* Durable.log("after")
              }))
            })
        }
        const first = yield* boot(handlers, { disk })
        const stream = yield* first.call("tool")
        yield* turns()
        yield* first.kill
        const second = yield* boot(handlers, { disk })
        yield* answer(second, stream)
        assert.deepStrictEqual(
          (yield* events(second, stream)).filter(({ data }) => data._tag === "Log").map(({ data }) => data.data),
          ["before", "inside", "a", "a", "b", "after"]
        )
      }))

  logs("in the body", (effect) => effect)
  logs("in a step", (effect) => Durable.step("step", Effect.asVoid(effect)))
  logs(
    "in a step with a timeout",
    (effect) => Effect.orDie(Durable.step("step", Effect.asVoid(effect), { timeout: "1 day" }))
  )
})

describe("compensations of concurrent steps", () => {
  it.effect("last first is what was recorded last, also where a replay reaches it first", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const run = ++runs
            yield* Effect.all([
              Effect.andThen(
                run === 1 ? turns(10) : Effect.void,
                undoable(log, "a", run === 1 ? Effect.never : Effect.void)
              ),
              undoable(log, "b")
            ], { concurrency: 2 })
            return yield* Effect.fail("no")
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      assert.deepStrictEqual(yield* answer(second, stream), { failed: "no" })
      assert.deepStrictEqual(log, ["undo a", "undo a", "undo b"])
    }))

  const decided = (name: string, end: Effect.Effect<never, string>, cancels: boolean) =>
    it.effect(`${name}: none is lost where the replay comes to a step that was cut off first`, () =>
      Effect.gen(function*() {
        const disk = MemoryStore.makeDisk()
        const log: Array<string> = []
        let runs = 0
        const handlers = {
          tool: () =>
            Effect.suspend(() => {
              const undo = ++runs === 1 ? Effect.never : Effect.void
              return Effect.all([
                Durable.step("slow", Effect.never),
                Effect.andThen(Effect.andThen(turns(3), undoable(log, "a", undo)), end)
              ], { concurrency: 2 })
            })
        }
        const first = yield* boot(handlers, { disk })
        const stream = yield* first.call("tool")
        yield* turns()
        if (cancels) yield* first.calls.cancel(stream)
        yield* turns()
        yield* first.kill
        const second = yield* boot(handlers, { disk })
        assert.deepStrictEqual(yield* answer(second, stream), cancels ? "cancelled" : { failed: "no" })
        assert.deepStrictEqual(log, ["undo a", "undo a"])
      }))

  decided("of a call that failed", Effect.fail("no"), false)
  decided("of a call that was cancelled", Effect.never, true)

  it.effect("a cancel that comes while a step's result is on its way to disk undoes the step", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const sent = yield* Deferred.make<void>()
      // A queued commit happens, whoever waits for it.
      const wrap = (inner: Store["Service"]): Store["Service"] => ({
        ...inner,
        commit: (writes) =>
          writes.some((write) => write._tag === "RecordStep" && write.name === "a")
            ? Effect.gen(function*() {
              yield* Deferred.succeed(sent, undefined)
              const outcome = yield* Deferred.make<any, any>()
              yield* Effect.forkDetach(
                Deferred.into(Effect.andThen(Deferred.await(gate), inner.commit(writes)), outcome)
              )
              return yield* Deferred.await(outcome)
            })
            : inner.commit(writes)
      })
      const server = yield* boot({
        tool: () => Effect.andThen(Effect.andThen(Durable.step("first", Effect.void), undoable(log, "a")), Effect.never)
      }, { wrap })
      const stream = yield* server.call("tool")
      yield* Deferred.await(sent)
      yield* server.calls.cancel(stream)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* answer(server, stream), "cancelled")
      assert.deepStrictEqual(log, ["undo a"])
    }))
})

describe("who won a race wins it in every replay, whatever has come since", () => {
  const question = (name: string) =>
    Effect.as(Durable.elicit(name, { message: "Go on?", schema: Schema.Struct({ ok: Schema.Boolean }) }), name)
  const sleep = (name: string, duration: Duration.Input) => Effect.as(Durable.sleep(name, duration), name)
  const nothing = () => Effect.void

  const race = (
    name: string,
    racers: readonly [Effect.Effect<string>, Effect.Effect<string>],
    options: {
      readonly winner: string
      readonly during?: (server: Server, stream: string) => Effect.Effect<void>
    }
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        const disk = MemoryStore.makeDisk()
        const winners: Array<string> = []
        const { during = nothing, winner } = options
        const handlers = {
          tool: () =>
            Effect.gen(function*() {
              const winner = yield* Effect.raceFirst(...racers)
              winners.push(winner)
              yield* Durable.step(`after ${winner}`, Effect.void)
              yield* question("end")
              return winner
            })
        }
        const first = yield* boot(handlers, { disk })
        const stream = yield* first.call("tool")
        yield* turns()
        yield* during(first, stream)
        yield* TestClock.adjust("6 seconds")
        yield* turns()
        yield* TestClock.adjust("1 minute")
        yield* until(Effect.sync(() => winners.length), (runs) => runs > 0, "the end of the race")
        yield* turns()
        yield* TestClock.adjust("1 hour")
        yield* turns()
        yield* first.kill
        const second = yield* boot(handlers, { disk })
        yield* turns()
        yield* reply(second, stream, "end", accept)
        assert.strictEqual(yield* answer(second, stream), winner)
        assert.isAbove(winners.length, 1)
        assert.deepStrictEqual(new Set(winners), new Set([winner]))
      }))

  race("of two sleeps", [sleep("long", "10 minutes"), sleep("short", "20 seconds")], { winner: "short" })
  race("of two sleeps in memory", [sleep("long", "4 seconds"), sleep("short", "2 seconds")], { winner: "short" })
  race("of a sleep and a question", [sleep("long", "10 minutes"), question("pay")], {
    winner: "pay",
    during: (server, stream) => Effect.asVoid(reply(server, stream, "pay", accept))
  })
  race("of a sleep and a step", [
    sleep("long", "10 minutes"),
    Durable.step("work", Effect.as(Effect.sleep("1 second"), "work"))
  ], { winner: "work" })
  race("of a step that is tried again and a sleep", [
    Effect.orDie(
      Durable.step("work", ({ attempt }) => attempt === 1 ? Effect.fail("no") : Effect.succeed("work"), {
        error: Schema.String,
        retry: Schedule.spaced("10 minutes")
      })
    ),
    sleep("short", "20 seconds")
  ], { winner: "short" })
})

it.effect("a handler that waits for fibers of its own in a finalizer is parked", () =>
  Effect.gen(function*() {
    const disk = MemoryStore.makeDisk()
    const last = Effect.all([Durable.sleep("nap", "1 minute"), ask], { concurrency: 2 })
    const server = yield* boot({ tool: () => Effect.ensuring(Effect.succeed("done"), last) }, { disk })
    const stream = yield* server.call("tool")
    yield* turns()
    yield* TestClock.adjust("6 seconds")
    yield* until(state(server, stream), (state) => state === "waiting", "the park")
    yield* reply(server, stream, "pay", accept)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* answer(server, stream), "done")
  }))

describe("limits", () => {
  const limit = (steps: number) => Context.make(Limits.StepLimit, steps) as Context.Context<never>

  it.effect("compensations are no steps of the handler: they run beyond its limit", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () => Effect.all([undoable(log, "a"), undoable(log, "b"), Durable.step("c", Effect.void)])
      }, { limits: limit(2) })
      assert.property(yield* answer(server, yield* server.call("tool")), "failed")
      assert.deepStrictEqual(log, ["undo b", "undo a"])
    }))

  it.effect("a replay counts steps, not the attempts on disk", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const run = ++runs
            yield* Durable.step("a", ({ attempt }) => attempt < 3 ? Effect.fail("no") : Effect.void, {
              error: Schema.String,
              retry: 5
            })
            if (run === 1) return yield* Effect.never
            yield* Durable.step("b", Effect.void)
            return "done"
          })
      }
      const first = yield* boot(handlers, { disk, limits: limit(2) })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* TestClock.adjust("1 second")
      yield* turns()
      yield* TestClock.adjust("1 second")
      yield* until(record(first, stream), (found) => found?.steps.length === 3)
      yield* first.kill
      const second = yield* boot(handlers, { disk, limits: limit(2) })
      assert.strictEqual(yield* answer(second, stream), "done")
    }))
})

describe("recoveries", () => {
  it.effect("a suspect that waits for its turn is not punished for what another one does", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let boots = 1
      const handlers = {
        poison: () => Effect.never,
        innocent: () => Effect.suspend(() => boots < 5 ? Effect.never : Effect.succeed("done"))
      }
      let server = yield* boot(handlers, { disk })
      const poison = yield* server.call("poison", { id: "a" })
      const innocent = yield* server.call("innocent", { id: "b" })
      while ((yield* state(server, poison)) === "running") {
        assert.isBelow(++boots, 20)
        yield* server.kill
        server = yield* boot(handlers, { disk })
        yield* turns()
      }
      assert.strictEqual(yield* state(server, poison), "stuck")
      assert.strictEqual(yield* answer(server, innocent), "done")
    }))

  it.effect("a step that does without its inner step the second time gives no alarm", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const run = ++runs
            yield* Durable.step(
              "outer",
              run === 1 ? Effect.andThen(Durable.step("inner", Effect.void), Effect.never) : Effect.void
            )
            yield* Durable.step("next", Effect.void)
            return "done"
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      assert.strictEqual(yield* answer(second, stream), "done")
    }))
})

it.effect("an operator's cancel reaches a handler that waits for nothing of ours", () =>
  Effect.gen(function*() {
    const disk = MemoryStore.makeDisk()
    const first = yield* boot({ tool: () => Effect.never }, { disk })
    const stream = yield* first.call("tool")
    const other = yield* first.call("tool", { id: "other" })
    yield* turns()
    assert.isTrue(yield* first.executions.cancel(stream))
    assert.strictEqual(yield* answer(first, stream), "cancelled")
    yield* first.kill
    const second = yield* boot({ tool: () => Effect.never }, { disk })
    yield* turns()
    assert.isTrue(yield* second.executions.cancel(other))
    assert.deepStrictEqual(yield* until(resultOf(second, other), (result) => result !== undefined), {
      _tag: "Cancelled"
    })
  }))

describe("questions", () => {
  it.effect("whose deadline comes before `initialized` are never put to the client (S-L5)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const { _tag } = yield* Durable.elicit("q", {
              message: "?",
              schema: Schema.Struct({}),
              timeout: "1 minute"
            })
            return ++runs === 1 ? yield* Effect.never : _tag
          })
      }
      const first = yield* boot(handlers, { disk })
      yield* first.store.commit([{ _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" }])
      const stream = yield* first.call("tool", { session: "s" })
      yield* turns()
      yield* TestClock.adjust("2 minutes")
      yield* until(Effect.sync(() => runs), (runs) => runs === 1)
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      assert.strictEqual(yield* answer(second, stream), "TimedOut")
      assert.deepStrictEqual((yield* events(second, stream)).map(({ key }) => key), ["result"])
    }))

  it.effect("that lose a race while they are on their way to disk are withdrawn", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const wrap = (inner: Store["Service"]): Store["Service"] => ({
        ...inner,
        commit: (writes) =>
          writes.some((write) => write._tag === "Append" && write.key === "question/pay")
            // On disk, and not acknowledged yet.
            ? Effect.tap(inner.commit(writes), () => Effect.andThen(Deferred.succeed(gate, undefined), Effect.never))
            : inner.commit(writes)
      })
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* Durable.step("first", Effect.void)
            return yield* Effect.raceFirst(Effect.as(ask, "asked"), Effect.as(Deferred.await(gate), "lost"))
          })
      }, { wrap })
      const stream = yield* server.call("tool")
      assert.strictEqual(yield* answer(server, stream), "lost")
      assert.deepStrictEqual((yield* events(server, stream)).map(({ key }) => key), [
        "question/pay",
        "cancelled/pay",
        "result"
      ])
    }))
})

it.effect("2,000 parked executions are neither run nor read at start; one that is answered is, alone", () =>
  Effect.gen(function*() {
    const disk = MemoryStore.makeDisk()
    const ran: Array<string> = []
    const handlers = {
      tool: () => Effect.tap(Durable.execution, ({ id, run }) => Effect.sync(() => ran.push(`${id} ${run > 1}`)))
    }
    const first = yield* boot(handlers, { disk })
    const payload = ToolCall.encodePayload({ startedAt: 0, request: callOf("tool").request })
    const id = (n: number) => idOf(`call${n}`)
    for (let n = 0; n < 2_000; n++) {
      yield* first.store.commit([
        {
          _tag: "OpenStream",
          stream: id(n),
          principal: "anonymous",
          requestDigest: "tool",
          version: "2025-11-25",
          execution: id(n)
        },
        { _tag: "StartExecution", id: id(n), workflow: ToolCall.workflow._tag, payload },
        { _tag: "Park", id: id(n), state: "waiting", seenSignals: 0, seenCancel: false }
      ])
    }
    yield* first.kill
    ran.length = 0
    const read: Array<string> = []
    const wrap = (inner: Store["Service"]): Store["Service"] => ({
      ...inner,
      execution: (id) => Effect.suspend(() => (read.push(id), inner.execution(id)))
    })
    const second = yield* boot(handlers, { disk, wrap })
    yield* turns()
    assert.deepStrictEqual(read, [])
    yield* second.store.commit([{ _tag: "Signal", id: id(7), name: "answer/pay", exit: "null" }])
    yield* until(Effect.sync(() => ran), (ran) => ran.length > 0)
    assert.deepStrictEqual(ran, [`${id(7)} true`])
    assert.deepStrictEqual(read, [id(7)])
  }))

it.effect("a run that is about to start when the server begins to stop does not", () =>
  Effect.gen(function*() {
    const disk = MemoryStore.makeDisk()
    let runs = 0
    const handlers = {
      tool: () => Effect.suspend(() => (runs++, Effect.never)),
      long: () => Durable.step("long", Effect.sleep("10 seconds"))
    }
    const first = yield* boot(handlers, { disk })
    const stream = yield* first.call("tool")
    yield* turns()
    yield* first.kill
    const gate = yield* Deferred.make<void>()
    const wrap = (inner: Store["Service"]): Store["Service"] => ({
      ...inner,
      commit: (writes) =>
        writes[0]._tag === "BeginRecovery"
          ? Effect.andThen(Deferred.await(gate), inner.commit(writes))
          : inner.commit(writes)
    })
    const second = yield* boot(handlers, { disk, wrap })
    yield* second.call("long", { id: "long" })
    yield* turns()
    const stopping = yield* Effect.forkChild(second.stop)
    yield* turns()
    yield* Deferred.succeed(gate, undefined)
    yield* turns()
    assert.strictEqual(runs, 1)
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(stopping)
    const third = yield* boot({ ...handlers, tool: () => Effect.succeed("done") }, { disk })
    assert.strictEqual(yield* answer(third, stream), "done")
  }))
