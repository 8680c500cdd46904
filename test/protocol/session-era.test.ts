import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { Calls } from "../../src/engine/Calls.ts"
import * as Facts from "../../src/session/Facts.ts"
import * as Limits from "../../src/session/Limits.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import {
  call,
  connect,
  followed,
  get,
  initializeRequest,
  notification,
  outline,
  post,
  process,
  readAll,
  registrations,
  remove,
  request,
  World
} from "./era.ts"

const versions = ["2025-11-25", "2025-06-18", "2025-03-26"]
const sessionOf = (headers: Readonly<Record<string, string>>): string => headers["mcp-session-id"]!

describe("initialize", () => {
  for (const version of versions) {
    it.effect(`${version}: is answered in that version, with a session id (S-L1, S-L2, S-S1)`, () =>
      Effect.gen(function*() {
        const reply = yield* post({}, initializeRequest(version))
        assert(reply._tag === "Json")
        const { id, result } = JSON.parse(reply.body)
        assert.strictEqual(reply.status, 200)
        assert.strictEqual(id, "init")
        assert.strictEqual(result.protocolVersion, version)
        assert.strictEqual(result.serverInfo.name, "test")
        assert.deepStrictEqual(result.capabilities.tools, { listChanged: true })
        assert.match(reply.headers!["mcp-session-id"]!, /^[\x21-\x7e]{32}$/)
      }).pipe(Effect.provide(process())))
  }

  for (const version of ["1999-01-01", "2024-11-05", "2026-07-28", "nonsense"]) {
    it.effect(`${version} is answered with the latest version that has sessions (S-L3)`, () =>
      Effect.gen(function*() {
        for (const headers of [{}, { "mcp-protocol-version": version }, { "mcp-method": "initialize" }]) { // S-S10
          const reply = yield* post(headers, initializeRequest(version))
          assert(reply._tag === "Json")
          assert.strictEqual(JSON.parse(reply.body).result.protocolVersion, "2025-11-25")
        }
      }).pipe(Effect.provide(process())))
  }

  it.effect("is answered as any initialize where it claims a stateless version for itself (S-L3, 1.2)", () =>
    Effect.gen(function*() {
      const claim = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" }
      const body = initializeRequest("2026-07-28")
      const reply = yield* post({ "mcp-protocol-version": "2026-07-28" }, {
        ...body,
        params: { ...body.params as {}, _meta: claim }
      })
      assert(reply._tag === "Json")
      assert.strictEqual(JSON.parse(reply.body).result.protocolVersion, "2025-11-25")
    }).pipe(Effect.provide(process())))

  it.effect("opens no session when its params are wrong", () =>
    Effect.gen(function*() {
      const store = yield* Store
      for (
        const params of [undefined, {}, { protocolVersion: 1 }, { protocolVersion: "2025-11-25", capabilities: 1 }]
      ) {
        const reply = yield* post({}, request(1, "initialize", params))
        assert(reply._tag === "Json")
        assert.strictEqual(JSON.parse(reply.body).error.code, -32602)
        assert.isUndefined(reply.headers)
      }
      assert.deepStrictEqual(outline(yield* post({}, request(1, "initialize", [1]))), [200, -32602, 1])
      assert.strictEqual((yield* store.stream({ id: "x" }))._tag, "None")
    }).pipe(Effect.provide(process())))

  it.effect("opens no session when its params are longer than the limit", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const { params } = initializeRequest("2025-11-25")
      const size = JSON.stringify(params).length
      const long = { ...params as {}, _meta: { pad: "x".repeat(200 - size) } }
      const reply = yield* post({}, request(1, "initialize", long))
      assert(reply._tag === "Json")
      assert.strictEqual(JSON.parse(reply.body).error.code, -32602)
      assert.isUndefined(reply.headers)
      assert.deepStrictEqual(yield* Stream.runCollect(store.sessions({ ended: false })), [])
      yield* connect()
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.InitializeSize, 200))))))

  it.effect("is refused on a live session, and 404 on one that is gone (S-L9, S-S5)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const again = initializeRequest("2025-11-25")
      assert.deepStrictEqual(outline(yield* post(headers, again)), [400, -32600, "init"])
      assert.deepStrictEqual(outline(yield* post(headers, request(5, "ping"))), [200, {
        jsonrpc: "2.0",
        id: 5,
        result: {}
      }])
      yield* remove(headers)
      assert.deepStrictEqual(outline(yield* post(headers, again)), [404, -32600, "init"])
    }).pipe(Effect.provide(process())))

  it.effect("is refused with 429 beyond the limit of open sessions, and answered when one has ended", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const reply = yield* post({}, initializeRequest("2025-11-25"))
      assert.deepStrictEqual(outline(reply), [429, -32603, "init"])
      yield* remove(headers)
      yield* connect()
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.OpenSessions, 1))))))
})

describe("admission", () => {
  it.effect("a request without a session is 400, one with an unknown session 404 (S-S4, S-S6)", () =>
    Effect.gen(function*() {
      const bodies = [request(1, "tools/list"), call(1, "echo", { text: "x" }), request(1, "ping")]
      for (const body of bodies) {
        assert.deepStrictEqual(outline(yield* post({}, body)), [400, -32600, 1])
        assert.deepStrictEqual(outline(yield* post({ "mcp-session-id": "unknown" }, body)), [404, -32600, 1])
      }
      assert.deepStrictEqual(outline(yield* post({}, notification("notifications/initialized"))), [400, -32600])
      assert.deepStrictEqual(outline(yield* get({})), [400, -32600])
      assert.deepStrictEqual(outline(yield* get({ "mcp-session-id": "unknown" })), [404, -32600])
      assert.deepStrictEqual(outline(yield* remove({})), [400, -32600])
      assert.deepStrictEqual(outline(yield* remove({ "mcp-session-id": "unknown" })), [404, -32600])
      assert.deepStrictEqual((yield* World).requests, [])
    }).pipe(Effect.provide(process())))

  it.effect("a stateless request is told to start with initialize, in no code of its own era (S-S4, 1.2)", () =>
    Effect.gen(function*() {
      const _meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}
      }
      const discover = request(1, "server/discover", { _meta })
      assert.deepStrictEqual(outline(yield* post({}, discover)), [400, -32600, 1])
      assert.deepStrictEqual(outline(yield* post({ "mcp-protocol-version": "2026-07-28" }, discover)), [400, -32600, 1])
    }).pipe(Effect.provide(process())))

  it.effect("another principal's session is not found (S-S9)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const body = request(1, "ping")
      assert.deepStrictEqual(outline(yield* post(headers, body, "mallory")), [404, -32600, 1])
      assert.deepStrictEqual(outline(yield* get(headers, "mallory")), [404, -32600])
      assert.deepStrictEqual(outline(yield* remove(headers, "mallory")), [404, -32600])
      assert.deepStrictEqual(outline(yield* post(headers, body)), [200, { jsonrpc: "2.0", id: 1, result: {} }])
    }).pipe(Effect.provide(process())))

  it.effect("an unsupported MCP-Protocol-Version is 400; a missing or another supported one keeps the session's (S-V1, S-V2, S-V5)", () =>
    Effect.gen(function*() {
      const headers = yield* connect("2025-06-18")
      const at = (version: string | undefined) => {
        const { "mcp-protocol-version": _, ...rest } = headers
        return version === undefined ? rest : { ...rest, "mcp-protocol-version": version }
      }
      for (const version of ["1999-01-01", "2026-07-28", "", "2025-06-18, 2025-06-18"]) {
        assert.deepStrictEqual(outline(yield* post(at(version), request(1, "ping"))), [400, -32600, 1])
        assert.deepStrictEqual(outline(yield* get(at(version))), [400, -32600])
        assert.deepStrictEqual(outline(yield* remove(at(version))), [400, -32600])
      }
      for (const version of [undefined, "2025-11-25", "2025-03-26"]) {
        const reply = followed(yield* post(at(version), call(String(version), "echo", { text: "x" })))
        assert.strictEqual(reply.version, "2025-06-18")
        assert.isFalse(reply.priming)
      }
    }).pipe(Effect.provide(process())))

  it.effect("what is no message is 400 without an id, unless it is plain which request was meant (S-P6)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const refused = [
        null,
        1,
        "x",
        {},
        { jsonrpc: "1.0", id: 1, method: "ping" },
        { id: 1, method: "ping" },
        { jsonrpc: "2.0", id: null, method: "ping" },
        { jsonrpc: "2.0", id: 1.5, method: "ping" },
        { jsonrpc: "2.0", id: {}, method: "ping" },
        { jsonrpc: "2.0", id: true, method: "ping" },
        { jsonrpc: "2.0", id: 2 ** 53, method: "ping" },
        { jsonrpc: "2.0", id: 1 },
        { jsonrpc: "2.0", id: 1, result: {}, error: { code: 1, message: "" } },
        { jsonrpc: "2.0", id: 1, error: { code: "1", message: "" } },
        { jsonrpc: "2.0", id: 1, error: 1 },
        { jsonrpc: "2.0", result: {} }
      ]
      for (const body of refused) {
        assert.deepStrictEqual(outline(yield* post(headers, body)), [400, -32600], JSON.stringify(body))
      }
      for (const method of [1, "", null, []]) {
        assert.deepStrictEqual(outline(yield* post(headers, { jsonrpc: "2.0", id: 7, method })), [400, -32600, 7])
      }
      for (const params of [[], 1, "x", null]) {
        const reply = outline(yield* post(headers, { jsonrpc: "2.0", id: 7, method: "tools/list", params }))
        if (params === null) assert.strictEqual((reply as ReadonlyArray<unknown>)[0], 200)
        else assert.deepStrictEqual(reply, [200, -32602, 7])
      }
    }).pipe(Effect.provide(process())))
})

describe("requests", () => {
  it.effect("quick ones are answered as JSON, in the version of the session (S-P7, S-I1)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      assert.deepStrictEqual(outline(yield* post(headers, request("p", "ping"))), [
        200,
        { jsonrpc: "2.0", id: "p", result: {} }
      ])
      const reply = yield* post(headers, request(2, "tools/list"))
      assert(reply._tag === "Json")
      assert.deepStrictEqual(
        JSON.parse(reply.body).result.tools.map((tool: { readonly name: string }) => tool.name),
        ["echo", "wait"]
      )
      const unknown = yield* post(headers, request(3, "no/such"))
      assert(unknown._tag === "Json")
      assert.strictEqual(unknown.status, 200) // S-P11
      assert.deepStrictEqual(JSON.parse(unknown.body).error.code, -32601)
      const asRequest = yield* post(headers, request(4, "notifications/initialized"))
      assert(asRequest._tag === "Json")
      assert.deepStrictEqual(JSON.parse(asRequest.body).error.code, -32601)
    }).pipe(Effect.provide(process())))

  it.effect("a session that has not said `initialized` is served (S-L8)", () =>
    Effect.gen(function*() {
      const opened = yield* post({}, initializeRequest("2025-11-25"))
      assert(opened._tag === "Json")
      const reply = yield* post(
        { "mcp-session-id": opened.headers!["mcp-session-id"]! },
        call(1, "echo", { text: "a" })
      )
      assert.strictEqual((yield* readAll(reply)).length, 1)
    }).pipe(Effect.provide(process())))

  it.effect("a call is answered on a stream, with a priming event only from 2025-11-25 on (S-R3)", () =>
    Effect.gen(function*() {
      for (const version of versions) {
        const headers = yield* connect(version)
        const reply = yield* post(headers, call("a", "echo", { text: "hi" }, { progressToken: 7 }))
        const { afterSeq, priming, progressToken, session } = followed(reply)
        assert.deepStrictEqual({ afterSeq, priming, progressToken, session }, {
          afterSeq: 0,
          priming: version === "2025-11-25",
          progressToken: 7,
          session: undefined
        })
        const [message, ...more] = yield* readAll(reply)
        assert.deepStrictEqual(more, [])
        const { id, result } = message as { readonly id: unknown; readonly result: { readonly content: unknown } }
        assert.strictEqual(id, "a")
        assert.deepStrictEqual(result.content, [{ type: "text", text: "hi" }])
      }
    }).pipe(Effect.provide(process())))

  it.effect("a repeat joins the stream of the first, while it runs and after (S-P10)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const gate = yield* Deferred.make<void>()
      world.wait = Deferred.await(gate)
      const headers = yield* connect()
      const first = followed(yield* post(headers, call(1, "wait")))
      const second = followed(yield* post(headers, call(1, "wait")))
      assert.deepStrictEqual(second, first)
      const both = yield* Effect.forkChild(Effect.all([readAll(first), readAll(second)], { concurrency: 2 }))
      yield* Deferred.succeed(gate, undefined)
      const [one, two] = yield* Fiber.join(both)
      assert.deepStrictEqual(one, two)
      assert.deepStrictEqual(yield* readAll(yield* post(headers, call(1, "wait"))), one)
      assert.deepStrictEqual(world.ran, ["wait"])
    }).pipe(Effect.provide(process())))

  it.effect("other params under a used id are refused; ids differ by type and by session (S-P10)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      yield* readAll(yield* post(headers, call(1, "echo", { text: "a" })))
      assert.deepStrictEqual(outline(yield* post(headers, call(1, "echo", { text: "b" }))), [400, -32600, 1])
      assert.deepStrictEqual(outline(yield* post(headers, request(1, "prompts/get", { name: "x" }))), [400, -32600, 1])
      yield* readAll(yield* post(headers, call("1", "echo", { text: "b" })))
      yield* readAll(yield* post(yield* connect(), call(1, "echo", { text: "c" })))
      assert.strictEqual(world.ran.length, 3)
      assert.strictEqual(new Set(world.requests.map(({ id }) => id)).size, 3)
      for (const { id } of world.requests) assert.notInclude(id, sessionOf(headers))
    }).pipe(Effect.provide(process())))

  it.effect("an id that is no Unicode is refused: two of them would be one (S-P10)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      for (const id of ["\ud800", "a\udfff"]) {
        assert.deepStrictEqual(outline(yield* post(headers, call(id, "echo", { text: "a" }))), [400, -32600])
      }
      assert.deepStrictEqual((yield* World).ran, [])
    }).pipe(Effect.provide(process())))

  it.effect("dropping the request stops nothing (S-P15)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const gate = yield* Deferred.make<void>()
      world.wait = Deferred.await(gate)
      const headers = yield* connect()
      const first = followed(yield* post(headers, call(1, "wait")))
      const reading = yield* Effect.forkChild(readAll(first))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(reading)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* readAll(first)).length, 1)
      assert.deepStrictEqual(world.cancelled, [])
    }).pipe(Effect.provide(process())))

  it.effect("the rejections of the engine have statuses of their own", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      const statuses: Record<string, unknown> = {}
      for (const reason of ["Conflict", "Forgotten", "Busy", "Stopping"] as const) {
        world.reject = reason
        statuses[reason] = outline(yield* post(headers, call(1, "echo", { text: "" })))
      }
      assert.deepStrictEqual(statuses, {
        Conflict: [400, -32600, 1],
        Forgotten: [400, -32600, 1],
        Busy: [429, -32603, 1],
        Stopping: [503, -32603, 1]
      })
    }).pipe(Effect.provide(process())))

  it.effect("a new call beyond the limit of a session is refused with 429, a repeat of a running one is not", () =>
    Effect.gen(function*() {
      const world = yield* World
      const gate = yield* Deferred.make<void>()
      world.wait = Deferred.await(gate)
      const headers = yield* connect()
      const one = yield* post(headers, call(1, "wait"))
      const two = yield* post(headers, call(2, "wait"))
      assert.deepStrictEqual(outline(yield* post(headers, call(3, "wait"))), [429, -32603, 3])
      assert.deepStrictEqual(outline(yield* post(headers, call(2, "wait"))), ["stream"])
      assert.deepStrictEqual(outline(yield* post(yield* connect(), call(3, "wait"))), ["stream"])
      yield* Deferred.succeed(gate, undefined)
      yield* readAll(one)
      yield* readAll(two)
      while ((yield* Calls).inFlight(sessionOf(headers)) > 0) yield* Effect.yieldNow
      assert.deepStrictEqual(outline(yield* post(headers, call(3, "wait"))), ["stream"])
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.CallsInFlight, 2))))))

  it.effect("a call is stored with the client, and with no header that is not listed (D-8)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect("2025-06-18", { elicitation: {} })
      const sent = { ...headers, authorization: "Bearer secret", cookie: "secret", "user-agent": "agent" }
      yield* readAll(yield* post(sent, call(1, "echo", { text: "a" })))
      yield* readAll(yield* post(sent, call(2, "echo", { text: "a" })))
      const [first, second] = world.requests.map(({ request }) => request)
      assert.deepStrictEqual(first!.profile, {
        session: sessionOf(headers),
        principal: "anonymous",
        clientCapabilities: { elicitation: {} },
        clientInfo: { name: "test", version: "0" },
        initializeMeta: undefined,
        headers: { "user-agent": "agent" }
      })
      assert.strictEqual(second!.profile, first!.profile)
      assert.isTrue(first!.canAsk)
      assert.strictEqual(first!.version, "2025-06-18")
    }).pipe(Effect.provide(process())))
})

describe("what a session is told is on disk first (7.2)", () => {
  const restart = Effect.fnUntraced(function*(
    before: Effect.Effect<{ readonly "mcp-session-id": string }, unknown, any>,
    name: string
  ) {
    const disk = MemoryStore.makeDisk()
    const headers = (yield* before.pipe(Effect.provide(process({ disk })))) as { readonly "mcp-session-id": string }
    return yield* Effect.flatMap(Sessions, (sessions) => sessions.fact(sessionOf(headers), name)).pipe(
      Effect.provide(process({ disk }))
    )
  })

  it.effect("initialized (S-L5), log level (S-LG2), subscriptions (S-RS4), roots (S-O1)", () =>
    Effect.gen(function*() {
      const after = (...bodies: ReadonlyArray<unknown>) =>
        Effect.gen(function*() {
          const headers = yield* connect()
          for (const [index, body] of bodies.entries()) {
            const reply = outline(yield* post(headers, body))
            assert.deepStrictEqual(
              reply,
              "id" in (body as object) ? [200, { jsonrpc: "2.0", id: index, result: {} }] : [202]
            )
          }
          return headers
        })
      assert.strictEqual(yield* restart(after(), Facts.initialized), "true")
      assert.strictEqual(
        yield* restart(after(request(0, "logging/setLevel", { level: "warning" })), Facts.logLevel),
        "\"warning\""
      )
      assert.strictEqual(
        yield* restart(
          after(
            request(0, "resources/subscribe", { uri: "file://a" }),
            request(1, "resources/subscribe", { uri: "file://b" }),
            request(2, "resources/subscribe", { uri: "file://a" }),
            request(3, "resources/unsubscribe", { uri: "file://b" }),
            request(4, "resources/unsubscribe", { uri: "file://c" })
          ),
          Facts.subscriptions
        ),
        "[\"file://a\"]"
      )
      const changed = notification("notifications/roots/list_changed")
      assert.strictEqual(yield* restart(after(changed, changed), Facts.rootsGeneration), "2")
    }))

  it.effect("wrong params change nothing (S-LG2)", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const headers = yield* connect()
      for (const params of [{}, { level: "loud" }, { level: 1 }]) {
        const reply = yield* post(headers, request(1, "logging/setLevel", params))
        assert(reply._tag === "Json")
        assert.strictEqual(JSON.parse(reply.body).error.code, -32602)
      }
      const reply = yield* post(headers, request(1, "resources/subscribe", { uri: 1 }))
      assert(reply._tag === "Json")
      assert.strictEqual(JSON.parse(reply.body).error.code, -32602)
      assert.isUndefined(yield* sessions.fact(sessionOf(headers), Facts.logLevel))
      assert.isUndefined(yield* sessions.fact(sessionOf(headers), Facts.subscriptions))
    }).pipe(Effect.provide(process())))

  it.effect("a session has a limit of subscriptions", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const headers = yield* connect()
      const subscribe = (uri: string) => post(headers, request(1, "resources/subscribe", { uri }))
      yield* subscribe("file://a")
      yield* subscribe("file://b")
      const reply = yield* subscribe("file://c")
      assert(reply._tag === "Json")
      assert.strictEqual(JSON.parse(reply.body).error.code, -32602)
      assert.deepStrictEqual(outline(yield* subscribe("file://b")), [200, { jsonrpc: "2.0", id: 1, result: {} }])
      assert.strictEqual(
        yield* sessions.fact(sessionOf(headers), Facts.subscriptions),
        "[\"file://a\",\"file://b\"]"
      )
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.Subscriptions, 2))))))
})

describe("notifications and responses", () => {
  it.effect("are acknowledged, also unknown and pointless ones (S-P5, S-C2)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      for (
        const body of [
          notification("notifications/progress", { progressToken: 1, progress: 1 }),
          notification("notifications/unknown"),
          notification("no/such", [1]),
          notification("notifications/cancelled"),
          notification("notifications/cancelled", { requestId: null }),
          notification("notifications/cancelled", { requestId: 99, reason: 7 }),
          notification("notifications/cancelled", { requestId: "init" })
        ]
      ) assert.deepStrictEqual(outline(yield* post(headers, body)), [202])
    }).pipe(Effect.provide(process())))

  it.effect("a cancelled call ends without a response, and only that call (S-C1, S-C6)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      const one = yield* post(headers, call(1, "wait"))
      const other = yield* post(headers, call("1", "wait"))
      yield* post(headers, notification("notifications/cancelled", { requestId: 1, reason: "enough" }))
      assert.deepStrictEqual(yield* readAll(one), [])
      assert.deepStrictEqual(world.cancelled.map(({ reason }) => reason), ["enough"])
      // a repeat joins what was cancelled; it is not run again
      assert.deepStrictEqual(yield* readAll(yield* post(headers, call(1, "wait"))), [])
      assert.strictEqual(world.ran.length, 2)
      yield* post(headers, notification("notifications/cancelled", { requestId: "1" }))
      assert.deepStrictEqual(yield* readAll(other), [])
    }).pipe(Effect.provide(process())))

  it.effect("a session cancels no call of another (S-C2)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const gate = yield* Deferred.make<void>()
      world.wait = Deferred.await(gate)
      const headers = yield* connect()
      const one = yield* post(headers, call(1, "wait"))
      yield* post(yield* connect(), notification("notifications/cancelled", { requestId: 1 }))
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* readAll(one)).length, 1)
    }).pipe(Effect.provide(process())))

  it.effect("an answer is 202 when it is stored, 400 without an id when nobody asked (S-P5, S-P6)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      const respond = (id: unknown, rest: object) => post(headers, { jsonrpc: "2.0", id, ...rest })
      assert.deepStrictEqual(outline(yield* respond("asked", { result: { action: "accept" } })), [202])
      assert.deepStrictEqual(outline(yield* respond("asked", { error: { code: -1, message: "no" } })), [202]) // S-A3
      assert.deepStrictEqual(outline(yield* respond("unknown", { result: {} })), [400, -32600])
      assert.deepStrictEqual(outline(yield* respond(1, { result: {} })), [400, -32600])
      assert.deepStrictEqual(world.answered.map(({ answer, session, wireId }) => ({ answer, session, wireId })), [
        { answer: { result: { action: "accept" } }, session: sessionOf(headers), wireId: "asked" },
        { answer: { error: { code: -1, message: "no" } }, session: sessionOf(headers), wireId: "asked" },
        { answer: { result: {} }, session: sessionOf(headers), wireId: "unknown" }
      ])
    }).pipe(Effect.provide(process())))
})

describe("DELETE", () => {
  it.effect("ends the session for ever, on every verb and after a restart (S-S5, S-S7)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const gone = Effect.fnUntraced(function*(headers: Readonly<Record<string, string>>) {
        assert.deepStrictEqual(outline(yield* post(headers, request(1, "ping"))), [404, -32600, 1])
        assert.deepStrictEqual(outline(yield* post(headers, notification("notifications/initialized"))), [404, -32600])
        assert.deepStrictEqual(outline(yield* get(headers)), [404, -32600])
        assert.deepStrictEqual(outline(yield* remove(headers)), [404, -32600])
      })
      const headers = yield* Effect.gen(function*() {
        const headers = yield* connect()
        assert.deepStrictEqual(outline(yield* remove(headers)), [204])
        yield* gone(headers)
        return headers
      }).pipe(Effect.provide(process({ disk })))
      yield* gone(headers).pipe(Effect.provide(process({ disk })))
    }))

  it.effect("cancels the open calls, and closes the open streams (S-S8)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const open = yield* post(headers, call(1, "wait"))
      const standalone = yield* get(headers)
      const reading = yield* Effect.forkChild(
        Effect.all([readAll(open), readAll(standalone)], { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      yield* remove(headers)
      assert.deepStrictEqual(yield* Fiber.join(reading), [[], []])
    }).pipe(Effect.provide(process())))

  it.effect("a call that was accepted while the session ended is cancelled too", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      world.onAccepted = Effect.flatMap(Sessions, (sessions) => sessions.end(sessionOf(headers))).pipe(
        Effect.provideContext(yield* Effect.context<Sessions>())
      )
      assert.deepStrictEqual(outline(yield* post(headers, call(1, "wait"))), [404, -32600, 1])
      assert.strictEqual(world.cancelled.length, 1)
    }).pipe(Effect.provide(process())))

  it.effect("is carried out also where the client does not wait for it (S-S8)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      const standalone = yield* get(headers)
      yield* post(headers, call(1, "wait"))
      const reading = yield* Effect.forkChild(readAll(standalone))
      yield* Effect.yieldNow
      const removing = yield* Effect.forkChild(remove(headers))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(removing)
      assert.strictEqual(world.cancelled.length, 1)
      assert.deepStrictEqual(yield* Fiber.join(reading), [])
    }).pipe(Effect.provide(process())))

  it.effect("calls that a crash saved from it are cancelled at the next start", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const id = yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        const headers = yield* connect()
        yield* post(headers, call(1, "wait"))
        yield* sessions.end(sessionOf(headers)) // and nothing more
        return (yield* World).requests[0]!.id
      }).pipe(Effect.provide(process({ disk })))
      yield* Effect.gen(function*() {
        const world = yield* World
        const store = yield* Store
        while (world.cancelled.length === 0) yield* Effect.yieldNow
        assert.strictEqual(world.cancelled[0]!.id, id)
        while ((yield* store.execution(id))._tag === "Some") yield* Effect.yieldNow // and its session is forgotten
      }).pipe(Effect.provide(process({ disk })))
    }))
})

describe("a deploy", () => {
  it.effect("that took away a capability ends the sessions that were shown it (7.2)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const headers = yield* connect().pipe(Effect.provide(process({ disk })))
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(outline(yield* post(headers, request(1, "ping"))), [404, -32600, 1])
        assert.deepStrictEqual(outline(yield* post(yield* connect(), request(1, "ping"))), [
          200,
          { jsonrpc: "2.0", id: 1, result: {} }
        ])
      }).pipe(Effect.provide(process({ disk, registrations: Layer.empty })))
      // for ever: also when the capability is back
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(outline(yield* post(headers, request(1, "ping"))), [404, -32600, 1])
      }).pipe(Effect.provide(process({ disk })))
    }))

  it.effect("that took away nothing keeps them", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const headers = yield* connect().pipe(Effect.provide(process({ disk, registrations: Layer.empty })))
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(outline(yield* post(headers, request(1, "ping"))), [
          200,
          { jsonrpc: "2.0", id: 1, result: {} }
        ])
      }).pipe(Effect.provide(process({ disk, registrations })))
    }))
})
