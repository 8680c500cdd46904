import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { McpSchema, McpServer } from "effect/ai"
import { Dispatch } from "../../src/engine/Dispatch.ts"
import * as Stock from "../../src/protocol/stock.ts"
import * as StockDispatch from "../../src/protocol/StockDispatch.ts"

const Live = StockDispatch.layer.pipe(
  Layer.provideMerge(Stock.layer({ name: "test", version: "0" })),
  Layer.provideMerge(McpServer.McpServer.layer)
)

/** What a tool may return, from plain to odd. */
const Result = Schema.Struct({
  content: Schema.Array(Schema.Union([
    Schema.Struct({ type: Schema.tag("text"), text: Schema.String }),
    Schema.Struct({
      type: Schema.tag("text"),
      text: Schema.String,
      annotations: Schema.Struct({ priority: Schema.tag(1) })
    }),
    Schema.Struct({ type: Schema.tag("image"), data: Schema.Uint8Array, mimeType: Schema.tag("image/png") })
  ])),
  structuredContent: Schema.optional(Schema.Json),
  isError: Schema.optional(Schema.Boolean)
})

const requestOf = (version: string) => ({
  version,
  method: "tools/call",
  params: { name: "t" },
  requestId: 1,
  profile: { principal: "p", clientCapabilities: {}, clientInfo: { name: "c", version: "0" }, headers: {} }
})

it.effect.prop(
  "a plain result takes a shortcut around the adapter, to the same answer",
  { result: Result, mirrored: Schema.Boolean },
  ({ mirrored, result }) =>
    Effect.gen(function*() {
      const server = yield* McpServer.McpServer
      const stock = yield* Stock.Stock
      const { dispatch } = yield* Dispatch
      const content = mirrored && result.structuredContent !== undefined
        ? [{ type: "text" as const, text: JSON.stringify(result.structuredContent) }]
        : result.content
      yield* server.addTool({
        tool: new McpSchema.Tool({ name: "t", inputSchema: { type: "object" } }),
        annotations: Context.empty(),
        handle: () => Effect.succeed(new McpSchema.CallToolResult({ ...result, content }))
      })
      for (const version of stock.versions) {
        const adapted = yield* stock.at(version).invoke("tools/call", { name: "t" }).pipe(
          Effect.provideService(McpSchema.McpServerClient, {
            clientId: 0,
            protocolVersion: "2025-11-25",
            clientCapabilities: new McpSchema.ClientCapabilities({}),
            clientInfo: { name: "c", version: "0" },
            initializePayload: {
              protocolVersion: version,
              capabilities: new McpSchema.ClientCapabilities({}),
              clientInfo: { name: "c", version: "0" }
            },
            getClient: Effect.never
          })
        )
        const answer = yield* dispatch(requestOf(version))
        assert.deepStrictEqual(onWire(answer), onWire({ result: adapted }))
      }
    }).pipe(Effect.provide(Live)),
  { arbitrary: { runs: 300 } }
)

const onWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
