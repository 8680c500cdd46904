/**
 * A server of the tools in a process of its own.
 *
 * `PORT`; `DATABASE`: a file, without it everything is lost with the process.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { DurableMcp, MemoryStore, SqliteStore } from "effect-durable-mcp"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { registrations } from "./tools.ts"

const Store = Layer.unwrap(Effect.map(
  Config.option(Config.String("DATABASE")),
  Option.match({
    onNone: () => MemoryStore.layer,
    onSome: (filename) => SqliteStore.layer({ filename })
  })
))

const Server = Layer.unwrap(Effect.map(
  Config.Int("PORT"),
  (port) =>
    DurableMcp.serveNode({ port, disableListenLog: true })(
      DurableMcp.layerHttp({ name: "killed", version: "1.0.0", path: "/mcp", registrations })
    )
))

Server.pipe(
  Layer.provide(Store),
  Layer.launch,
  NodeRuntime.runMain
)
