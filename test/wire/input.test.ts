/**
 * What no client should send: the answer is the row's, it tells nothing of our
 * inside, and the server goes on.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { MemoryStore } from "effect-durable-mcp"
import { Doors, start } from "./fixture.ts"
import { call, eventsOf, mediaTypes, message, messagesOf, open, reader, type Received, send } from "./raw.ts"

const serve = Effect.gen(function*() {
  const doors = new Doors()
  const { url } = yield* start(MemoryStore.layer, doors)
  return { doors, url }
})

const assertError = (received: Received, status: number, code: number, id?: string | number) => {
  assert.strictEqual(received.status, status, received.text)
  const [body] = messagesOf(received)
  assert.strictEqual(body.error.code, code)
  // Never `null`: the id is the request's or absent (1.4).
  assert.strictEqual(body.id, id)
  assert.strictEqual("id" in body, id !== undefined)
  assert.notMatch(received.text, /\.ts|\.js|node_modules|Error:/)
}

const assertHealthy = (url: URL) =>
  Effect.gen(function*() {
    const peer = yield* open(fetch, url)
    const [answer] = messagesOf(yield* peer.post(call(1, "echo", { text: "well" })))
    assert.strictEqual(answer.result.content[0].text, "well")
  })

describe("bad input", () => {
  it.live("not JSON: 400, -32700 (1.2 step 4)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (const body of ["", "{", "{\"jsonrpc\":\"2.0\"", "undefined", "\u0000", "[1,", "'{}'"]) {
        assertError(yield* peer.post(body), 400, -32700)
      }
      yield* assertHealthy(url)
    }))

  it.live("not JSON-RPC: 400, -32600", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (
        const body of [
          null,
          1,
          "\"text\"",
          true,
          {},
          { jsonrpc: "2.0" },
          { jsonrpc: "1.0", id: 1, method: "ping" },
          { id: 1, method: "ping" },
          { jsonrpc: "2.0", id: null, method: "ping" },
          { jsonrpc: "2.0", id: 1.5, method: "ping" },
          { jsonrpc: "2.0", id: {}, method: "ping" },
          { jsonrpc: "2.0", id: 1, method: 1 },
          { jsonrpc: "2.0", id: 1, method: null },
          { jsonrpc: "2.0", method: ["ping"] }
        ]
      ) {
        const received = yield* peer.post(body)
        assert.strictEqual(received.status, 400, JSON.stringify(body))
        assert.strictEqual(JSON.parse(received.text).error.code, -32600, JSON.stringify(body))
        assert.notStrictEqual(JSON.parse(received.text).id, null)
      }
      yield* assertHealthy(url)
    }))

  it.live("params of the wrong type: an error with the id of the request", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      let id = 0
      for (
        const [method, params] of [
          ["tools/call", {}],
          ["tools/call", { name: 1 }],
          ["tools/call", { name: "echo", arguments: "text" }],
          ["tools/call", { name: "echo", arguments: [1] }],
          ["tools/call", { name: "no_such_tool" }],
          ["resources/read", {}],
          ["resources/read", { uri: 7 }],
          ["prompts/get", { name: "no_such_prompt" }],
          ["prompts/get", { name: "greet" }],
          ["completion/complete", { ref: { type: "ref/nothing" } }],
          ["logging/setLevel", { level: "loud" }],
          ["tools/list", { cursor: "no such cursor" }]
        ] as const
      ) {
        const received = yield* peer.post(message(++id, method, params))
        const answer = messagesOf(received).at(-1)
        assert.strictEqual(received.status, 200, `${method} ${JSON.stringify(params)}: ${received.text}`)
        assert.strictEqual(answer.error.code, -32602, `${method} ${JSON.stringify(params)}: ${received.text}`)
        assert.strictEqual(answer.id, id)
      }
      for (const params of ["text", 1, [1], null]) {
        const received = yield* peer.post(message(++id, "tools/call", params))
        const answer = messagesOf(received).at(-1)
        assert.include([-32600, -32602], answer.error.code, received.text)
      }
      yield* assertHealthy(url)
    }))

  it.live("unknown methods: -32601 for requests, 202 for notifications", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (const method of ["no/such", "tools/call ", "notifications/initialized", "constructor", "__proto__"]) {
        const received = yield* peer.post(message(`m-${method}`, method))
        assertError(received, 200, -32601, `m-${method}`)
      }
      assert.strictEqual((yield* peer.post({ jsonrpc: "2.0", method: "notifications/no_such" })).status, 202)
      yield* assertHealthy(url)
    }))

  it.live("a foreign, unknown or malformed Last-Event-ID: 400, all the same (S-R7)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const [mine, other] = [yield* open(fetch, url), yield* open(fetch, url)]
      const foreign = eventsOf((yield* other.post(call(1, "echo", { text: "secret" }))).text)[0]!.id!
      const bodies = new Set<string>()
      for (
        const id of [
          foreign,
          "999999:0",
          "nothing",
          ":",
          "1:",
          "1:-1",
          "1:1.5",
          "1:1e9",
          "1:99999999999999999999",
          "x".repeat(5000),
          `${foreign.split(":")[0]}:99999`
        ]
      ) {
        const response = yield* mine.get({ "last-event-id": id })
        assert.strictEqual(response.status, 400, id)
        bodies.add(yield* Effect.promise(() => response.text()))
      }
      assert.strictEqual(bodies.size, 1)
      assert.notInclude(Array.from(bodies)[0], "secret")
    }))

  it.live("a Last-Event-ID of one stream replays nothing of another (S-R7)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      const first = eventsOf((yield* peer.post(call(1, "echo", { text: "one" }))).text)
      yield* peer.post(call(2, "echo", { text: "two" }))
      const replayed = yield* Effect.promise(() =>
        fetch(url, { headers: { ...peer.headers, "last-event-id": first[0]!.id! } }).then((response) => response.text())
      )
      assert.include(replayed, "one")
      assert.notInclude(replayed, "two")
    }))

  it.live("event ids are unique over all streams of a session (S-R1)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      const ids: Array<string | undefined> = []
      for (let i = 0; i < 5; i++) {
        ids.push(...eventsOf((yield* peer.post(call(i, "walk", { n: 3 }))).text).map((event) => event.id))
      }
      assert.strictEqual(new Set(ids).size, ids.length)
      assert.notInclude(ids, undefined)
    }))

  it.live("a repeated id joins, the same id for something else is refused, 1 is not \"1\" (S-P10)", () =>
    Effect.gen(function*() {
      const { doors, url } = yield* serve
      const peer = yield* open(fetch, url)
      const first = yield* peer.post(call(1, "walk", { n: 2 }))
      const again = yield* peer.post(call(1, "walk", { n: 2 }))
      assert.strictEqual(again.text, first.text)
      assert.strictEqual(doors.arrivals("step-1"), 1)
      assertError(yield* peer.post(call(1, "walk", { n: 3 })), 400, -32600, 1)
      assertError(yield* peer.post(call(1, "echo", { text: "x" })), 400, -32600, 1)
      const other = messagesOf(yield* peer.post(call("1", "echo", { text: "text id" }))).at(-1)
      assert.strictEqual(other.id, "1")
      assert.strictEqual(other.result.content[0].text, "text id")
      assert.strictEqual(doors.arrivals("step-1"), 1)
    }))

  it.live("two POSTs of one id at the same time run once (S-P10)", () =>
    Effect.gen(function*() {
      const { doors, url } = yield* serve
      const peer = yield* open(fetch, url)
      const answers = yield* Effect.all(Array.from({ length: 8 }, () => peer.post(call(1, "walk", { n: 2 }))), {
        concurrency: "unbounded"
      })
      for (const answer of answers) assert.strictEqual(messagesOf(answer).at(-1).result.content[0].text, "done:2")
      assert.strictEqual(doors.arrivals("step-1"), 1)
    }))

  it.live("sessions: none is 400, unknown is 404, strange is 404 (S-S4, S-S6)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      assertError(yield* send(fetch, url, message(1, "tools/list")), 400, -32600, 1)
      for (const session of ["unknown", "x".repeat(2000), "%00", "../../etc/passwd", "'; drop table session"]) {
        const headers = { ...mediaTypes, "mcp-session-id": session }
        const posted = yield* send(fetch, url, message(1, "tools/list"), headers)
        assert.strictEqual(posted.status, 404, session)
        for (const method of ["GET", "DELETE"]) {
          const { status } = yield* Effect.promise(() => fetch(url, { method, headers }))
          assert.strictEqual(status, 404, `${method} ${session}`)
        }
      }
      yield* assertHealthy(url)
    }))

  it.live("initialize: again 400 (S-L9), unknown versions get the newest (S-L3), no params is an error", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "x", version: "1" } }
      assertError(yield* peer.post(message(9, "initialize", params)), 400, -32600, 9)
      for (const protocolVersion of ["1999-01-01", "2026-07-28", "", "x".repeat(1000)]) {
        const received = yield* send(fetch, url, message(1, "initialize", { ...params, protocolVersion }))
        assert.strictEqual(messagesOf(received)[0].result?.protocolVersion, "2025-11-25", protocolVersion)
      }
      for (const broken of [undefined, {}, { protocolVersion: 1 }, { ...params, clientInfo: 1 }]) {
        const received = yield* send(fetch, url, message(1, "initialize", broken))
        assert.strictEqual(messagesOf(received)[0].error?.code, -32602, JSON.stringify(broken))
        assert.isNull(received.headers.get("mcp-session-id"))
      }
    }))

  it.live("protocol version header: unsupported is 400 (S-V1), another supported one is not (S-V5)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (const version of ["1999-01-01", "2025-11-25, 2025-06-18", "latest"]) {
        const received = yield* peer.post(message(1, "ping"), { "mcp-protocol-version": version })
        assert.strictEqual(received.status, 400, version)
      }
      assert.strictEqual((yield* peer.post(message(1, "ping"), { "mcp-protocol-version": "2025-06-18" })).status, 200)
    }))

  it.live("batches: refused since 2025-06-18 (S-P4), served in 2025-03-26 (S-B1, S-B2, S-B4)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const batch = [message(1, "ping"), call(2, "echo", { text: "in a batch" })]
      for (const version of ["2025-06-18", "2025-11-25"]) {
        const peer = yield* open(fetch, url, { version })
        assertError(yield* peer.post(batch), 400, -32600)
      }
      const peer = yield* open(fetch, url, { version: "2025-03-26" })
      const received = yield* peer.post(batch)
      assert.strictEqual(received.status, 200)
      const answers: Array<any> = JSON.parse(received.text)
      assert.deepStrictEqual(answers.map((answer) => answer.id).toSorted(), [1, 2])
      assertError(yield* peer.post([]), 400, -32600)
      assertError(yield* peer.post([message(1, "initialize", {})]), 400, -32600)
      const notifications = [{ jsonrpc: "2.0", method: "notifications/progress", params: {} }]
      assert.strictEqual((yield* peer.post(notifications)).status, 202)
      yield* assertHealthy(url)
    }))

  it.live("answers to questions nobody asked: 400 without an id (S-P6)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (const id of ["unknown", 1, "x".repeat(44), "A".repeat(44), "x".repeat(10_000)]) {
        const received = yield* peer.post({ jsonrpc: "2.0", id, result: {} })
        assert.isAtLeast(received.status, 400)
        assert.isBelow(received.status, 500)
        assert.isFalse("id" in JSON.parse(received.text))
      }
      yield* assertHealthy(url)
    }))

  it.live("an answer of another session changes nothing (S-P6)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const capabilities = { elicitation: {} }
      const [mine, other] = [yield* open(fetch, url, { capabilities }), yield* open(fetch, url, { capabilities })]
      const events = reader(
        yield* Effect.promise(() =>
          fetch(url, { method: "POST", headers: mine.headers, body: JSON.stringify(call(1, "ask")) })
        )
      )
      yield* events.next
      const question = JSON.parse((yield* events.next)!.data)
      assert.strictEqual(question.method, "elicitation/create")
      const answer = { jsonrpc: "2.0", id: question.id, result: { action: "accept", content: { ok: true } } }
      assert.strictEqual((yield* other.post(answer)).status, 400)
      assert.strictEqual((yield* mine.post({ ...answer, result: { action: "decline" } })).status, 202)
      // The first answer is final.
      assert.strictEqual((yield* mine.post(answer)).status, 202)
      const result = JSON.parse((yield* events.next)!.data)
      assert.include(JSON.stringify(result), "Declined")
      assert.isUndefined(yield* events.next)
    }))

  it.live("notifications with nonsense inside are ignored (S-C2)", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (
        const params of [undefined, {}, { requestId: null }, { requestId: {} }, { requestId: "unknown" }, {
          requestId: "init"
        }, { requestId: 1, reason: 7 }]
      ) {
        const received = yield* peer.post({ jsonrpc: "2.0", method: "notifications/cancelled", params })
        assert.strictEqual(received.status, 202, JSON.stringify(params))
      }
      yield* assertHealthy(url)
    }))

  it.live("text that a store cannot keep is refused or kept, never 5xx", () =>
    Effect.gen(function*() {
      const { url } = yield* serve
      const peer = yield* open(fetch, url)
      for (const text of ["\u0000", "\uD800", "x\u0000y", "\uDFFFx"]) {
        const inArgs = yield* peer.post(call(`args-${JSON.stringify(text)}`, "echo", { text }))
        assert.isBelow(inArgs.status, 500, JSON.stringify(text))
        const inId = yield* peer.post(call(text, "echo", { text: "x" }))
        assert.isBelow(inId.status, 500, JSON.stringify(text))
        const inName = yield* peer.post(message(`name-${JSON.stringify(text)}`, text))
        assert.isBelow(inName.status, 500, JSON.stringify(text))
      }
      yield* assertHealthy(url)
    }))
})
