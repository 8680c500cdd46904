/**
 * What users of the official clients see, each client on each store.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Context, Deferred, Effect, Fiber, Layer, type Scope } from "effect"
import { Limits, MemoryStore, SqliteStore, type Store } from "effect-durable-mcp"
import { McpServer } from "effect/ai"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Doors, start, until } from "./fixture.ts"
import { connectV1, connectV2, type Elicited, makeCuttableFetch, peers, type Result } from "./peers.ts"

/** The program says that a resource has changed. */
const announce = (services: Context.Context<McpServer.McpServer>, uri: string) =>
  Effect.provideContext(
    McpServer.McpServer.use((server) => server.notifications["notifications/resources/updated"]({ uri })),
    services
  )

const textOf = (result: Result) => result.content[0]?.text

/** Layers that open the same disk each time they are built. */
const stores: ReadonlyArray<
  readonly [name: string, open: Effect.Effect<Layer.Layer<Store.Store, unknown>, never, Scope.Scope>]
> = [
  ["MemoryStore", Effect.sync(() => MemoryStore.layerWith({ disk: MemoryStore.makeDisk() }))],
  [
    "SqliteStore",
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "wire-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(Effect.map((folder) => SqliteStore.layer({ filename: join(folder, "store.db") })))
  ]
]

for (const [peerName, connect] of peers) {
  for (const [storeName, openStore] of stores) {
    describe(`${peerName} on ${storeName}`, () => {
      const serve = Effect.gen(function*() {
        const doors = new Doors()
        const store = yield* openStore
        const server = yield* start(store, doors)
        /** The next process of the same server. */
        const restart = Effect.andThen(server.stop, start(store, doors, { port: Number(server.url.port) }))
        return { ...server, doors, restart }
      })

      it.live("initializes with the newest version and a session (S-L1, S-L2, S-S1)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          assert.strictEqual(peer.version(), "2025-11-25")
          assert.match(peer.sessionId() ?? "", /^[\x21-\x7E]{32,}$/)
          assert.strictEqual(peer.instructions(), "Be kind")
          assert.deepInclude(peer.serverVersion(), { name: "wire", version: "1.0.0" })
          yield* peer.ping
        }))

      it.live("lists and calls tools; failures are results, defects tell nothing (S-T2, S-T6, S-T7)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          assert.include((yield* peer.tools).map((tool) => tool.name), "echo")
          assert.strictEqual(textOf(yield* peer.call("echo", { text: "hello" })), "hello")
          const failed = yield* peer.call("fail", {})
          assert.isTrue(failed.isError)
          assert.include(JSON.stringify(failed), "on purpose")
          const unknown = yield* Effect.flip(peer.call("no_such_tool", {}))
          assert.include(unknown.message, "no_such_tool")
          const died = yield* Effect.result(peer.call("die", {}))
          assert.notInclude(JSON.stringify(died), "secret")
        }))

      it.live("reads resources and templates, gets prompts, completes (S-RS2, S-PM1, S-CO1)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          assert.deepStrictEqual((yield* peer.resources).map((resource) => resource.uri), ["test://text"])
          assert.strictEqual((yield* peer.templates).length, 1)
          assert.include(JSON.stringify(yield* peer.read("test://text")), "Hello")
          assert.include(JSON.stringify(yield* peer.read("test://item/7")), "item 7")
          assert.isTrue((yield* Effect.exit(peer.read("test://nothing")))._tag === "Failure")
          assert.include(JSON.stringify(yield* peer.prompt("greet", { name: "Ada" })), "Hello, Ada")
          assert.deepStrictEqual(yield* peer.complete("greet", "name", "A"), ["Ada", "Alan"])
        }))

      it.live("hears progress in order, before the result (S-G1, S-G2, S-G3)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          const progress: Array<number> = []
          const result = yield* peer.call("walk", { n: 5 }, { onprogress: (p) => progress.push(p.progress) })
          assert.strictEqual(textOf(result), "done:5")
          assert.deepStrictEqual(progress, [1, 2, 3, 4, 5])
        }))

      it.live("hears log messages of its level (S-LG1, S-LG2)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          yield* peer.setLogLevel("info")
          yield* peer.call("talk", {})
          assert.deepStrictEqual(peer.logs, [{ said: "info" }, { said: "error" }])
          yield* peer.setLogLevel("error")
          yield* peer.call("talk", {})
          assert.deepStrictEqual(peer.logs.slice(2), [{ said: "error" }])
        }))

      it.live("is asked, and its answer decides (S-E1, S-E2, S-E4)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          for (
            const [answer, expected] of [
              [{ action: "accept", content: { ok: true } }, { _tag: "Accepted", content: { ok: true } }],
              [{ action: "decline" }, { _tag: "Declined" }],
              [{ action: "cancel" }, { _tag: "Cancelled" }]
            ] as ReadonlyArray<[Elicited, unknown]>
          ) {
            const peer = yield* connect(url, { elicit: () => Promise.resolve(answer) })
            const result = yield* peer.call("ask", {})
            assert.deepStrictEqual(JSON.parse(textOf(result)!), expected)
            assert.deepStrictEqual(peer.questions, ["Go on?"])
          }
        }))

      it.live("samples and lists roots (S-A1, S-O1)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          assert.include(textOf(yield* peer.call("model", {})), "Knock knock")
          assert.include(textOf(yield* peer.call("roots", {})), "file:///home")
        }))

      it.live("hears of changes of what it subscribed to, also after a restart (S-RS4)", () =>
        Effect.gen(function*() {
          const { restart, services, url } = yield* serve
          const peer = yield* connect(url)
          yield* peer.subscribe("test://text")
          yield* announce(services, "test://text")
          yield* announce(services, "test://item/1")
          yield* until(() => peer.updated.length === 1)
          const next = yield* restart
          yield* announce(next.services, "test://text")
          yield* until(() => peer.updated.length === 2)
          assert.deepStrictEqual(peer.updated, ["test://text", "test://text"])
        }))

      it.live("hears heartbeats while a handler is silent, always more than before (S-G2)", () =>
        Effect.gen(function*() {
          const doors = new Doors()
          const limits = Layer.succeed(Limits.HeartbeatInterval)("20 millis")
          const { url } = yield* start(yield* openStore, doors, { limits })
          const peer = yield* connect(url)
          const progress: Array<number> = []
          doors.shut("step-1")
          doors.shut("step-2")
          const call = yield* Effect.forkChild(
            peer.call("walk", { n: 2 }, { onprogress: (p) => progress.push(p.progress) })
          )
          yield* until(() => progress.length >= 2)
          doors.open("step-1")
          yield* until(() => progress.includes(1) && progress.at(-1) !== 1)
          doors.open("step-2")
          assert.strictEqual(textOf(yield* Fiber.join(call)), "done:2")
          assert.deepStrictEqual(progress, Array.from(new Set(progress)).toSorted((a, b) => a - b))
          assert.deepStrictEqual(progress.filter(Number.isInteger), [1, 2])
        }))

      it.live("stops at once while streams are open and questions wait", () =>
        Effect.gen(function*() {
          const { stop, url } = yield* serve
          const peer = yield* connect(url, { elicit: () => new Promise(() => {}) })
          yield* Effect.forkChild(peer.call("ask", {}))
          yield* until(() => peer.questions.length === 1)
          const before = performance.now()
          yield* stop
          assert.isBelow(performance.now() - before, 2000)
        }))

      it.live("goes on after a dropped socket, nothing lost or doubled (S-P15, S-R6, S-R8)", () =>
        Effect.gen(function*() {
          const { doors, url } = yield* serve
          const connection = makeCuttableFetch()
          const peer = yield* connect(url, { fetch: connection.fetch })
          const progress: Array<number> = []
          const tokens: Array<string> = []
          for (const door of ["step-2", "step-4"]) doors.shut(door)
          const call = yield* Effect.forkChild(peer.call("walk", { n: 5 }, {
            onprogress: (p) => progress.push(p.progress),
            onresumptiontoken: (token) => tokens.push(token)
          }))
          for (const i of [2, 4]) {
            yield* doors.arrived(`step-${i}`)
            yield* until(() => progress.length === i - 1)
            connection.cut()
            doors.open(`step-${i}`)
          }
          assert.strictEqual(textOf(yield* Fiber.join(call)), "done:5")
          assert.deepStrictEqual(progress, [1, 2, 3, 4, 5])
          assert.strictEqual(doors.arrivals("step-1"), 1)
          assert.isAbove(tokens.length, 5)
        }))

      it.live("a drop before any event of the resumed stream does not lose the call (S-R3, S-R6)", () =>
        Effect.gen(function*() {
          const { doors, url } = yield* serve
          const connection = makeCuttableFetch()
          const peer = yield* connect(url, { fetch: connection.fetch })
          doors.shut("step-2")
          const tokens: Array<string> = []
          const progress: Array<number> = []
          const call = yield* Effect.forkChild(peer.call("walk", { n: 2 }, {
            onprogress: (p) => progress.push(p.progress),
            onresumptiontoken: (token) => tokens.push(token)
          }))
          yield* until(() => progress.length === 1)
          for (let i = 0; i < 3; i++) {
            const before = tokens.length
            connection.cut()
            yield* until(() => tokens.length > before)
          }
          doors.open("step-2")
          assert.strictEqual(textOf(yield* Fiber.join(call)), "done:2")
          assert.deepStrictEqual(progress, [1, 2])
        }))

      it.live("follows a call that hangs up (S-R4, S-R5)", () =>
        Effect.gen(function*() {
          const { doors, url } = yield* serve
          const peer = yield* connect(url)
          doors.shut("after")
          const call = yield* Effect.forkChild(peer.call("hang_up", {}))
          yield* doors.arrived("after")
          doors.open("after")
          assert.strictEqual(textOf(yield* Fiber.join(call)), "back again")
        }))

      it.live("keeps session and call over a restart; finished steps do not run again", () =>
        Effect.gen(function*() {
          const { doors, restart, url } = yield* serve
          const peer = yield* connect(url)
          const session = peer.sessionId()
          const progress: Array<number> = []
          doors.shut("step-3")
          const call = yield* Effect.forkChild(
            peer.call("walk", { n: 4 }, { onprogress: (p) => progress.push(p.progress) })
          )
          yield* doors.arrived("step-3")
          yield* until(() => progress.length === 2)
          // A step under way is waited for: it ends while the server drains.
          const restarted = yield* Effect.forkChild(restart)
          yield* Effect.yieldNow
          doors.open("step-3")
          yield* Fiber.join(restarted)
          assert.strictEqual(textOf(yield* Fiber.join(call)), "done:4")
          assert.deepStrictEqual(progress, [1, 2, 3, 4])
          assert.strictEqual(doors.arrivals("step-1"), 1)
          assert.strictEqual(doors.arrivals("step-3"), 1)
          assert.strictEqual(peer.sessionId(), session)
          assert.strictEqual(textOf(yield* peer.call("echo", { text: "still here" })), "still here")
        }))

      it.live("a question asked before a restart is answered after it, and asked once", () =>
        Effect.gen(function*() {
          const { restart, url } = yield* serve
          const answer = yield* Deferred.make<Elicited>()
          const peer = yield* connect(url, { elicit: () => Effect.runPromise(Deferred.await(answer)) })
          const call = yield* Effect.forkChild(peer.call("ask", {}))
          yield* until(() => peer.questions.length === 1)
          yield* restart
          yield* peer.ping
          yield* Deferred.succeed(answer, { action: "accept", content: { ok: true } })
          const result = yield* Fiber.join(call)
          assert.deepStrictEqual(JSON.parse(textOf(result)!), { _tag: "Accepted", content: { ok: true } })
          assert.deepStrictEqual(peer.questions, ["Go on?"])
        }))

      it.live("cancels (S-C1, S-C6)", () =>
        Effect.gen(function*() {
          const { doors, url } = yield* serve
          const peer = yield* connect(url)
          doors.shut("step-2")
          const controller = new AbortController()
          const call = yield* Effect.forkChild(Effect.flip(peer.call("walk", { n: 3 }, { signal: controller.signal })))
          yield* doors.arrived("step-2")
          controller.abort()
          yield* Fiber.join(call)
          assert.strictEqual(textOf(yield* peer.call("echo", { text: "next" })), "next")
          doors.open("step-2")
          assert.strictEqual(doors.arrivals("step-3"), 0)
        }))

      it.live("does not come back for a stream that has nothing more: a cancelled call, an error (S-R8, S-C6)", () =>
        Effect.gen(function*() {
          const { doors, url } = yield* serve
          const resumed: Array<number> = []
          const peer = yield* connect(url, {
            fetch: async (input, init) => {
              const response = await fetch(input, init)
              if (new Headers(init?.headers).has("last-event-id")) resumed.push(response.status)
              return response
            }
          })
          // A stream that ended without an answer is one to be resumed; for SDK v1 an error is no answer.
          doors.shut("step-1")
          const controller = new AbortController()
          const call = yield* Effect.forkChild(Effect.flip(peer.call("walk", { n: 1 }, { signal: controller.signal })))
          yield* doors.arrived("step-1")
          controller.abort()
          yield* Fiber.join(call)
          yield* until(() => resumed.length > 0)
          assert.deepStrictEqual(resumed, [204])
          yield* Effect.flip(peer.call("unknown", {}))
          if (connect === connectV1) yield* until(() => resumed.length > 1)
          assert.deepStrictEqual([...new Set(resumed)], [204])
        }))

      it.live("ends its session for good (S-S5, S-S7)", () =>
        Effect.gen(function*() {
          const { url } = yield* serve
          const peer = yield* connect(url)
          const headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-session-id": peer.sessionId()!
          }
          yield* peer.terminate
          for (const method of ["POST", "GET", "DELETE"]) {
            const body = method === "POST" ? "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}" : null
            const response = yield* Effect.promise(() => fetch(url, { method, headers, body }))
            assert.strictEqual(response.status, 404, method)
          }
        }))
    })
  }
}

it.live("a v2 client that tries the newest era first falls back to a session (1.2)", () =>
  Effect.gen(function*() {
    const { url } = yield* start(MemoryStore.layer, new Doors())
    const peer = yield* connectV2(url, { negotiate: true })
    assert.strictEqual(peer.version(), "2025-11-25")
    assert.strictEqual(textOf(yield* peer.call("echo", { text: "hello" })), "hello")
  }))
