/**
 * Effect's own `McpServer`: `echo` and `slow_steps` as in
 * `examples/everything`, nothing durable. Leaf imports, as a server that cares
 * for its start would have them.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"

const Echo = Tool.make("echo", {
  description: "Returns the text",
  parameters: Schema.Struct({ text: Schema.String }),
  success: Schema.String
})

const SlowSteps = Tool.make("slow_steps", {
  description: "n steps with progress",
  parameters: Schema.Struct({ n: Schema.Int, delay_ms: Schema.optional(Schema.Int) }),
  success: Schema.String,
  dependencies: [McpSchema.McpServerClient]
})

const Tools = Toolkit.make(Echo, SlowSteps)

const Registrations = McpServer.toolkit(Tools).pipe(Layer.provide(Tools.toLayer(Effect.gen(function*() {
  const server = yield* McpServer.McpServer
  return Tools.of({
    echo: ({ text }) => Effect.succeed(text),
    slow_steps: Effect.fnUntraced(function*({ delay_ms, n }) {
      const { requestMetadata } = yield* McpSchema.McpServerClient
      const token = requestMetadata?.progressToken
      for (let i = 1; i <= n; i++) {
        if (delay_ms !== undefined && delay_ms > 0) {
          yield* Effect.sleep(delay_ms)
        }
        if (typeof token === "string" || typeof token === "number") {
          yield* server.notifications["notifications/progress"]({ progressToken: token, progress: i, total: n }).pipe(
            Effect.orDie
          )
        }
      }
      return `done:${n}`
    })
  })
}))))

const Listening = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Effect.sync(() => process.stdout.write(`listening ${address}/mcp\n`)))
)

const Mcp = McpServer.layerHttp({
  name: "effect",
  version: "1.0.0",
  path: "/mcp",
  protocols: [McpProtocol.v2025_11_25],
  registrations: Registrations
})

const Main = Layer.unwrap(Effect.gen(function*() {
  const port = yield* Config.Int("PORT").pipe(Config.withDefault(0))
  return Layer.mergeAll(
    HttpRouter.serve(Mcp, { disableLogger: true, disableListenLog: true }),
    Listening
  ).pipe(Layer.provide(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" })))
}))

NodeRuntime.runMain(Layer.launch(Main))
