/**
 * The server: the tool, a port, a file. `PORT`, `DATA_DIR` and `WORLD_URL` come
 * from the environment; `STORE`: `sqlite`, the default, or `reboot`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { DurableMcp, SqliteStore } from "effect-durable-mcp"
import { RebootStore } from "effect-durable-mcp/reboot"
import { HttpServer } from "effect/http"
import { join } from "node:path"
import { Airline } from "./Airline.ts"
import { TripsLive } from "./trips.ts"

const Listening = Layer.effectDiscard(HttpServer.addressFormattedWith((url) => Console.log(`listening ${url}/mcp`)))

const Server = Layer.unwrap(Effect.gen(function*() {
  const port = yield* Config.Int("PORT").pipe(Config.withDefault(3000))
  const dataDir = yield* Config.String("DATA_DIR").pipe(Config.withDefault("."))
  const store = yield* Config.Literals(["sqlite", "reboot"], "STORE").pipe(Config.withDefault("sqlite"))
  const Store = store === "sqlite"
    ? SqliteStore.layer({ filename: join(dataDir, "trips.db") })
    : RebootStore.layer({ name: "trips", stateDirectory: join(dataDir, "reboot") })
  return Listening.pipe(
    Layer.provide(
      DurableMcp.layerHttp({ name: "trips", version: "1.0.0", path: "/mcp", registrations: TripsLive }).pipe(
        DurableMcp.serveNode({ port, disableListenLog: true })
      )
    ),
    Layer.provide([Store, Airline.layer])
  )
}))

NodeRuntime.runMain(Layer.launch(Server))
