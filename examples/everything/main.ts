/**
 * A server with one of everything: the fixture of the conformance suite, of the
 * kill tests and of the bench.
 *
 *     node --conditions=source examples/everything/main.ts
 *
 * `PORT`: 0 for any free one, default 3000. `DATA_DIR`: where the database is,
 * default `.artifacts/everything`. `STORE`: `sqlite`, the default, or `reboot`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { DurableMcp, SqliteStore } from "effect-durable-mcp"
import { RebootStore } from "effect-durable-mcp/reboot"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Ledger from "./ledger.ts"
import * as Prompts from "./prompts.ts"
import * as Resources from "./resources.ts"
import * as Tools from "./tools.ts"

const Store = Layer.unwrap(Effect.gen(function*() {
  const folder = yield* Config.String("DATA_DIR").pipe(Config.withDefault(".artifacts/everything"))
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* fs.makeDirectory(folder, { recursive: true })
  const store = yield* Config.Literals(["sqlite", "reboot"], "STORE").pipe(Config.withDefault("sqlite"))
  return store === "sqlite"
    ? SqliteStore.layer({ filename: path.join(folder, "everything.db") })
    : RebootStore.layer({ name: "everything", stateDirectory: path.join(folder, "reboot") })
}))

const Mcp = DurableMcp.layerHttp({
  name: "everything",
  version: "1.0.0",
  path: "/mcp",
  registrations: Layer.mergeAll(Tools.layer, Ledger.layer, Prompts.layer, Resources.layer)
})

const Announce = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`listening ${address}/mcp`))
)

const Server = Layer.unwrap(Effect.map(
  Config.Int("PORT").pipe(Config.withDefault(3000)),
  (port) => Announce.pipe(Layer.provide(DurableMcp.serveNode({ port, disableListenLog: true })(Mcp)))
))

Server.pipe(
  Layer.provide(Store),
  Layer.provide(NodeServices.layer),
  Layer.launch,
  NodeRuntime.runMain
)
