import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { Reply } from "../../src/protocol/Reply.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import { get, makeApp, post, type Protocol } from "./harness.ts"

const ping = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" })

/** Answers any message with what it was. */
const echo: Protocol = {
  post: (_, body) => Effect.succeed<Reply>({ _tag: "Json", status: 200, body: JSON.stringify(body) }),
  get: () => Effect.succeed<Reply>({ _tag: "Empty", status: 200 }),
  delete: () => Effect.succeed<Reply>({ _tag: "Empty", status: 204 })
}

interface Received {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

const receive = (response: HttpServerResponse.HttpServerResponse): Effect.Effect<Received> =>
  Effect.promise(async () => {
    const web = HttpServerResponse.toWeb(response)
    return { status: web.status, headers: web.headers, text: await web.text() }
  })

const request = (request: Request, options?: Parameters<typeof makeApp>[1], protocol: Protocol = echo) =>
  Effect.gen(function*() {
    const app = yield* makeApp(protocol, options)
    return yield* Effect.flatMap(app.send(request), receive)
  })

/** A refusal is a JSON-RPC error without an id, in JSON, and tells nothing of our inside (1.4). */
const assertRefused = (received: Received, status: number, code = -32600) => {
  assert.strictEqual(received.status, status)
  assert.strictEqual(received.headers.get("content-type"), "application/json")
  const body = JSON.parse(received.text)
  assert.deepStrictEqual(Object.keys(body), ["jsonrpc", "error"])
  assert.strictEqual(body.error.code, code)
  assert.notMatch(body.error.message, /\bat\b.*[:/]|Error:/)
}

describe("Http", () => {
  describe("Origin (S-P2)", () => {
    for (
      const [origin, allowed] of [
        [undefined, true],
        ["http://localhost", true],
        ["http://localhost:6274", true],
        ["https://127.0.0.1:8080", true],
        ["http://127.9.9.9", true],
        ["http://[::1]:3000", true],
        ["http://evil.example.com", false],
        ["http://localhost.evil.example.com", false],
        ["http://127.0.0.1.evil.example.com", false],
        ["http://evil.example.com/localhost", false],
        ["null", false],
        ["", false]
      ] as const
    ) {
      it.effect(`${origin ?? "none"} is ${allowed ? "allowed" : "refused"}`, () =>
        Effect.gen(function*() {
          const received = yield* request(post(ping, origin === undefined ? {} : { origin }))
          if (allowed) assert.strictEqual(received.status, 200)
          else assertRefused(received, 403)
        }))
    }

    it.effect("a list replaces the loopback rule", () =>
      Effect.gen(function*() {
        const options = { http: { allowedOrigins: ["https://app.example"] } }
        assert.strictEqual((yield* request(post(ping, { origin: "https://app.example" }), options)).status, 200)
        assertRefused(yield* request(post(ping, { origin: "https://app.example:444" }), options), 403)
        assertRefused(yield* request(post(ping, { origin: "http://localhost" }), options), 403)
      }))

    it.effect("is judged for every verb, before anything else", () =>
      Effect.gen(function*() {
        for (const method of ["GET", "DELETE", "PUT", "OPTIONS"]) {
          const headers = { origin: "http://evil.example.com" }
          assertRefused(yield* request(new Request("http://localhost/mcp", { method, headers })), 403)
        }
      }))
  })

  describe("Host (S-P3)", () => {
    for (
      const [host, allowed] of [
        ["localhost:3000", true],
        ["LOCALHOST", true],
        ["127.0.0.1:3000", true],
        ["[::1]:3000", true],
        ["evil.example.com", false],
        ["evil.example.com:3000", false],
        ["localhost.example.com", false]
      ] as const
    ) {
      it.effect(`${host} is ${allowed ? "allowed" : "refused"}`, () =>
        Effect.gen(function*() {
          const received = yield* request(post(ping, { host }))
          if (allowed) assert.strictEqual(received.status, 200)
          else assertRefused(received, 403)
        }))
    }

    it.effect("names can be given", () =>
      Effect.gen(function*() {
        const options = { http: { allowedHosts: ["mcp.example"] } }
        assert.strictEqual((yield* request(post(ping, { host: "MCP.example:8443" }), options)).status, 200)
        assertRefused(yield* request(post(ping, { host: "localhost" }), options), 403)
      }))
  })

  describe("media types", () => {
    for (
      const [contentType, allowed] of [
        ["application/json", true],
        ["application/json; charset=utf-8", true],
        ["Application/JSON;charset=\"UTF-8\"", true],
        ["application/json; profile=x", true],
        ["application/json; charset=latin1", false],
        ["application/jsonp", false],
        ["application/json-rpc", false],
        ["text/plain", false],
        ["", false]
      ] as const
    ) {
      it.effect(`Content-Type ${contentType || "empty"} is ${allowed ? "accepted" : "415"} (S-P9)`, () =>
        Effect.gen(function*() {
          const received = yield* request(post(ping, { "content-type": contentType }))
          if (allowed) assert.strictEqual(received.status, 200)
          else assertRefused(received, 415)
        }))
    }

    it.effect("a compressed body is 415, and told what is taken (S-P9)", () =>
      Effect.gen(function*() {
        for (const encoding of ["gzip", "br", "identity, gzip"]) {
          const received = yield* request(post(ping, { "content-encoding": encoding }))
          assertRefused(received, 415)
          assert.strictEqual(received.headers.get("accept-encoding"), "identity")
        }
        assert.strictEqual((yield* request(post(ping, { "content-encoding": "identity" }))).status, 200)
      }))

    for (
      const [accept, allowed] of [
        ["application/json, text/event-stream", true],
        ["text/event-stream,application/json", true],
        ["*/*", true],
        ["text/*, application/*;q=0.1", true],
        ["text/event-stream;q=0.9, application/json;q=1.0, */*;q=0.1", true],
        ["application/json", false],
        ["text/event-stream", false],
        ["text/html", false],
        ["*/*, text/event-stream;q=0", false],
        ["application/json, text/event-stream;q=0.0", false],
        ["", false]
      ] as const
    ) {
      it.effect(`Accept ${accept || "empty"} is ${allowed ? "accepted" : "406"} for POST (S-P8)`, () =>
        Effect.gen(function*() {
          const received = yield* request(post(ping, { accept }))
          if (allowed) assert.strictEqual(received.status, 200)
          else assertRefused(received, 406)
        }))
    }

    it.effect("GET takes event streams only (S-P8)", () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* request(get())).status, 200)
        assert.strictEqual((yield* request(get({ accept: "*/*" }))).status, 200)
        assertRefused(yield* request(get({ accept: "application/json" })), 406)
      }))
  })

  describe("body", () => {
    for (
      const [name, body] of [
        ["empty", ""],
        ["cut", "{\"jsonrpc\":\"2.0\",\"id\":1,\"meth"],
        ["no JSON", "hello"],
        ["two values", `${ping}${ping}`],
        ["no UTF-8", new Uint8Array([0x22, 0xC3, 0x28, 0x22])]
      ] as const
    ) {
      it.effect(`${name} is 400 and -32700 (1.2)`, () =>
        Effect.gen(function*() {
          assertRefused(yield* request(post(body)), 400, -32700)
        }))
    }

    it.effect("any JSON reaches the protocol, a byte order mark does not", () =>
      Effect.gen(function*() {
        for (const body of ["null", "0", "\"text\"", "[]", "{\"__proto__\":1}"]) {
          const received = yield* request(post(`\uFEFF${body}`))
          assert.strictEqual(received.status, 200)
          assert.strictEqual(received.text, body)
        }
      }))

    it.effect("is 413 above the limit, whether or not it says its size", () =>
      Effect.gen(function*() {
        const app = yield* makeApp(echo)
        const body = (bytes: number) => JSON.stringify("x".repeat(bytes - 2))
        const chunked = (text: string) =>
          new Request("http://localhost/mcp", {
            method: "POST",
            headers: { "content-type": "application/json", "accept": "*/*" },
            body: new Blob([text]).stream(),
            // @ts-expect-error Node's fetch wants it, the DOM's type does not know it.
            duplex: "half"
          })
        const limit = 4 * 1024 * 1024
        assert.strictEqual((yield* app.send(post(body(limit)))).status, 200)
        assert.strictEqual((yield* app.send(chunked(body(limit)))).status, 200)
        const declared = post(body(limit + 1), { "content-length": String(limit + 1) })
        assertRefused(yield* Effect.flatMap(app.send(declared), receive), 413)
        assertRefused(yield* Effect.flatMap(app.send(chunked(body(limit + 1))), receive), 413)
      }))

    it.effect("is 400 when nested too deeply, and brackets in strings do not nest", () =>
      Effect.gen(function*() {
        const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
        assert.strictEqual((yield* request(post(nested(128)))).status, 200)
        assertRefused(yield* request(post(nested(129))), 400)
        assertRefused(yield* request(post("{\"a\":".repeat(100_000) + "1" + "}".repeat(100_000))), 400)
        const text = JSON.stringify({ text: `\\"${"[{".repeat(1000)}` })
        assert.strictEqual((yield* request(post(text))).text, text)
        const wide = JSON.stringify(Array.from({ length: 1000 }, () => ({ a: [] })))
        assert.strictEqual((yield* request(post(wide))).text, wide)
      }))
  })

  it.effect("other verbs are 405 and told which there are (S-P1)", () =>
    Effect.gen(function*() {
      for (const method of ["PUT", "PATCH", "OPTIONS"]) {
        const received = yield* request(new Request("http://localhost/mcp", { method }))
        assertRefused(received, 405)
        assert.strictEqual(received.headers.get("allow"), "GET, POST, DELETE")
      }
    }))

  describe("replies", () => {
    const answer = (reply: Reply) => request(post(ping), {}, { post: () => Effect.succeed(reply) })

    it.effect("Acknowledged is 202 without a body (S-P5)", () =>
      Effect.gen(function*() {
        const received = yield* answer({ _tag: "Acknowledged" })
        assert.strictEqual(received.status, 202)
        assert.strictEqual(received.text, "")
      }))

    it.effect("Json has its headers", () =>
      Effect.gen(function*() {
        const received = yield* answer({ _tag: "Json", status: 200, body: "{}", headers: { "mcp-session-id": "s" } })
        assert.strictEqual(received.headers.get("content-type"), "application/json")
        assert.strictEqual(received.headers.get("mcp-session-id"), "s")
        assert.strictEqual(received.text, "{}")
      }))

    it.effect("Refused has the id of a known request, else none (1.4)", () =>
      Effect.gen(function*() {
        const error = { code: -32600, message: "no" }
        assertRefused(yield* answer({ _tag: "Refused", status: 404, error }), 404)
        const { text } = yield* answer({ _tag: "Refused", status: 400, error, id: "1" })
        assert.deepStrictEqual(JSON.parse(text), { jsonrpc: "2.0", id: "1", error })
      }))
  })

  describe("failures of ours", () => {
    const failing = (reason: StoreError["reason"], body = ping) =>
      request(post(body), {}, {
        post: () => Effect.fail(new StoreError({ reason, message: "/secret/path.db is full" }))
      })

    it.effect("a store that cannot store is 503, with the request's id and a time to come back", () =>
      Effect.gen(function*() {
        for (const reason of ["DiskFull", "Fenced", "Io"] as const) {
          const received = yield* failing(reason)
          assert.strictEqual(received.status, 503)
          assert.strictEqual(received.headers.get("retry-after"), "1")
          assert.notInclude(received.text, "secret")
          assert.strictEqual(JSON.parse(received.text).id, 1)
        }
        const notification = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" })
        assertRefused(yield* failing("DiskFull", notification), 503, -32603)
      }))

    it.effect("a message that cannot be stored is the client's fault", () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* failing("PayloadTooLarge")).status, 413)
        assert.strictEqual((yield* failing("InvalidText")).status, 400)
      }))

    it.effect("a defect is 500 and says nothing", () =>
      Effect.gen(function*() {
        const received = yield* request(post(ping), {}, { post: () => Effect.die(new Error("secret")) })
        assertRefused(received, 500, -32603)
        assert.notInclude(received.text, "secret")
      }))

    it.effect("during shutdown it is 503", () =>
      Effect.gen(function*() {
        const app = yield* makeApp(echo)
        yield* app.shutdown
        const received = yield* Effect.flatMap(app.send(post(ping)), receive)
        assertRefused(received, 503, -32603)
        assert.strictEqual(received.headers.get("retry-after"), "1")
      }))
  })
})
