import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { answer, boot, callOf, idOf, keys, record, turns } from "./harness.ts"

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
})
