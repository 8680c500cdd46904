/** Calls that fail after steps that have to be undone: last first, each once, whatever happens meanwhile. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", { wanted: Schema.Int }) {}

const Trips = Toolkit.make(
  Tool.make("fails", { success: Schema.Void, failure: NoSeats }),
  Tool.make("dies", { success: Schema.Void }),
  Tool.make("parks", { success: Schema.Void, failure: NoSeats }),
  Tool.make("succeeds", { success: Schema.String })
)

const handlers = Trips.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const hold = (name: string, undo: Effect.Effect<unknown> = Effect.void) =>
    Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name), {
      compensate: (held, _cause, { key }) => Effect.andThen(undo, Effect.asVoid(effect(`undo ${held}`, { key })))
    })
  return Trips.of({
    fails: Effect.fnUntraced(function*() {
      yield* hold("seat")
      yield* hold("room", Effect.sleep("3 seconds"))
      yield* Effect.forEach(["bike", "boat"], (name) => hold(name), { concurrency: "unbounded" })
      return yield* new NoSeats({ wanted: 2 })
    }),
    dies: Effect.fnUntraced(function*() {
      yield* hold("car")
      // the others are undone all the same
      yield* hold("van", Effect.die(new Error("cannot be undone")))
      yield* hold("bus")
      return yield* Effect.die(new Error("a bug"))
    }),
    parks: Effect.fnUntraced(function*() {
      yield* hold("tent")
      yield* Durable.sleep("night", "20 seconds")
      yield* hold("lamp")
      return yield* new NoSeats({ wanted: 1 })
    }),
    succeeds: Effect.fnUntraced(function*() {
      yield* hold("ticket")
      return yield* hold("coffee")
    })
  })
}))

const held = ["seat", "room", "bike", "boat", "car", "van", "bus", "tent", "lamp", "ticket", "coffee"]
const undone = ["seat", "room", "bike", "boat", "car", "bus", "tent", "lamp"].map((name) => `undo ${name}`)

export const compensation: Area = {
  registrations: DurableMcp.toolkit(Trips).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.all(["fails", "dies", "parks", "succeeds"].map((tool) => client.callTool(tool)), {
      concurrency: "unbounded"
    }),
  expect: {
    exactlyOnce: [...held, ...undone],
    satisfies: ({ world }) =>
      ["undo van", "undo ticket", "undo coffee"].filter((name) => world.effects.has(name)).map((name) =>
        `${name} took place`
      )
  }
}
