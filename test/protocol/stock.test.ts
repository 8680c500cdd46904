import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { McpProtocol, McpSchema, McpServer, Tool, Toolkit } from "effect/ai"
import { HttpServerRequest } from "effect/http"
import { Dispatch, type Request } from "../../src/engine/Dispatch.ts"
import { checkCore, checkTable, UnsupportedEffect } from "../../src/protocol/internal/shapes.ts"
import * as Stock from "../../src/protocol/stock.ts"
import * as StockDispatch from "../../src/protocol/StockDispatch.ts"
import { toolkit } from "../../src/protocol/toolkit.ts"

const info = { name: "test", version: "0" }

const Live = StockDispatch.layer.pipe(
  Layer.provideMerge(Stock.layer(info)),
  Layer.provideMerge(McpServer.McpServer.layer)
)

const serverOf = <A>(registrations: Layer.Layer<A, never, McpServer.McpServer>) =>
  StockDispatch.layer.pipe(
    Layer.provideMerge(Stock.layer(info)),
    Layer.provideMerge(registrations),
    Layer.provideMerge(McpServer.McpServer.layer)
  )

const requestOf = (method: string, params: Request["params"] = {}, version = "2025-11-25"): Request => ({
  version,
  method,
  params,
  requestId: 1,
  profile: {
    session: "secret",
    principal: "anonymous",
    clientCapabilities: {},
    clientInfo: { name: "c", version: "0" },
    headers: { "x-a": "1" }
  }
})

const dispatch = (request: Request) => Effect.flatMap(Dispatch, (_) => _.dispatch(request))

const addTool = (name: string, handle: Effect.Effect<McpSchema.CallToolResult> = Effect.never) =>
  McpServer.McpServer.use((server) =>
    server.addTool({
      tool: new McpSchema.Tool({ name, inputSchema: { type: "object" } }),
      annotations: Context.empty(),
      handle: () => handle
    })
  )

/** What a program takes out of the server when it starts, as one does with a service. */
class Taken extends Context.Service<Taken, Pick<McpServer.McpServer["Service"], "notifications">>()("test/Taken") {}

describe("Stock", () => {
  it.effect("speaks the version that was asked for, else the newest with sessions (S-L2, S-L3)", () =>
    Effect.gen(function*() {
      const stock = yield* Stock.Stock
      assert.deepStrictEqual(stock.versions, ["2025-11-25", "2025-06-18", "2025-03-26"])
      for (const version of stock.versions) {
        assert.strictEqual(stock.negotiate(version), version)
      }
      for (const version of ["2024-11-05", "2026-07-28", "1999-01-01", "", undefined, 7]) {
        assert.strictEqual(stock.negotiate(version), "2025-11-25")
      }
    }).pipe(Effect.provide(Live)))

  it.effect("speaks the configured versions only", () =>
    Effect.gen(function*() {
      const stock = yield* Stock.Stock
      assert.deepStrictEqual(stock.versions, ["2025-06-18"])
      assert.strictEqual(stock.negotiate("2025-11-25"), "2025-06-18")
      assert.throws(() => stock.at("2025-11-25"), "not one of the server's versions")
    }).pipe(
      Effect.provide(Stock.layer({ ...info, protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_06_18] })),
      Effect.provide(McpServer.McpServer.layer)
    ))

  it.effect("needs a version with sessions", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Stock.make({ ...info, protocols: [McpProtocol.v2026_07_28] })))
      assert.isTrue(Exit.hasDies(exit))
    }).pipe(Effect.provide(McpServer.McpServer.layer)))

  it.effect("offers what is registered, now (S-T1, S-RS1, S-PM1)", () =>
    Effect.gen(function*() {
      const stock = yield* Stock.Stock
      assert.deepStrictEqual(yield* stock.capabilities, { completions: true, logging: true })
      yield* addTool("t")
      assert.deepStrictEqual(yield* stock.capabilities, {
        completions: true,
        logging: true,
        tools: { listChanged: true }
      })
    }).pipe(Effect.provide(Live)))

  it.effect("decodes with the errors of the wire (S-LG2)", () =>
    Effect.gen(function*() {
      const version = (yield* Stock.Stock).at("2025-11-25")
      const codeOf = (method: string, params: unknown) =>
        Effect.map(Effect.flip(version.decode(method, params)), ({ code }) => code)
      assert.strictEqual(yield* codeOf("logging/setLevel", { level: "loud" }), -32602)
      assert.strictEqual(yield* codeOf("resources/subscribe", {}), -32602)
      assert.strictEqual(yield* codeOf("no/such", {}), -32601)
      assert.deepStrictEqual(yield* version.decode("logging/setLevel", { level: "alert" }), { level: "alert" })
      assert.strictEqual(version.kind("logging/setLevel"), "Request")
      assert.strictEqual(version.kind("notifications/cancelled"), "Notification")
      assert.strictEqual(version.kind("no/such"), undefined)
    }).pipe(Effect.provide(Live)))

  describe("announcements", () => {
    const heard = Effect.gen(function*() {
      const stock = yield* Stock.Stock
      const all: Array<Stock.Announcement> = []
      yield* stock.listen((announcement) => Effect.sync(() => all.push(announcement)))
      return all
    })

    it.effect("a list that changes is announced once for all of one turn (S-T9)", () =>
      Effect.gen(function*() {
        yield* addTool("before")
        const all = yield* heard
        yield* addTool("a")
        yield* addTool("b")
        const server = yield* McpServer.McpServer
        yield* server.notifications["notifications/prompts/list_changed"]({})
        yield* McpServer.registerResource({ uri: "test://a", name: "a", content: Effect.succeed("a") })
        yield* Effect.yieldNow
        assert.deepStrictEqual(all, [
          { _tag: "ListChanged", list: "tools" },
          { _tag: "ListChanged", list: "prompts" },
          { _tag: "ListChanged", list: "resources" }
        ])
        yield* addTool("c")
        yield* Effect.yieldNow
        assert.strictEqual(all.length, 4)
      }).pipe(Effect.scoped, Effect.provide(Live)))

    it.effect("a handler waits until its announcement is taken", () =>
      Effect.gen(function*() {
        const all = yield* heard
        const server = yield* McpServer.McpServer
        yield* server.notifications["notifications/resources/updated"]({ uri: "test://a" })
        yield* server.notifyElicitationComplete({ clientId: 0, elicitationId: "e" })
        assert.deepStrictEqual(all, [
          { _tag: "ResourceUpdated", uri: "test://a" },
          { _tag: "ElicitationComplete", elicitationId: "e" }
        ])
      }).pipe(Effect.scoped, Effect.provide(Live)))

    it.effect("is heard also from those who took hold of the notifications while the server was built", () =>
      Effect.gen(function*() {
        const taken = yield* Taken
        const all = yield* heard
        yield* taken.notifications["notifications/resources/updated"]({ uri: "test://a" })
        yield* taken.notifications["notifications/tools/list_changed"]({})
        yield* Effect.yieldNow
        assert.deepStrictEqual(all, [
          { _tag: "ResourceUpdated", uri: "test://a" },
          { _tag: "ListChanged", list: "tools" }
        ])
      }).pipe(
        Effect.scoped,
        Effect.provide(serverOf(
          Layer.effect(Taken)(McpServer.McpServer.useSync(({ notifications }) => ({ notifications })))
        ))
      ))

    it.effect("has the text of each version, where the version has one (S-RS4, S-E8)", () =>
      Effect.gen(function*() {
        const stock = yield* Stock.Stock
        for (const name of stock.versions) {
          const text = yield* stock.at(name).announce({ _tag: "ResourceUpdated", uri: "test://a" })
          assert.deepStrictEqual(JSON.parse(text!), {
            jsonrpc: "2.0",
            method: "notifications/resources/updated",
            params: { uri: "test://a" }
          })
          for (const list of ["tools", "resources", "prompts"] as const) {
            const { method } = JSON.parse((yield* stock.at(name).announce({ _tag: "ListChanged", list }))!)
            assert.strictEqual(method, `notifications/${list}/list_changed`)
          }
        }
        const done = { _tag: "ElicitationComplete", elicitationId: "e" } as const
        assert.isUndefined(yield* stock.at("2025-06-18").announce(done))
        assert.isDefined(yield* stock.at("2025-11-25").announce(done))
      }).pipe(Effect.provide(Live)))

    it.effect("emissions outside of a call go nowhere, and do not wait", () =>
      Effect.gen(function*() {
        const server = yield* McpServer.McpServer
        yield* server.notifications["notifications/progress"]({ progressToken: 1, progress: 1 })
        yield* server.notifications["notifications/message"]({ level: "info", data: "x" })
      }).pipe(Effect.provide(Live)))

    it.effect("the service is the stock one again when the scope ends", () =>
      Effect.gen(function*() {
        const server = yield* McpServer.McpServer
        const parts = () => ({ ...server, notifications: { ...server.notifications } })
        const before = parts()
        yield* Effect.scoped(Effect.andThen(
          Stock.make(info),
          Effect.sync(() => assert.notDeepEqual(parts().notifications, before.notifications))
        ))
        assert.deepStrictEqual(parts(), before)
      }).pipe(Effect.provide(McpServer.McpServer.layer)))
  })

  it.effect("digests say whether a list changed, whatever the order", () =>
    Effect.gen(function*() {
      const digestsOf = (names: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          yield* Effect.forEach(names, (name) => addTool(name))
          return yield* (yield* Stock.Stock).digests
        }).pipe(Effect.provide(Live, { local: true }))
      const none = yield* digestsOf([])
      const both = yield* digestsOf(["a", "b"])
      assert.deepStrictEqual(yield* digestsOf(["b", "a"]), both)
      assert.notStrictEqual(both.tools, none.tools)
      assert.notStrictEqual((yield* digestsOf(["a", "c"])).tools, both.tools)
      assert.strictEqual(both.prompts, none.prompts)
      assert.strictEqual(both.resources, none.resources)
    }))

  describe("another effect", () => {
    it("is refused with its version, and with what it lacks", () => {
      assert.throws(() => checkCore({}), UnsupportedEffect, /^effect \d+\.\d+\.\d+ is not supported: .*tools\.list/)
      assert.throws(() => checkTable("2025-11-25", undefined), UnsupportedEffect, "MCP 2025-11-25")
    })

    it.effect("is refused when the server does not hand out its registry", () =>
      Effect.gen(function*() {
        const exit = yield* Stock.make(info).pipe(
          Effect.scoped,
          Effect.provideService(McpServer.McpServer, {} as McpServer.McpServer["Service"]),
          Effect.sandbox,
          Effect.flip
        )
        assert.include(String(exit), "is not supported")
      }))
  })
})

describe("StockDispatch", () => {
  const Probe = Toolkit.make(
    Tool.make("fiber", { success: Schema.Number }),
    Tool.make("waits", { success: Schema.Void }),
    Tool.make("request", { success: Schema.Unknown, dependencies: [HttpServerRequest.HttpServerRequest] })
  )
  const probe = (interrupted: () => void) =>
    serverOf(
      toolkit(Probe).pipe(Layer.provide(Probe.toLayer({
        fiber: () => Effect.withFiber((fiber) => Effect.succeed(fiber.id)),
        waits: () => Effect.onInterrupt(Effect.never, () => Effect.sync(interrupted)),
        request: () => Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => ({ headers: { ...headers } }))
      }))) as Layer.Layer<never, never, McpServer.McpServer>
    )

  it.effect("runs the handler on the calling fiber", () =>
    Effect.gen(function*() {
      const id = yield* Effect.withFiber((fiber) => Effect.succeed(fiber.id))
      const answer = yield* dispatch(requestOf("tools/call", { name: "fiber" }))
      assert.deepStrictEqual(answer, { result: { content: [{ type: "text", text: String(id) }], isError: false } })
    }).pipe(Effect.provide(probe(() => {}))))

  it.effect("lets an interruption through to the handler, and out as a cause", () => {
    let interrupted = false
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(dispatch(requestOf("tools/call", { name: "waits" })), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.isTrue(interrupted)
    }).pipe(Effect.provide(probe(() => interrupted = true)))
  })

  it.effect("shows handlers and middleware the stored headers", () =>
    Effect.gen(function*() {
      const answer = yield* dispatch(requestOf("tools/call", { name: "request" }))
      assert.deepStrictEqual((answer as { readonly result: Schema.JsonObject }).result.structuredContent, {
        headers: { "x-a": "1", "mcp-session-id": "secret", "mcp-protocol-version": "2025-11-25" }
      })
    }).pipe(Effect.provide(probe(() => {}))))

  it.effect("lists a raw JSON Schema as it was written (S-T5)", () => {
    const parameters = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      $defs: { address: { type: "object", properties: { street: { type: "string" } } } },
      properties: { address: { $ref: "#/$defs/address" } },
      not: { required: ["addresses"] },
      additionalProperties: false
    } as const
    const Raw = Toolkit.make(Tool.dynamic("raw", { parameters, success: Schema.Unknown }))
    const registrations = toolkit(Raw).pipe(Layer.provide(Raw.toLayer({ raw: () => Effect.succeed(null) })))
    return Effect.gen(function*() {
      for (const version of ["2025-06-18", "2025-11-25"]) {
        const answer = yield* dispatch(requestOf("tools/list", {}, version))
        const [tool] =
          (answer as { readonly result: { readonly tools: ReadonlyArray<Schema.JsonObject> } }).result.tools
        assert.deepStrictEqual(tool?.inputSchema, parameters as unknown)
      }
    }).pipe(Effect.provide(serverOf(registrations)))
  })

  it.effect("refuses a cursor, because no list gives one (S-PN1)", () =>
    Effect.gen(function*() {
      for (const method of ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]) {
        assert.deepStrictEqual(yield* dispatch(requestOf(method, { cursor: "x" })), {
          error: { code: -32602, message: "Invalid cursor" }
        })
      }
    }).pipe(Effect.provide(Live)))

  it.effect("answers ping with nothing (S-I1), and does not answer notifications", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* dispatch(requestOf("ping")), { result: {} })
      assert.deepStrictEqual(yield* dispatch(requestOf("notifications/initialized")), {
        error: { code: -32601, message: "Method not found: notifications/initialized" }
      })
    }).pipe(Effect.provide(Live)))
})
