/** Sleeps: in memory, parked, several at once, up to an absolute time. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Sleeps = Toolkit.make(
  Tool.make("short", { success: Schema.String }),
  Tool.make("long", { success: Schema.String }),
  Tool.make("several", { success: Schema.Array(Schema.String) })
)

const handlers = Sleeps.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const act = (name: string) => Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name))
  return Sleeps.of({
    short: Effect.fnUntraced(function*() {
      yield* Durable.sleep("nothing", 0)
      yield* Durable.sleep("blink", "200 millis")
      yield* Durable.sleep("blink", "3 seconds")
      return yield* act("awake")
    }),
    long: Effect.fnUntraced(function*() {
      yield* act("morning")
      yield* Durable.sleep("nap", "50 seconds")
      yield* Durable.progress({ progress: 1, message: "awake again" })
      yield* Durable.sleep("rest", "20 seconds")
      return yield* act("noon")
    }),
    several: () =>
      Effect.forEach(
        ["1 second", "20 seconds", "40 seconds"] as const,
        (duration) => Effect.andThen(Durable.sleep(duration, duration), act(`after ${duration}`)),
        { concurrency: "unbounded" }
      )
  })
}))

export const sleeps: Area = {
  registrations: DurableMcp.toolkit(Sleeps).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.all(["short", "long", "several"].map((tool) => client.callTool(tool)), { concurrency: "unbounded" }),
  expect: { exactlyOnce: ["awake", "morning", "noon", "after 1 second", "after 20 seconds", "after 40 seconds"] }
}
