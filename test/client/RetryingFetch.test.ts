import { assert, describe, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { retryingFetch, type RetryingFetchOptions } from "effect-durable-mcp/client"
import * as ScriptedServer from "./ScriptedServer.ts"

/** Waits of a millisecond, so that tests against real sockets take none. */
const quick: RetryingFetchOptions = { initialDelayMs: 1, maxDelayMs: 1 }

const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "écho", arguments: {} } })
const post = { method: "POST", headers: { "content-type": "application/json" }, body }

const result = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { content: [{ type: "text", text: "grüß" }] } })

const json = (text = result) =>
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`

const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
const lastChunk = "0\r\n\r\n"
const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
const sse = (...events: ReadonlyArray<string>) => `${sseHead}${events.map(chunk).join("")}${lastChunk}`

/** The body of a request as the server got it. */
const bodyOf = (request: string): string => request.slice(request.indexOf("\r\n\r\n") + 4)

const assertSameRequests = (requests: ReadonlyArray<string>): void => {
  for (const request of requests) assert.strictEqual(request, requests[0])
  assert.strictEqual(bodyOf(requests[0]!), body)
}

/** Reads until `length` bytes are here. */
const readBytes = async (reader: ReadableStreamDefaultReader<Uint8Array>, length: number): Promise<string> => {
  const decoder = new TextDecoder()
  let text = ""
  let seen = 0
  while (seen < length) {
    const { done, value } = await reader.read()
    if (done) break
    seen += value.length
    text += decoder.decode(value, { stream: true })
  }
  return text
}

/** A `fetch` that answers from a list: errors are thrown, the last entry stands for all further ones. */
const scripted = (...answers: ReadonlyArray<(() => Response) | Error>) => {
  let calls = 0
  const fetch = (): Promise<Response> => {
    const answer = answers[Math.min(calls++, answers.length - 1)]!
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer())
  }
  return { fetch, calls: () => calls }
}

/** A body of these chunks that is cut after them. */
const cutStream = (...chunks: ReadonlyArray<string>): Response => {
  const pending = chunks.map((text) => new TextEncoder().encode(text))
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const next = pending.shift()
      if (next === undefined) controller.error(new TypeError("terminated"))
      else controller.enqueue(next)
    }
  }, { highWaterMark: 0 })
  return new Response(stream, { headers: { "content-type": "text/event-stream" } })
}

const eventStream = (text: string): Response =>
  new Response(text, { headers: { "content-type": "text/event-stream; charset=utf-8" } })

const url = "http://127.0.0.1/mcp"

describe("retryingFetch", () => {
  describe("cut at every byte", () => {
    it.effect("of a JSON answer: repeated, byte for byte", () =>
      Effect.gen(function*() {
        const full = json()
        for (let cutAt = 0; cutAt < Buffer.byteLength(full); cutAt++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const server = yield* ScriptedServer.make([{ bytes: full, cutAt }, { bytes: full }])
            const text = yield* Effect.promise(async () => (await retryingFetch(quick)(server.url, post)).text())
            assert.strictEqual(text, result)
            assert.strictEqual(server.requests.length, 2, `cut at ${cutAt}`)
            assertSameRequests(server.requests)
          }))
        }
      }))

    it.effect("of a 202 without a body: repeated until its head is whole", () =>
      Effect.gen(function*() {
        const full = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        for (let cutAt = 0; cutAt <= full.length; cutAt++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const server = yield* ScriptedServer.make([{ bytes: full, cutAt }, { bytes: full }])
            const response = yield* Effect.promise(() => retryingFetch(quick)(server.url, post))
            assert.strictEqual(response.status, 202)
            assert.strictEqual(server.requests.length, cutAt < full.length ? 2 : 1, `cut at ${cutAt}`)
          }))
        }
      }))

    it.effect("of the request: repeated, byte for byte", () =>
      Effect.gen(function*() {
        const probe = yield* Effect.scoped(Effect.gen(function*() {
          const server = yield* ScriptedServer.make([{ bytes: json() }])
          yield* Effect.promise(async () => (await retryingFetch(quick)(server.url, post)).text())
          return server.requests[0]!
        }))
        for (let cutRequestAt = 1; cutRequestAt < Buffer.byteLength(probe); cutRequestAt += 3) {
          yield* Effect.scoped(Effect.gen(function*() {
            const server = yield* ScriptedServer.make([{ bytes: "", cutRequestAt }, { bytes: json() }])
            const text = yield* Effect.promise(async () => (await retryingFetch(quick)(server.url, post)).text())
            assert.strictEqual(text, result)
            assert.strictEqual(server.begun(), 2)
            assert.strictEqual(bodyOf(server.requests[0]!), body)
          }))
        }
      }))

    const priming = "id: s1:0\nretry: 500\ndata: \n\n"
    const progress = "id: s1:1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"
    const answer = `id: s1:2\ndata: ${result}\n\n`

    it.effect("of a stream before its first id has ended: repeated, and none of it handed out", () =>
      Effect.gen(function*() {
        const full = sse(priming, progress, answer)
        const firstId = full.indexOf(priming) + priming.length
        for (let cutAt = 0; cutAt < firstId; cutAt++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const server = yield* ScriptedServer.make([{ bytes: full, cutAt }, { bytes: full }])
            const text = yield* Effect.promise(async () => (await retryingFetch(quick)(server.url, post)).text())
            assert.strictEqual(text, priming + progress + answer)
            assert.strictEqual(server.requests.length, 2, `cut at ${cutAt}`)
            assertSameRequests(server.requests)
          }))
        }
      }))

    it.effect("of a stream after its first id: never repeated, the reader sees the cut", () =>
      Effect.gen(function*() {
        const full = sse(priming, progress, answer)
        const firstId = full.indexOf(priming) + priming.length
        for (let cutAt = firstId; cutAt < Buffer.byteLength(full); cutAt++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const read = Promise.withResolvers<void>()
            const server = yield* ScriptedServer.make([{ bytes: full, cutAt, until: read.promise }])
            yield* Effect.promise(async () => {
              const response = await retryingFetch(quick)(server.url, post)
              const reader = response.body!.getReader()
              // The first event was handed out; whatever else was under way dies with the connection.
              assert.isTrue((await readBytes(reader, priming.length)).startsWith(priming))
              read.resolve()
              const rest = async () => {
                while (!(await reader.read()).done) { /* until the cut */ }
              }
              const error: unknown = await rest().then(() => undefined, (error) => error)
              assert.instanceOf(error, TypeError, `cut at ${cutAt}`)
            })
            assert.strictEqual(server.begun(), 1, `cut at ${cutAt}`)
          }))
        }
      }))

    it.effect("of a stream without an id: complete events stay handed out, a cut one is not", () =>
      Effect.gen(function*() {
        const first = ":\n\ndata: {\"a\":1}\n\ndata: {\"b\":2}\n\n"
        const second = "id: s1:0\ndata: \n\n"
        for (let length = 0; length <= first.length; length++) {
          const { calls, fetch } = scripted(() => cutStream(...first.slice(0, length)), () => eventStream(second))
          const text = yield* Effect.promise(async () => (await retryingFetch({ ...quick, fetch })(url, post)).text())
          const complete = first.slice(0, first.lastIndexOf("\n\n", length - 2) + 2)
          assert.strictEqual(text, (length < 3 ? "" : complete) + second, `cut after ${length}`)
          assert.strictEqual(calls(), 2)
        }
      }))
  })

  describe("what begins an answer", () => {
    const begins = (event: string) =>
      Effect.promise(async () => {
        const { calls, fetch } = scripted(() => cutStream(...event), () => eventStream(""))
        await (await retryingFetch({ ...quick, fetch })(url, post)).text().catch(() => "")
        return calls() === 1
      })

    it.effect("an event with an id and data, whatever its line ends", () =>
      Effect.gen(function*() {
        assert.isTrue(yield* begins("id: 1\ndata: x\n\n"))
        assert.isTrue(yield* begins("id:1\ndata:\n\n"))
        assert.isTrue(yield* begins("data\nid: 1\n\n"))
        assert.isTrue(yield* begins("id: 1\r\ndata: x\r\n\r\n"))
        assert.isTrue(yield* begins("id: 1\rdata: x\r\rdata: y"))
        assert.isTrue(yield* begins("event: message\nid: 1\ndata: x\nid: 2\n\n"))
      }))

    it.effect("not one without an id, with an id taken back, without data, or without its end", () =>
      Effect.gen(function*() {
        assert.isFalse(yield* begins("data: x\n\n"))
        assert.isFalse(yield* begins("data: id: 1\n\n"))
        assert.isFalse(yield* begins("id: \ndata: x\n\n"))
        assert.isFalse(yield* begins("id: 1\nid\ndata: x\n\n"))
        assert.isFalse(yield* begins("id: 1\nretry: 5\n\n"))
        assert.isFalse(yield* begins("id: 1\n\ndata: x\n\n"))
        assert.isFalse(yield* begins("idea: 1\ndata: x\n\n"))
        assert.isFalse(yield* begins(": id: 1\ndata: x\n\n"))
        assert.isFalse(yield* begins("id: 1\ndata: x\n"))
        // The LF that is missing may still belong to the line's end.
        assert.isFalse(yield* begins("id: 1\r\ndata: x\r\n\r"))
      }))

    it.effect("a status with a complete body: an error is an answer too", () =>
      Effect.gen(function*() {
        for (const status of [200, 202, 400, 401, 404, 429, 500, 502, 503]) {
          const { calls, fetch } = scripted(() => new Response("{}", { status }))
          const response = yield* Effect.promise(() => retryingFetch({ ...quick, fetch })(url, post))
          assert.strictEqual(response.status, status)
          assert.strictEqual(yield* Effect.promise(() => response.text()), "{}")
          assert.strictEqual(calls(), 1)
        }
      }))

    it.effect("a stream that ended by itself, also without any event", () =>
      Effect.gen(function*() {
        for (const text of ["", ":\n\n", "data: {}\n\n", "data: half"]) {
          const { calls, fetch } = scripted(() => eventStream(text))
          const read = yield* Effect.promise(async () => (await retryingFetch({ ...quick, fetch })(url, post)).text())
          assert.strictEqual(read, text)
          assert.strictEqual(calls(), 1)
        }
      }))
  })

  describe("a repeated request of which a reader already has the stream", () => {
    it.effect("hands a JSON answer out as an event", () =>
      Effect.gen(function*() {
        const text = `{"a":"\u2028",\n"b":1}`
        const { fetch } = scripted(() => cutStream(), () => new Response(text))
        const read = yield* Effect.promise(async () => (await retryingFetch({ ...quick, fetch })(url, post)).text())
        assert.strictEqual(read, `data: {"a":"\u2028",\ndata: "b":1}\n\n`)
      }))

    it.effect("ends the stream with an error that names a refusing status", () =>
      Effect.gen(function*() {
        const { fetch } = scripted(() => cutStream(), () => new Response("no session", { status: 404 }))
        const error = yield* Effect.promise(async () => {
          const response = await retryingFetch({ ...quick, fetch })(url, post)
          return response.text().then(() => undefined, (error: Error) => error.message)
        })
        assert.include(error, "404: no session")
      }))

    it.effect("goes on through several cuts", () =>
      Effect.gen(function*() {
        const { calls, fetch } = scripted(
          () => cutStream("id: 1\nda"),
          new TypeError("fetch failed"),
          () => cutStream(": wait\n\nid:"),
          () => eventStream("id: 1\ndata: x\n\n")
        )
        const read = yield* Effect.promise(async () => (await retryingFetch({ ...quick, fetch })(url, post)).text())
        assert.strictEqual(read, ": wait\n\nid: 1\ndata: x\n\n")
        assert.strictEqual(calls(), 4)
      }))
  })

  describe("requests", () => {
    it.effect("to a port where nobody listens yet are repeated until somebody does", () =>
      Effect.gen(function*() {
        const port = yield* ScriptedServer.freePort
        const refused = Promise.withResolvers<void>()
        const retrying = retryingFetch({ ...quick, onRetry: ({ attempt }) => attempt === 3 && refused.resolve() })
        const answered = retrying(`http://127.0.0.1:${port}/mcp`, post)
        yield* Effect.promise(() => refused.promise)
        const server = yield* ScriptedServer.make([{ bytes: json() }], port)
        assert.strictEqual(yield* Effect.promise(async () => (await answered).text()), result)
        assert.strictEqual(server.requests.length, 1)
      }))

    it.effect("are the same bytes again, whatever their body is made of", () =>
      Effect.gen(function*() {
        const bytes = new TextEncoder().encode(body)
        const stream = () => new Blob([bytes]).stream()
        const headers = { "content-type": "application/json" }
        const requests: ReadonlyArray<readonly [string, (url: string) => [string | URL | Request, RequestInit?]]> = [
          ["text", (url) => [url, post]],
          ["a URL and bytes", (url) => [new URL(url), { method: "post", headers, body: bytes }]],
          ["a blob", (url) => [url, { method: "POST", headers, body: new Blob([bytes]) }]],
          // `duplex` is what `fetch` demands for a stream; the DOM types do not know it.
          ["a stream", (url) => [url, { method: "POST", headers, body: stream(), duplex: "half" } as RequestInit]],
          ["a Request", (url) => [new Request(url, post)]],
          ["a Request with other headers", (url) => [new Request(url, post), { headers }]]
        ]
        for (const [name, request] of requests) {
          yield* Effect.scoped(Effect.gen(function*() {
            const server = yield* ScriptedServer.make([
              { bytes: json(), cutAt: 0 },
              { bytes: json(), cutAt: 60 },
              { bytes: json() }
            ])
            const answered = retryingFetch(quick)(...request(server.url))
            assert.strictEqual(yield* Effect.promise(async () => (await answered).text()), result)
            assert.strictEqual(server.requests.length, 3, name)
            for (const each of server.requests) {
              assert.strictEqual(each, server.requests[0], name)
              assert.include(each.toLowerCase(), "content-type: application/json", name)
            }
          }))
        }
      }))

    it.effect("with bytes that their owner changes meanwhile are still the same", () =>
      Effect.gen(function*() {
        const bytes = new TextEncoder().encode(body)
        const sent: Array<string> = []
        const fetch = async (input: string | URL | Request) => {
          sent.push(await new Response((input as Request).body).text())
          bytes.fill(0)
          if (sent.length < 3) throw new TypeError("fetch failed")
          return new Response("")
        }
        yield* Effect.promise(() => retryingFetch({ ...quick, fetch })(url, { ...post, body: bytes }))
        assert.deepStrictEqual(sent, [body, body, body])
      }))

    it.effect("other than POST pass through unchanged", () =>
      Effect.gen(function*() {
        for (const method of ["GET", "DELETE", undefined]) {
          const failure = new TypeError("fetch failed")
          const { calls, fetch } = scripted(failure)
          const init = method === undefined ? undefined : { method }
          const error = yield* Effect.promise(() => retryingFetch({ ...quick, fetch })(url, init).catch((e) => e))
          assert.strictEqual(error, failure)
          assert.strictEqual(calls(), 1)
        }
        const response = eventStream("data: x\n\n")
        const { fetch } = scripted(() => response)
        assert.strictEqual(yield* Effect.promise(() => retryingFetch({ fetch })(url)), response)
      }))

    it.effect("that can never be sent fail at once", () =>
      Effect.gen(function*() {
        const requests: ReadonlyArray<[string, RequestInit]> = [
          ["no url", post],
          [url, { ...post, headers: { "bad header": "x" } }]
        ]
        for (const [input, init] of requests) {
          const error = yield* Effect.promise(() => retryingFetch(quick)(input, init).catch((error) => error))
          assert.instanceOf(error, TypeError)
        }
      }))

    it.effect("keep status, headers and URL of the answer", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make([
          { bytes: sse("data: x\n\n").replace("\r\n", "\r\nMcp-Session-Id: abc\r\n") }
        ])
        const response = yield* Effect.promise(() => retryingFetch(quick)(server.url, post))
        assert.strictEqual(response.status, 200)
        assert.strictEqual(response.url, server.url)
        assert.strictEqual(response.headers.get("mcp-session-id"), "abc")
        assert.strictEqual(yield* Effect.promise(() => response.text()), "data: x\n\n")
      }))
  })

  describe("time", () => {
    /** Runs with a clock that jumps to the next timer whenever all is idle. */
    const withClock = <A>(body: () => Promise<A>): Effect.Effect<A> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          vi.useFakeTimers({ now: 0, toFake: ["setTimeout", "clearTimeout", "Date"] })
          vi.spyOn(Math, "random").mockReturnValue(1)
        }),
        () =>
          Effect.promise(async () => {
            const settled = new AbortController()
            const outcome = body().finally(() => settled.abort())
            void outcome.catch(() => {})
            while (!settled.signal.aborted) {
              await new Promise((resolve) => setImmediate(resolve))
              if (vi.getTimerCount() > 0) await vi.advanceTimersToNextTimerAsync()
            }
            return outcome
          }),
        () =>
          Effect.sync(() => {
            vi.useRealTimers()
            vi.restoreAllMocks()
          })
      )

    const failure = new TypeError("fetch failed")

    it.effect("waits twice as long each time, up to the cap, and gives up at the deadline with the last error", () =>
      withClock(async () => {
        const delays: Array<number> = []
        const { calls, fetch } = scripted(failure)
        const retrying = retryingFetch({ fetch, deadlineMs: 10_000, onRetry: ({ delayMs }) => delays.push(delayMs) })
        assert.strictEqual(await retrying(url, post).catch((error) => error), failure)
        assert.deepStrictEqual(delays, [100, 200, 400, 800, 1600, 2000, 2000, 2000])
        assert.strictEqual(calls(), delays.length + 1)
        assert.isAtMost(Date.now(), 10_000)
      }))

    it.effect("counts the deadline from the first failure, not from the beginning of a long stream", () =>
      withClock(async () => {
        const hour = 3_600_000
        const { calls, fetch } = scripted(
          () => {
            const response = cutStream(":\n\n")
            vi.setSystemTime(Date.now() + hour)
            return response
          },
          failure,
          () => eventStream("id: 1\ndata: x\n\n")
        )
        assert.strictEqual(await (await retryingFetch({ fetch })(url, post)).text(), ":\n\nid: 1\ndata: x\n\n")
        assert.strictEqual(calls(), 3)
      }))

    it.effect("gives up on a server that accepts and dies again and again", () =>
      withClock(async () => {
        const { fetch } = scripted(() => cutStream("id: 1\n"))
        const response = await retryingFetch({ fetch, deadlineMs: 5_000 })(url, post)
        assert.instanceOf(await response.text().catch((error) => error), TypeError)
        assert.isAtMost(Date.now(), 5_000)
      }))

    it.effect("repeats a 503 when it says, in seconds or as a date", () =>
      withClock(async () => {
        const refuse = (retryAfter: string) => () =>
          new Response("", { status: 503, headers: { "retry-after": retryAfter } })
        const delays: Array<number> = []
        const { calls, fetch } = scripted(
          refuse("3"),
          refuse(new Date(8_000).toUTCString()),
          refuse("0"),
          () => new Response("ok")
        )
        const response = await retryingFetch({ fetch, onRetry: ({ delayMs }) => delays.push(delayMs) })(url, post)
        assert.strictEqual(await response.text(), "ok")
        assert.deepStrictEqual(delays, [3000, 5000, 400])
        assert.strictEqual(calls(), 4)
      }))

    it.effect("hands a 503 out that asks for a time past the deadline", () =>
      withClock(async () => {
        const { calls, fetch } = scripted(() =>
          new Response("later", { status: 503, headers: { "retry-after": "120" } })
        )
        const response = await retryingFetch({ fetch })(url, post)
        assert.strictEqual(response.status, 503)
        assert.strictEqual(await response.text(), "later")
        assert.strictEqual(calls(), 1)
        assert.strictEqual(Date.now(), 0)
      }))

    it.effect("leaves no timer behind", () =>
      withClock(async () => {
        const { fetch } = scripted(failure, () => new Response("ok"))
        await retryingFetch({ fetch })(url, post)
        assert.strictEqual(vi.getTimerCount(), 0)
      }))
  })

  describe("abort", () => {
    const never: RetryingFetchOptions = { initialDelayMs: 1_000_000, maxDelayMs: 1_000_000, deadlineMs: 10_000_000 }
    const reason = new Error("enough")

    it.effect("ends an attempt", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make([{ bytes: "", cutAt: 0, until: new Promise(() => {}) }])
        const abort = new AbortController()
        const answered = retryingFetch(never)(server.url, { ...post, signal: abort.signal }).catch((error) => error)
        yield* Effect.promise(() => vi.waitUntil(() => server.requests.length === 1))
        abort.abort(reason)
        assert.strictEqual(yield* Effect.promise(() => answered), reason)
      }))

    it.effect("ends a wait", () =>
      Effect.gen(function*() {
        for (const asRequest of [false, true]) {
          const abort = new AbortController()
          const { calls, fetch } = scripted(new TypeError("fetch failed"))
          const init = { ...post, signal: abort.signal }
          const retrying = retryingFetch({ ...never, fetch, onRetry: () => queueMicrotask(() => abort.abort(reason)) })
          const answered = asRequest ? retrying(new Request(url, init)) : retrying(url, init)
          assert.strictEqual(yield* Effect.promise(() => answered.catch((error) => error)), reason)
          assert.strictEqual(calls(), 1)
        }
      }))

    it.effect("before the first attempt sends nothing", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make([{ bytes: json() }])
        const init = { ...post, signal: AbortSignal.abort(reason) }
        const error = yield* Effect.promise(() => retryingFetch(never)(server.url, init).catch((error) => error))
        assert.strictEqual(error, reason)
        assert.strictEqual(server.begun(), 0)
      }))

    it.effect("ends a stream, before its first id and after, and nothing is repeated", () =>
      Effect.gen(function*() {
        for (const event of [":\n\n", "id: 1\ndata: x\n\n"]) {
          const bytes = sseHead + chunk(event)
          const server = yield* ScriptedServer.make([{ bytes, cutAt: bytes.length, until: new Promise(() => {}) }])
          const abort = new AbortController()
          const error = yield* Effect.promise(async () => {
            const response = await retryingFetch(quick)(server.url, { ...post, signal: abort.signal })
            const reader = response.body!.getReader()
            assert.strictEqual(await readBytes(reader, event.length), event)
            abort.abort(reason)
            return reader.read().catch((error) => error)
          })
          assert.strictEqual(error, reason)
          assert.strictEqual(server.begun(), 1)
        }
      }))

    it.effect("a reader that cancels during a wait ends it", () =>
      Effect.gen(function*() {
        const waiting = Promise.withResolvers<void>()
        const { calls, fetch } = scripted(() => cutStream(":\n\n"))
        yield* Effect.promise(async () => {
          const response = await retryingFetch({ ...never, fetch, onRetry: () => waiting.resolve() })(url, post)
          const reader = response.body!.getReader()
          assert.strictEqual(await readBytes(reader, 3), ":\n\n")
          const pending = reader.read()
          await waiting.promise
          await reader.cancel(reason)
          assert.isTrue((await pending).done)
        })
        assert.strictEqual(calls(), 1)
      }))
  })
})
