/**
 * What only real sockets show: bodies that never end, readers that stall,
 * servers that close.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Latch, Layer, Scope } from "effect"
import { HttpServer } from "effect/http"
import { connect, type Socket } from "node:net"
import type { Reply } from "../../src/protocol/Reply.ts"
import { SessionEra } from "../../src/protocol/SessionEra.ts"
import * as Http from "../../src/transport/Http.ts"
import * as NodeServer from "../../src/transport/NodeServer.ts"
import { follow, type Log, makeLog, type Protocol } from "./harness.ts"

const start = Effect.fnUntraced(function*(protocol: Protocol, options?: {
  readonly log?: Log
  readonly server?: Partial<NodeServer.Options>
}) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const app = Http.layer({ path: "/mcp" }).pipe(Layer.provide([
    Layer.mock(SessionEra)(protocol),
    (options?.log ?? makeLog()).layer
  ]))
  const context = yield* Layer.buildWithScope(
    NodeServer.serve({ port: 0, disableListenLog: true, ...options?.server })(app),
    scope
  )
  const address = yield* HttpServer.addressFormattedWith(Effect.succeed).pipe(Effect.provideContext(context))
  const url = new URL("/mcp", address)
  return { url, close: Scope.close(scope, Exit.void) }
})

/** A client that writes what it is told and keeps what it hears. */
const open = (url: URL) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly socket: Socket; readonly heard: () => string; readonly closed: Effect.Effect<void> }>(
      (resume) => {
        const socket = connect(Number(url.port), url.hostname)
        let heard = ""
        let isClosed = false
        socket.on("data", (chunk) => heard += chunk.toString())
        socket.on("error", () => {})
        socket.on("close", () => isClosed = true)
        socket.on(
          "connect",
          () => resume(Effect.succeed({ socket, heard: () => heard, closed: until(() => isClosed) }))
        )
      }
    ),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** Waits for a condition that a socket brings about. */
const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.sleep(2), until(condition)))

const head = (url: URL, lines: ReadonlyArray<string>) =>
  [
    "POST /mcp HTTP/1.1",
    `Host: ${url.host}`,
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    ...lines,
    "",
    ""
  ].join("\r\n")

const json: Reply = { _tag: "Json", status: 200, body: "{}" }
const ok: Protocol = { post: () => Effect.succeed(json) }
const streaming: Protocol = { post: () => Effect.succeed<Reply>(follow) }

const call = (url: URL, init?: RequestInit) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "accept": "application/json, text/event-stream" },
    body: "{}",
    ...init
  })

describe("NodeServer", () => {
  it.live("is reachable at its address, from this machine only by default (S-P3)", () =>
    Effect.gen(function*() {
      const { url } = yield* start(ok)
      assert.strictEqual(url.hostname, "127.0.0.1")
      assert.strictEqual((yield* Effect.promise(() => call(url))).status, 200)
    }))

  it.live("a port that is taken is a typed error", () =>
    Effect.gen(function*() {
      const { url } = yield* start(ok)
      const error = yield* Effect.flip(start(ok, { server: { port: Number(url.port) } }))
      assert.strictEqual(error._tag, "ServeError")
    }))

  it.live("a body that is never sent whole gets 408, and the server goes on", () =>
    Effect.gen(function*() {
      const { url } = yield* start(ok, { server: { requestTimeout: 100 } })
      const client = yield* open(url)
      client.socket.write(`${head(url, ["Content-Length: 100"])}{"jsonrpc":`)
      yield* client.closed
      assert.match(client.heard(), /^HTTP\/1\.1 408 /)
      assert.strictEqual((yield* Effect.promise(() => call(url))).status, 200)
    }))

  it.live("a body that breaks off is nobody's request", () =>
    Effect.gen(function*() {
      let posts = 0
      const { url } = yield* start({ post: () => Effect.sync((): Reply => (posts++, { _tag: "Acknowledged" })) })
      for (const framing of ["Content-Length: 100", "Transfer-Encoding: chunked"]) {
        const client = yield* open(url)
        client.socket.write(`${head(url, [framing])}5\r\n{"jso\r\n`)
        client.socket.destroy()
        yield* client.closed
      }
      assert.strictEqual((yield* Effect.promise(() => call(url))).status, 202)
      assert.strictEqual(posts, 1)
    }))

  it.live("an endless body is answered with 413 and cut", () =>
    Effect.gen(function*() {
      const { url } = yield* start(ok)
      const client = yield* open(url)
      client.socket.write(head(url, ["Transfer-Encoding: chunked"]))
      const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`
      let written = 0
      while (!client.socket.destroyed && client.heard() === "") {
        written += 0x10000
        assert.isBelow(written, 64 * 1024 * 1024)
        yield* Effect.callback<void>((resume) => {
          client.socket.write(chunk, () => resume(Effect.void))
        })
      }
      assert.match(client.heard(), /^HTTP\/1\.1 413 /)
      yield* client.closed
    }))

  it.live("headers of an event stream leave at once", () =>
    Effect.gen(function*() {
      const { url } = yield* start({ post: () => Effect.succeed<Reply>({ ...follow, priming: false }) })
      const controller = new AbortController()
      const response = yield* Effect.promise(() => call(url, { signal: controller.signal }))
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      controller.abort()
    }))

  it.live("a client that goes frees its follower (S-P15)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      const { url } = yield* start(streaming, { log })
      const controller = new AbortController()
      yield* Effect.promise(() => call(url, { signal: controller.signal }))
      yield* until(() => log.followers() === 1)
      controller.abort()
      yield* until(() => log.followers() === 0)
    }))

  it.live("a reader that stalls holds a page, not the stream", () =>
    Effect.gen(function*() {
      let reads = 0
      const log = makeLog({ pageSize: 1, onPoll: () => reads++ })
      const { url } = yield* start(streaming, { log })
      const client = yield* open(url)
      client.socket.pause()
      client.socket.write(`${head(url, ["Content-Length: 2"])}{}`)
      yield* until(() => log.followers() === 1)
      const data = JSON.stringify("x".repeat(1024 * 1024))
      for (let i = 0; i < 100; i++) log.append({ data })
      log.append({ data: "1", last: true })
      // The socket's buffers take some; then reading stops until they drain.
      let before = -1
      yield* until(() => {
        const stalled = reads === before && reads > 1
        before = reads
        return stalled
      })
      assert.isBelow(reads, 50)
      client.socket.resume()
      yield* until(() => log.followers() === 0)
      assert.isAbove(reads, 100)
    }))

  describe("closing", () => {
    it.live("ends event streams cleanly and takes no 20 seconds", () =>
      Effect.gen(function*() {
        const { close, url } = yield* start(streaming, { log: makeLog() })
        const response = yield* Effect.promise(() => call(url))
        const before = performance.now()
        const body = Effect.promise(() => response.text())
        const [text] = yield* Effect.all([body, close], { concurrency: 2 })
        assert.strictEqual(text, "id: 7:0\nretry: 1000\ndata: \n\n")
        assert.isBelow(performance.now() - before, 1900)
      }))

    it.live("breaks a response that has shown no event id, so that its client asks again (S-P10)", () =>
      Effect.gen(function*() {
        const log = makeLog()
        const old = { ...follow, priming: false, version: "2025-06-18" }
        const { close, url } = yield* start({ post: () => Effect.succeed(old) }, { log })
        const silent = yield* Effect.promise(() => call(url))
        const broken = silent.text().then(() => "complete", () => "broken")
        yield* until(() => log.followers() === 1)
        yield* close
        assert.strictEqual(yield* Effect.promise(() => broken), "broken")
      }))

    it.live("lets a request under way answer, and closes connections that are kept alive", () =>
      Effect.gen(function*() {
        const latch = yield* Latch.make(false)
        let entered = false
        const { close, url } = yield* start({
          post: () =>
            Effect.suspend(() => {
              entered = true
              return Effect.as(latch.await, json)
            })
        })
        const before = performance.now()
        const response = call(url)
        yield* until(() => entered)
        yield* Effect.all([close, latch.open], { concurrency: 2 })
        assert.strictEqual((yield* Effect.promise(() => response)).status, 200)
        assert.isBelow(performance.now() - before, 1900)
        const refused = yield* Effect.promise(() => call(url).then(() => undefined, (error: Error) => error))
        assert.instanceOf(refused, Error)
      }))

    it.live("cuts a body that is still being sent", () =>
      Effect.gen(function*() {
        const { close, url } = yield* start(ok, { server: { gracefulShutdownTimeout: 50 } })
        const client = yield* open(url)
        client.socket.write(`${head(url, ["Content-Length: 100"])}{"jsonrpc":`)
        yield* Effect.promise(() => call(url))
        const before = performance.now()
        yield* close
        yield* client.closed
        assert.isBelow(performance.now() - before, 1900)
      }))
  })
})
