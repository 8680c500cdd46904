/**
 * The Reboot application: hosts the tool's handlers, in each of its server
 * processes. `SECRET` and `WORLD_URL` come from the environment.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { DurableMcp } from "effect-durable-mcp"
import { RebootApplication } from "effect-durable-mcp/reboot"
import { Airline } from "../Airline.ts"
import { TripsLive } from "../trips.ts"

const Application = Effect.gen(function*() {
  return yield* RebootApplication.run({
    secret: yield* Config.Redacted("SECRET"),
    handlers: DurableMcp.layerHost({ name: "trips", version: "1.0.0", registrations: TripsLive }).pipe(
      Layer.provide(Airline.layer)
    )
  })
})

NodeRuntime.runMain(Application)
