/**
 * A front: an MCP server that takes calls and runs none of them. Start as many
 * as you like, behind any load balancer. `PORT`, `SECRET` and `REBOOT_URL` come
 * from the environment.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { DurableMcp } from "effect-durable-mcp"
import { RebootStore } from "effect-durable-mcp/reboot"
import { HttpServer } from "effect/http"
import { Airline } from "../Airline.ts"
import { TripsLive } from "../trips.ts"

const Listening = Layer.effectDiscard(HttpServer.addressFormattedWith((url) => Console.log(`listening ${url}/mcp`)))

/** The handlers are registered here, too, for their schemas; they run in the application. */
const elsewhere = () => Effect.die(new Error("A front runs no handlers"))
const NoAirline = Layer.succeed(Airline)({
  reserve: elsewhere,
  release: elsewhere,
  charge: elsewhere,
  mail: elsewhere
})

const Front = Layer.unwrap(Effect.gen(function*() {
  const port = yield* Config.Int("PORT").pipe(Config.withDefault(3000))
  return Listening.pipe(
    Layer.provide(
      DurableMcp.layerHttp({ name: "trips", version: "1.0.0", path: "/mcp", registrations: TripsLive }).pipe(
        DurableMcp.serveNode({ port, disableListenLog: true })
      )
    ),
    Layer.provide([
      RebootStore.layerClient({
        url: yield* Config.String("REBOOT_URL").pipe(Config.withDefault("http://127.0.0.1:9991")),
        secret: yield* Config.Redacted("SECRET")
      }),
      NoAirline
    ])
  )
}))

NodeRuntime.runMain(Layer.launch(Front))
