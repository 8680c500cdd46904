/**
 * The ways in which a program can put a server together.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema, type Scope } from "effect"
import { Durable, DurableMcp, Limits, MemoryStore } from "effect-durable-mcp"
import { McpServer, Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { Doors, registrations, serveOn, start, until } from "./fixture.ts"
import { peers } from "./peers.ts"
import { call, type Fetch, messagesOf, open } from "./raw.ts"

const Who = Toolkit.make(Tool.make("who", { parameters: Tool.EmptyParams, success: Schema.String }))

const whoIs = (name: string) =>
  DurableMcp.toolkit(Who).pipe(Layer.provide(Who.toLayer({ who: () => Effect.succeed(name) })))

const makeHandler = <A, E>(app: Layer.Layer<A, E, HttpRouter.HttpRouter>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => HttpRouter.toWebHandler(app, { disableLogger: true })),
      ({ dispose }) => Effect.promise(dispose)
    ),
    ({ handler }): Fetch => (request) => handler(request)
  )

const ask = Effect.fnUntraced(function*(fetch: Fetch, path: string, tool: string) {
  const peer = yield* open(fetch, new URL(path, "http://localhost"))
  return messagesOf(yield* peer.post(call(1, tool))).at(-1)
})

describe("composition", () => {
  it.live("two servers in one program have handlers and stores of their own", () =>
    Effect.gen(function*() {
      const server = (path: `/${string}`) =>
        DurableMcp.layerHttp({ name: path, version: "1", path, registrations: whoIs(path) }).pipe(
          Layer.provide(MemoryStore.layerWith({ disk: MemoryStore.makeDisk() }))
        )
      const fetch = yield* makeHandler(Layer.merge(server("/a"), server("/b")))
      for (const path of ["/a", "/b"]) {
        assert.strictEqual((yield* ask(fetch, path, "who")).result.content[0].text, path)
      }
      const a = yield* open(fetch, new URL("http://localhost/a"))
      const elsewhere = yield* Effect.promise(() =>
        fetch(new Request("http://localhost/b", { method: "DELETE", headers: a.headers }))
      )
      assert.strictEqual(elsewhere.status, 404)
    }))

  it.live("runs under HttpRouter.serve and a server of the user's", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(
        HttpRouter.serve(
          DurableMcp.layerHttp({ name: "own", version: "1", path: "/mcp", registrations: whoIs("me") }),
          {
            disableListenLog: true,
            disableLogger: true
          }
        ).pipe(
          Layer.provide(MemoryStore.layer),
          Layer.provideMerge(
            NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: "100 millis" })
          )
        )
      )
      const address = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), context)
      const [, connect] = peers[0]!
      const peer = yield* connect(new URL("/mcp", address))
      assert.strictEqual((yield* peer.call("who", {})).content[0]?.text, "me")
    }))

  it.live("under toWebHandler an event stream is written and ends; it does not hang for want of a Scope", () =>
    Effect.gen(function*() {
      const doors = new Doors()
      const fetch = yield* makeHandler(
        DurableMcp.layerHttp({ name: "x", version: "1", path: "/mcp", registrations: registrations(doors) }).pipe(
          Layer.provide([MemoryStore.layer, Layer.succeed(Limits.KeepAlive)("10 millis")])
        )
      )
      const peer = yield* open(fetch, new URL("http://localhost/mcp"))
      doors.shut("step-1")
      const request = new Request("http://localhost/mcp", {
        method: "POST",
        headers: peer.headers,
        body: JSON.stringify(call(1, "walk", { n: 1 }))
      })
      const response = yield* Effect.promise(() => fetch(request))
      const body = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      let text = ""
      const read = Effect.promise(async () => {
        const { done, value } = await body.read()
        text += value ?? ""
        return done
      })
      // Silence between two reads: what waits for the next event waits on.
      while (text.split(":\n\n").length < 4) yield* read
      doors.open("step-1")
      while (!(yield* read));
      assert.include(text, "done:1")
    }))

  it.live("tools that are added later are announced to open sessions, and can be called (S-T9, S-P17)", () =>
    Effect.gen(function*() {
      const app = Layer.effectDiscard(Effect.gen(function*() {
        const registry = yield* McpServer.McpServer
        later = Layer.build(whoIs("late").pipe(Layer.provide(Layer.succeed(McpServer.McpServer)(registry))))
      })).pipe(
        Layer.provide(
          DurableMcp.layerHttp({ name: "x", version: "1", path: "/mcp", registrations: registrations(new Doors()) })
        ),
        Layer.provide(MemoryStore.layer)
      )
      let later: Effect.Effect<unknown, never, Scope.Scope> = Effect.void
      const fetch = yield* makeHandler(app)
      const peer = yield* open(fetch, new URL("http://localhost/mcp"))
      const heard = yield* Effect.forkChild(Effect.promise(async () => {
        const response = await Effect.runPromise(peer.get())
        const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
        let text = ""
        while (!text.includes("list_changed")) text += (await reader.read()).value ?? ""
        await reader.cancel()
        return text
      }))
      yield* later
      assert.include(yield* Fiber.join(heard), "notifications/tools/list_changed")
      const answer = messagesOf(yield* peer.post(call(1, "who"))).at(-1)
      assert.strictEqual(answer.result.content[0].text, "late")
    }))

  it.live("what a tool depends on comes from the program, also in the run after a restart", () =>
    Effect.gen(function*() {
      class Name extends Context.Service<Name, { readonly name: string }>()("test/Name") {}
      const doors = new Doors()
      const Tools = Toolkit.make(
        Tool.make("name", { parameters: Tool.EmptyParams, success: Schema.String, dependencies: [Name] })
      )
      const Live = DurableMcp.toolkit(Tools).pipe(Layer.provide(Tools.toLayer({
        name: Effect.fnUntraced(function*() {
          yield* Durable.step("first", doors.pass("first"))
          yield* Durable.sleep("a while", "100 millis")
          const { name } = yield* Name
          return name
        })
      })))
      const disk = MemoryStore.makeDisk()
      const serve = (port: number, name: string) =>
        serveOn(
          DurableMcp.layerHttp({ name: "x", version: "1", path: "/mcp", registrations: Live }).pipe(
            DurableMcp.serveNode({ port, disableListenLog: true }),
            Layer.provide([MemoryStore.layerWith({ disk }), Layer.succeed(Name)({ name })])
          )
        )
      const { stop, url } = yield* serve(0, "Ada")
      const [, connect] = peers[0]!
      const peer = yield* connect(url)
      assert.strictEqual((yield* peer.call("name", {})).content[0]?.text, "Ada")
      const call = yield* Effect.forkChild(peer.call("name", {}))
      yield* until(() => doors.arrivals("first") === 2)
      yield* stop
      yield* serve(Number(url.port), "Grace")
      assert.strictEqual((yield* Fiber.join(call)).content[0]?.text, "Grace")
    }))

  it.live("completeElicitation ends the question and tells the client that was asked (S-E7, S-E8)", () =>
    Effect.gen(function*() {
      const { services, url } = yield* start(MemoryStore.layer, new Doors())
      const complete = (id: string) => Effect.provideContext(DurableMcp.completeElicitation(id), services)
      const urls: Array<string> = []
      const [, connect] = peers[0]!
      const peer = yield* connect(url, {
        elicit: (params) => {
          urls.push(params.url ?? "")
          return Promise.resolve({ action: "accept", content: {} })
        }
      })
      const result = yield* Effect.forkChild(peer.call("page", {}))
      yield* until(() => urls.length === 1)
      const id = new URL(urls[0]!).searchParams.get("elicitation")!
      yield* complete("unknown")
      yield* complete(id)
      yield* complete(id)
      assert.include((yield* Fiber.join(result)).content[0]?.text, "Accepted")
      yield* until(() => peer.completedElicitations.length > 0)
      assert.deepStrictEqual(peer.completedElicitations, [id])
    }))
})
