/**
 * Tools that answer with blocks of content: images, sounds, resources. (Those of
 * a toolkit answer with a value, which becomes a text.)
 */
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

export type Content = McpSchema.ContentBlock

/** Registers a tool; `handler` gets its decoded arguments. */
export const tool = <A>(options: {
  readonly name: string
  readonly description: string
  readonly parameters: Schema.Codec<A, unknown>
  readonly handler: (parameters: A) => Effect.Effect<ReadonlyArray<Content>>
}): Layer.Layer<never, never, McpServer.McpServer> => {
  const decode = Schema.decodeUnknownEffect(options.parameters, { errors: "all" })
  return Layer.effectDiscard(McpServer.McpServer.use((server) =>
    server.addTool({
      tool: new McpSchema.Tool({
        name: options.name,
        description: options.description,
        inputSchema: Tool.getJsonSchemaFromSchema(options.parameters) as McpSchema.Tool["inputSchema"]
      }),
      annotations: Context.empty(),
      handle: (payload) =>
        decode(payload ?? {}).pipe(
          Effect.mapError(({ message }) => new McpSchema.InvalidParams({ message })),
          Effect.flatMap(options.handler),
          Effect.map((content) => new McpSchema.CallToolResult({ content }))
        )
    })
  ))
}

export const text = (text: string): Content => ({ type: "text", text })

const bytes = (base64: string): Uint8Array => Result.getOrThrow(Base64.decode(base64))

/** A red pixel. */
export const png = bytes(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)

export const image: Content = { type: "image", data: png, mimeType: "image/png" }

/** Silence. */
export const audio: Content = {
  type: "audio",
  data: bytes("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="),
  mimeType: "audio/wav"
}

export const resource = (uri: string, mimeType: string, text: string): Content => ({
  type: "resource",
  resource: { uri, mimeType, text }
})
