import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import * as Facts from "../../src/session/Facts.ts"
import * as Limits from "../../src/session/Limits.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import {
  call,
  connect,
  initializeRequest,
  notification,
  outline,
  post,
  process,
  readAll,
  request,
  World
} from "./era.ts"

const connect03 = connect("2025-03-26")

/** The ids of a batch's answers, with the text or the code of each. */
const answers = (reply: unknown): unknown => {
  const [status, body] = reply as [number, ReadonlyArray<any>]
  return [status, ...body.map(({ error, id, result }) => [id, error?.code ?? result.content?.[0].text ?? result])]
}

describe("batches", () => {
  it.effect("exist only in 2025-03-26 (S-P4, S-B1)", () =>
    Effect.gen(function*() {
      for (const version of ["2025-06-18", "2025-11-25"]) {
        const headers = yield* connect(version)
        for (const body of [[request(1, "ping")], [notification("notifications/initialized")], []]) {
          assert.deepStrictEqual(outline(yield* post(headers, body)), [400, -32600])
        }
      }
      assert.deepStrictEqual(outline(yield* post({}, [request(1, "ping")])), [400, -32600])
      assert.deepStrictEqual(outline(yield* post({ "mcp-session-id": "unknown" }, [request(1, "ping")])), [404, -32600])
    }).pipe(Effect.provide(process())))

  it.effect("with requests are answered as one JSON array, in their order (A9, S-B2, S-B3)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect03
      const reply = yield* post(headers, [
        call(1, "echo", { text: "a" }),
        notification("notifications/progress", {}),
        request("p", "ping"),
        call("1", "echo", { text: "b" }),
        request(2, "no/such"),
        request(3, "prompts/get", { name: "none" })
      ])
      assert.deepStrictEqual(answers(outline(reply)), [200, [1, "a"], ["p", {}], ["1", "b"], [2, -32601], [3, -32602]])
      // there is no stream on which a question could be asked
      assert.isTrue(world.requests.every(({ request }) => request.canAsk === false))
    }).pipe(Effect.provide(process())))

  it.effect("without requests are 202; their notifications and responses count (S-B2)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const sessions = yield* Sessions
      const opened = yield* post({}, initializeRequest("2025-03-26"))
      assert(opened._tag === "Json")
      const headers = { "mcp-session-id": opened.headers!["mcp-session-id"]! }
      const response = { jsonrpc: "2.0", id: "asked", result: {} }
      assert.deepStrictEqual(
        outline(yield* post(headers, [notification("notifications/initialized"), response])),
        [202]
      )
      assert.strictEqual(yield* sessions.fact(headers["mcp-session-id"], Facts.initialized), "true")
      assert.strictEqual(world.answered.length, 1)
      // one answer that nobody asked for: the batch was not accepted as it is (S-P6)
      assert.deepStrictEqual(outline(yield* post(headers, [response, { ...response, id: "x" }])), [400, -32600])
      assert.strictEqual(world.answered.length, 3)
    }).pipe(Effect.provide(process())))

  it.effect("that are empty, hold initialize, or cannot be served whole are refused whole (S-B4, S-L6)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect03
      const good = call(1, "echo", { text: "a" })
      for (
        const body of [
          [],
          [good, initializeRequest("2025-03-26")],
          [initializeRequest("2025-03-26")],
          [good, 1],
          [good, [good]],
          [good, { jsonrpc: "2.0", id: null, method: "ping" }],
          [good, { jsonrpc: "2.0", id: 2, method: "ping", params: [] }],
          [good, call(1, "echo", { text: "b" })],
          Array.from({ length: 4 }, (_, id) => request(id, "ping"))
        ]
      ) {
        assert.deepStrictEqual(outline(yield* post(headers, body)), [400, -32600], JSON.stringify(body))
        assert.deepStrictEqual(outline(yield* post({}, body)), [400, -32600], JSON.stringify(body))
      }
      assert.deepStrictEqual(world.ran, [])
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.BatchSize, 3))))))

  it.effect("outlive their connection; a repeat joins their calls (S-P10, S-P15)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const gate = yield* Deferred.make<void>()
      const started = yield* Deferred.make<void>()
      world.wait = Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(gate))
      const headers = yield* connect03
      const body = [call(1, "wait"), call(2, "echo", { text: "a" })]
      const cut = yield* Effect.forkChild(post(headers, body))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(cut)
      const again = yield* Effect.forkChild(post(headers, body))
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(answers(outline(yield* Fiber.join(again))), [200, [1, "waited"], [2, "a"]])
      assert.deepStrictEqual(world.ran.toSorted(), ["echo", "wait"])
      assert.deepStrictEqual(world.cancelled, [])
      // one of its calls alone is the same call
      assert.strictEqual((yield* readAll(yield* post(headers, body[0]))).length, 1)
      assert.strictEqual(world.ran.length, 2)
    }).pipe(Effect.provide(process())))

  it.effect("a cancelled member has no answer; with none left the batch is 202 (S-C1)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const started = yield* Deferred.make<void>()
      world.wait = Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
      const headers = yield* connect03
      const cancel = notification("notifications/cancelled", { requestId: 1 })
      const one = yield* Effect.forkChild(post(headers, [call(1, "wait"), call(2, "echo", { text: "a" })]))
      yield* Deferred.await(started)
      yield* post(headers, cancel)
      assert.deepStrictEqual(answers(outline(yield* Fiber.join(one))), [200, [2, "a"]])
      assert.deepStrictEqual(outline(yield* post(headers, [call(1, "wait")])), [202])
    }).pipe(Effect.provide(process())))

  it.effect("a member that the engine rejects has an error of its own", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect03
      yield* post(headers, [call(1, "echo", { text: "a" })])
      assert.deepStrictEqual(
        answers(outline(yield* post(headers, [call(1, "echo", { text: "b" }), call(2, "echo", { text: "b" })]))),
        [200, [1, -32600], [2, "b"]]
      )
      world.reject = "Stopping"
      assert.deepStrictEqual(answers(outline(yield* post(headers, [call(3, "echo", { text: "b" })]))), [
        200,
        [3, -32603]
      ])
    }).pipe(Effect.provide(process())))
})
