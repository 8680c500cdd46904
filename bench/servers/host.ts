/** A Reboot application that runs what its fronts take. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Config, Effect, Layer } from "effect"
import { DurableMcp } from "effect-durable-mcp"
import { RebootApplication } from "effect-durable-mcp/reboot"
import { everything } from "./counted.ts"

Effect.gen(function*() {
  return yield* RebootApplication.run({
    secret: yield* Config.Redacted("SECRET"),
    handlers: DurableMcp.layerHost(everything).pipe(Layer.provide(NodeServices.layer))
  })
}).pipe(NodeRuntime.runMain)
