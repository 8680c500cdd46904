import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { McpSchema, McpServer } from "effect/ai"
import { TestClock } from "effect/testing"
import { Calls } from "../../src/engine/Calls.ts"
import { EventLog } from "../../src/session/EventLog.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import {
  call,
  connect,
  followed,
  get,
  notification,
  open,
  outline,
  post,
  process,
  readAll,
  readNow,
  registrations,
  remove,
  request,
  World
} from "./era.ts"

const resume = (headers: Readonly<Record<string, string>>, lastEventId: string) =>
  get({ ...headers, "last-event-id": lastEventId })

const methodsOf = (messages: ReadonlyArray<{ readonly method: string }>) => messages.map(({ method }) => method)

const addTool = (name: string) =>
  McpServer.McpServer.use((server) =>
    server.addTool({
      tool: new McpSchema.Tool({ name, inputSchema: { type: "object" } }),
      annotations: Context.empty(),
      handle: () => Effect.succeed(new McpSchema.CallToolResult({ content: [] }))
    })
  )

const updated = McpServer.McpServer.use((server) =>
  server.notifications["notifications/resources/updated"]({ uri: "file://a" })
)

describe("Last-Event-ID", () => {
  it.effect("replays what follows on that stream, also of a finished call and after a restart (S-R6, S-R8)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const [headers, token] = yield* Effect.gen(function*() {
        const headers = yield* connect()
        const reply = yield* post(headers, call(1, "echo", { text: "a" }))
        yield* readAll(reply)
        return [headers, followed(reply).token] as const
      }).pipe(Effect.provide(process({ disk })))
      yield* Effect.gen(function*() {
        const reply = followed(yield* resume(headers, `${token}:0`))
        assert.deepStrictEqual([reply.token, reply.afterSeq, reply.priming, reply.session], [token, 0, true, undefined])
        assert.strictEqual((yield* readAll(reply)).length, 1)
        assert.deepStrictEqual(outline(yield* resume(headers, `${token}:1`)), [204])
      }).pipe(Effect.provide(process({ disk })))
    }))

  it.effect("of a running call waits for the rest, and carries its progress token (S-R6)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const first = followed(yield* post(headers, call(1, "wait", {}, { progressToken: "p" })))
      const second = followed(yield* resume(headers, `${first.token}:0`))
      assert.strictEqual(second.progressToken, "p")
      const reading = yield* Effect.forkChild(readAll(second))
      yield* Effect.yieldNow
      assert.isUndefined(reading.pollUnsafe())
      yield* post(headers, notification("notifications/cancelled", { requestId: 1 }))
      assert.deepStrictEqual(yield* Fiber.join(reading), [])
    }).pipe(Effect.provide(process())))

  it.effect("of a call that was cancelled ends the resuming too (S-R8, S-C6)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const { token } = followed(yield* post(headers, call(1, "wait")))
      yield* post(headers, notification("notifications/cancelled", { requestId: 1 }))
      assert.deepStrictEqual(outline(yield* resume(headers, `${token}:0`)), [204])
    }).pipe(Effect.provide(process())))

  it.effect("that is malformed, unknown, foreign, trimmed or beyond the end has one answer (S-R7)", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const headers = yield* connect()
      const reply = followed(yield* post(headers, call(1, "echo", { text: "a" })))
      yield* readAll(reply)
      const { stream, token } = reply
      const other = yield* connect()
      const foreign = followed(yield* post(other, call(1, "echo", { text: "a" })))
      yield* readAll(foreign)
      const expected = yield* resume(headers, "x")
      assert.deepStrictEqual(outline(expected), [400, -32600])
      for (
        const id of [
          "",
          ":",
          "0",
          token,
          `${token}:`,
          `${token}:x`,
          `${token}:-1`,
          `${token}:01`,
          `${token}:1.5`,
          `${token}:1e0`,
          `${token}: 1`,
          `${token}:2`,
          `${token}:9007199254740993`,
          "unknown:0",
          `${"x".repeat(10_000)}:0`,
          "\u0000:0",
          `${foreign.token}:0`,
          `${foreign.token}:1`
        ]
      ) assert.deepStrictEqual(yield* resume(headers, id), expected, id)
      assert.strictEqual((yield* readAll(yield* resume(headers, `${token}:0`))).length, 1)
      yield* store.commit([{ _tag: "Trim", stream, beforeSeq: 2 }])
      assert.deepStrictEqual(yield* resume(headers, `${token}:0`), expected)
      yield* store.commit([{ _tag: "Forget", id: stream }])
      assert.deepStrictEqual(yield* resume(headers, `${token}:1`), expected)
    }).pipe(Effect.provide(process())))

  it.effect("of the outbox, which is no client's, is unknown too", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const headers = yield* connect()
      yield* post(headers, request(1, "resources/subscribe", { uri: "file://a" }))
      yield* updated
      const expected = yield* resume(headers, "x")
      const streams = yield* Stream.runCollect(store.streams({ session: headers["mcp-session-id"] }))
      assert.strictEqual(streams.length, 1)
      assert.deepStrictEqual(yield* resume(headers, `${streams[0]!.token}:0`), expected)
    }).pipe(Effect.provide(process())))
})

describe("GET", () => {
  it.effect("opens a stream of its own each time, primed from 2025-11-25 on (S-P16, A11)", () =>
    Effect.gen(function*() {
      for (const version of ["2025-11-25", "2025-06-18", "2025-03-26"]) {
        const headers = yield* connect(version)
        const one = followed(yield* get(headers))
        const two = followed(yield* get(headers))
        assert.notStrictEqual(one.token, two.token)
        assert.deepStrictEqual([one.afterSeq, one.priming, one.session], [
          0,
          version === "2025-11-25",
          headers["mcp-session-id"]
        ])
      }
    }).pipe(Effect.provide(process())))

  it.effect("the priming id can be resumed before anything was said (S-R3)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const { token } = followed(yield* get(headers))
      const again = followed(yield* resume(headers, `${token}:0`))
      assert.strictEqual(again.session, headers["mcp-session-id"])
      const reading = yield* Effect.forkChild(Effect.scoped(Effect.flatMap(open(again), ({ next }) => next)))
      yield* addTool("new")
      assert.strictEqual((yield* Fiber.join(reading)).events.length, 1)
    }).pipe(Effect.provide(process())))

  it.effect("carries no responses (S-P17)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const standalone = yield* get(headers)
      yield* readAll(yield* post(headers, call(1, "echo", { text: "a" })))
      assert.deepStrictEqual(yield* readNow(standalone), [])
    }).pipe(Effect.provide(process())))

  it.effect("a list change reaches exactly one of several streams (S-T9, S-P18)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const one = yield* Effect.flatMap(get(headers), open)
      const two = yield* Effect.flatMap(get(headers), open)
      const pages = yield* Effect.forkChild(two.next)
      yield* addTool("new")
      const page = yield* Fiber.join(pages)
      assert.deepStrictEqual(page.events.map(({ data }) => JSON.parse(data!)), [
        { jsonrpc: "2.0", method: "notifications/tools/list_changed", params: {} }
      ])
      assert.deepStrictEqual((yield* one.poll).events, [])
      assert.deepStrictEqual((yield* two.poll).events, [])
    }).pipe(Effect.scoped, Effect.provide(process())))

  it.effect("a list change while no stream is open waits for one, once for many changes (S-T9)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      yield* addTool("new")
      yield* addTool("newer")
      yield* Effect.yieldNow
      assert.deepStrictEqual(methodsOf(yield* readNow(yield* get(headers))), ["notifications/tools/list_changed"])
      assert.deepStrictEqual(yield* readNow(yield* get(headers)), [])
    }).pipe(Effect.provide(process())))

  it.effect("a change by a deploy is announced once, to sessions that saw the old list (7.2)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const headers = yield* Effect.gen(function*() {
        const headers = yield* connect()
        assert.deepStrictEqual(yield* readNow(yield* get(headers)), [])
        return headers
      }).pipe(Effect.provide(process({ disk })))
      const deployed = Layer.mergeAll(registrations, Layer.effectDiscard(addTool("new")))
      for (const expected of [["notifications/tools/list_changed"], []]) {
        yield* Effect.gen(function*() {
          assert.deepStrictEqual(methodsOf(yield* readNow(yield* get(headers))), expected)
          assert.deepStrictEqual(yield* readNow(yield* get(yield* connect())), [])
        }).pipe(Effect.provide(process({ disk, registrations: deployed })))
      }
    }))

  it.effect("a change by a deploy is announced to those who resume their stream too (7.2)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const [headers, token] = yield* Effect.gen(function*() {
        const headers = yield* connect()
        return [headers, followed(yield* get(headers)).token] as const
      }).pipe(Effect.provide(process({ disk })))
      const deployed = Layer.mergeAll(registrations, Layer.effectDiscard(addTool("new")))
      for (const lastEventId of [`${token}:0`, `${token}:0`]) {
        // the second one has not seen the message, which is on its stream and nowhere else
        yield* Effect.gen(function*() {
          const resumed = methodsOf(yield* readNow(yield* resume(headers, lastEventId)))
          assert.deepStrictEqual(resumed, ["notifications/tools/list_changed"])
          assert.deepStrictEqual(yield* readNow(yield* resume(headers, `${token}:1`)), [])
        }).pipe(Effect.provide(process({ disk, registrations: deployed })))
      }
    }))

  it.effect("no list change where it was not declared (S-L4)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const headers = yield* connect().pipe(Effect.provide(process({ disk, registrations: Layer.empty })))
      yield* Effect.gen(function*() {
        const stream = yield* Effect.flatMap(get(headers), open)
        yield* addTool("new")
        for (let i = 0; i < 10; i++) yield* Effect.yieldNow
        assert.deepStrictEqual((yield* stream.poll).events, [])
      }).pipe(Effect.scoped, Effect.provide(process({ disk })))
    }))

  it.effect("a resource that changed is told to its subscribers only, also after a restart (S-RS4)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const [one, two] = yield* Effect.gen(function*() {
        const one = yield* connect()
        const two = yield* connect("2025-03-26")
        yield* post(one, request(1, "resources/subscribe", { uri: "file://a" }))
        yield* post(two, request(1, "resources/subscribe", { uri: "file://b" }))
        yield* updated
        assert.deepStrictEqual(yield* readNow(yield* get(one)), [
          { jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri: "file://a" } } as never
        ])
        assert.deepStrictEqual(yield* readNow(yield* get(two)), [])
        yield* updated // nobody listens
        return [one, two] as const
      }).pipe(Effect.provide(process({ disk })))
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(methodsOf(yield* readNow(yield* get(one))), ["notifications/resources/updated"])
        yield* updated
        assert.deepStrictEqual(methodsOf(yield* readNow(yield* get(one))), ["notifications/resources/updated"])
        yield* post(one, request(2, "resources/unsubscribe", { uri: "file://a" }))
        yield* updated
        assert.deepStrictEqual(yield* readNow(yield* get(one)), [])
        assert.deepStrictEqual(yield* readNow(yield* get(two)), [])
      }).pipe(Effect.provide(process({ disk })))
    }))

  it.effect("the end of a page is told to the call that asked (S-E8)", () =>
    Effect.gen(function*() {
      yield* McpServer.McpServer.use((server) => server.notifyElicitationComplete({ clientId: 0, elicitationId: "e" }))
      assert.deepStrictEqual((yield* World).completed, ["e"])
    }).pipe(Effect.provide(process())))

  it.effect("the end of a page is not lost by a disk that fails and heals; who tells of it waits", () =>
    Effect.gen(function*() {
      const world = yield* World
      let failures = 0
      world.onCompleted = Effect.suspend(() =>
        ++failures <= 2 ? Effect.fail(new StoreError({ reason: "Io", message: "broken" })) : Effect.void
      )
      const telling = yield* Effect.forkChild(
        McpServer.McpServer.use((server) => server.notifyElicitationComplete({ clientId: 0, elicitationId: "e" }))
      )
      yield* TestClock.adjust("50 millis")
      assert.isUndefined(telling.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(telling)
      assert.deepStrictEqual(world.completed, ["e"])
    }).pipe(Effect.provide(process())))

  it.effect("the end of a page that cannot be stored any more is a defect of who tells of it", () =>
    Effect.gen(function*() {
      const fenced = new StoreError({ reason: "Fenced", message: "taken over" })
      const world = yield* World
      world.onCompleted = Effect.fail(fenced)
      const exit = yield* Effect.exit(
        McpServer.McpServer.use((server) => server.notifyElicitationComplete({ clientId: 0, elicitationId: "e" }))
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === fenced)
    }).pipe(Effect.provide(process())))

  it.effect("DELETE ends it (S-S8)", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      const headers = yield* connect()
      const reply = yield* get(headers)
      const reading = yield* Effect.forkChild(readAll(reply))
      yield* Effect.yieldNow
      assert.isTrue(log.isFollowed(followed(reply).stream))
      yield* remove(headers)
      assert.deepStrictEqual(yield* Fiber.join(reading), [])
      assert.isFalse(log.isFollowed(followed(reply).stream))
      assert.strictEqual((yield* Calls).inFlight(headers["mcp-session-id"]), 0)
    }).pipe(Effect.provide(process())))
})
