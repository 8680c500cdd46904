import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Durable } from "../../src/index.ts"
import * as Facts from "../../src/session/Facts.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { answer, boot, callOf, idOf, keys, record, turns, wireId } from "./harness.ts"

describe("calls", () => {
  it.effect("a handler that uses nothing durable costs its stream and one event", () =>
    Effect.gen(function*() {
      const server = yield* boot({ echo: ({ text }) => Effect.succeed(text) })
      const stream = yield* server.call("echo", { params: { text: "hi" } })
      assert.strictEqual(yield* answer(server, stream), "hi")
      assert.deepStrictEqual(yield* keys(server, stream), ["result"])
      assert.isUndefined(yield* record(server, stream))
    }))

  it.effect("a handler that takes its time is on disk after one turn", () =>
    Effect.gen(function*() {
      const server = yield* boot({ slow: () => Effect.never })
      const stream = yield* server.call("slow")
      assert.strictEqual((yield* record(server, stream))?.workflow, "effect-durable-mcp/ToolCall")
    }))

  it.effect("finished steps do not run again after a crash", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const ran: Array<string> = []
      const handlers = {
        trip: () =>
          Effect.gen(function*() {
            const a = yield* Durable.step("a", ({ key }) =>
              Effect.sync(() => {
                ran.push(`a ${key.length}`)
                return { n: 1 }
              }))
            const b = yield* Durable.step(
              "b",
              Effect.suspend(() => {
                ran.push("b")
                return ran.length === 2 ? Effect.never : Effect.succeed(2)
              })
            )
            return a.n + b
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("trip")
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      assert.strictEqual(yield* answer(second, stream), 3)
      assert.deepStrictEqual(ran, ["a 22", "b", "b"])
      assert.deepStrictEqual(yield* keys(second, stream), ["result"])
    }))

  it.effect("a repeat joins, another request under the id is a conflict", () =>
    Effect.gen(function*() {
      const server = yield* boot({ slow: () => Effect.never })
      yield* server.call("slow")
      const again = yield* server.calls.start(callOf("slow"))
      assert.isTrue(again.joined)
      const error = yield* Effect.flip(server.calls.start(callOf("slow", { digest: "other" })))
      assert.strictEqual(error._tag === "CallRejected" && error.reason, "Conflict")
      assert.strictEqual(again.stream, idOf("call"))
    }))

  it.effect("a repeat of a finished call joins its stream, and never runs it again (S-P10)", () =>
    Effect.gen(function*() {
      let runs = 0
      const server = yield* boot({ tool: () => Effect.sync(() => ++runs) })
      const stream = yield* server.call("tool")
      yield* answer(server, stream)
      assert.isTrue((yield* server.calls.start(callOf("tool"))).joined)
      const conflict = yield* Effect.flip(server.calls.start(callOf("tool", { digest: "other" })))
      assert.strictEqual(conflict._tag === "CallRejected" && conflict.reason, "Conflict")
      yield* server.store.commit([{ _tag: "Forget", id: stream }])
      const forgotten = yield* Effect.flip(server.calls.start(callOf("tool")))
      assert.strictEqual(forgotten._tag === "CallRejected" && forgotten.reason, "Forgotten")
      assert.strictEqual(runs, 1)
    }))

  it.effect("what is left of a call that was cut off before it was on disk starts again", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.succeed("done") })
      const id = idOf("call")
      yield* server.store.commit([
        {
          _tag: "OpenStream",
          stream: id,
          principal: "anonymous",
          requestDigest: "tool",
          version: "2025-11-25",
          execution: id
        }
      ])
      const { joined, stream } = yield* server.calls.start(callOf("tool"))
      assert.isFalse(joined)
      assert.strictEqual(yield* answer(server, stream), "done")
    }))

  it.effect("one whose run ends before it is on disk stays away from it: its repeat starts again", () =>
    Effect.gen(function*() {
      let reads = 0
      const server = yield* boot({ ask: () => Durable.elicit("sure", { message: "?", schema: Schema.Struct({}) }) }, {
        // the handler's first step reads whether its session is initialized
        faults: { decide: ({ what }) => what === "session" && ++reads === 1 ? { _tag: "Fail" } : undefined }
      })
      yield* server.store.commit([
        { _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" },
        { _tag: "SetSession", id: "s", name: Facts.initialized, writeKey: "a", value: "true" }
      ])
      const call = callOf("ask", { session: "s" })
      assert.strictEqual((yield* Effect.flip(server.calls.start(call)))._tag, "StoreError")
      yield* turns()
      assert.isUndefined(yield* record(server, call.id))
      const { stream } = yield* server.calls.start(call)
      yield* wireId(server, stream, "sure")
    }))

  it.effect("a request that goes away stops nothing (S-P15)", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.as(Durable.step("a", Effect.sleep("1 second")), "done") })
      const request = yield* Effect.forkChild(server.calls.start(callOf("tool")), { startImmediately: true })
      yield* Effect.forkChild(Fiber.interrupt(request))
      yield* turns()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* answer(server, idOf("call")), "done")
    }))

  it.effect("Durable.execution says where a handler is, the same in every run", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const seen: Array<Durable.Execution> = []
      const handlers = {
        tool: () =>
          Effect.flatMap(
            Durable.execution,
            (execution) => seen.push(execution) === 1 ? Effect.never : Effect.succeed(1)
          )
      }
      yield* TestClock.adjust("1 hour")
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool", { session: "s", principal: "ann" })
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* answer(second, stream)
      const [before, after] = seen
      assert.deepStrictEqual(before, {
        id: stream,
        durable: true,
        run: 1,
        startedAt: 3_600_000,
        sessionId: Option.some("s"),
        principal: Option.some("ann")
      })
      assert.isAbove(after!.run, 1)
      assert.deepStrictEqual({ ...after, run: 1 }, before)
    }))
})
