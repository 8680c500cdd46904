/**
 * The server: the tool, a port, a file. `PORT`, `DATA_DIR` and `WORLD_URL` come
 * from the environment.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { DurableMcp, SqliteStore } from "effect-durable-mcp"
import { HttpServer } from "effect/http"
import { join } from "node:path"
import { Airline } from "./Airline.ts"
import { TripsLive } from "./trips.ts"

const Listening = Layer.effectDiscard(HttpServer.addressFormattedWith((url) => Console.log(`listening ${url}/mcp`)))

const Server = Layer.unwrap(Effect.gen(function*() {
  const port = yield* Config.Int("PORT").pipe(Config.withDefault(3000))
  const dataDir = yield* Config.String("DATA_DIR").pipe(Config.withDefault("."))
  return Listening.pipe(
    Layer.provide(
      DurableMcp.layerHttp({ name: "trips", version: "1.0.0", path: "/mcp", registrations: TripsLive }).pipe(
        DurableMcp.serveNode({ port, disableListenLog: true })
      )
    ),
    Layer.provide([SqliteStore.layer({ filename: join(dataDir, "trips.db") }), Airline.layer])
  )
}))

NodeRuntime.runMain(Layer.launch(Server))
