import { it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { type Client, CrashTest, World } from "effect-durable-mcp/testing"
import { Bank, BillsLive } from "./bills.ts"

const registrations = BillsLive.pipe(Layer.provide(Layer.effect(
  Bank,
  Effect.map(World.World, (world) => ({ charge: (bill, key) => Effect.as(world.effect("charge", { key }), bill) }))
)))
const script = (client: Client.Client) => client.callTool("pay", { bill: "rent" })
const paid = { exactlyOnce: ["charge"] }

it.effect.prop(
  "paying survives any crash",
  { crashes: CrashTest.schedules({ max: 6 }) },
  ({ crashes }) => Effect.flatMap(CrashTest.run({ registrations, script, crashes }), (run) => run.assert(paid))
)
