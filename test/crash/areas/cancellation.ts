/** Calls that the client cancels: at once, in a step, while parked, while they are undone, when they are over. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Cancelled = Toolkit.make(
  Tool.make("hangs", { parameters: Schema.Struct({ name: Schema.String }), success: Schema.Void }),
  Tool.make("asks", { success: Schema.Void }),
  Tool.make("sleeps", { success: Schema.Void }),
  Tool.make("undoes", { success: Schema.Void, failure: Schema.String }),
  Tool.make("succeeds", { success: Schema.String })
)

const handlers = Cancelled.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const hold = (name: string, undo: Effect.Effect<unknown> = Effect.void) =>
    Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name), {
      compensate: (held, _cause, { key }) => Effect.andThen(undo, Effect.asVoid(effect(`undo ${held}`, { key })))
    })
  return Cancelled.of({
    hangs: Effect.fnUntraced(function*({ name }) {
      if (name !== "at once") {
        yield* hold(name)
        yield* Durable.progress({ progress: 1 })
      }
      yield* Durable.step("hangs", Effect.never)
    }),
    asks: Effect.fnUntraced(function*() {
      yield* hold("asked")
      yield* Durable.elicit("never", { message: "Anybody?", schema: Schema.Struct({ ok: Schema.Boolean }) })
    }),
    sleeps: Effect.fnUntraced(function*() {
      yield* hold("slept")
      yield* Durable.progress({ progress: 1 })
      yield* Durable.sleep("vacation", "14 days")
    }),
    undoes: Effect.fnUntraced(function*() {
      yield* hold("first")
      yield* hold("second", Effect.sleep("10 seconds"))
      yield* Durable.progress({ progress: 1 })
      return yield* Effect.fail("no")
    }),
    succeeds: () => hold("kept")
  })
}))

const undone = ["in a step", "asked", "slept", "first", "second"]

export const cancellation: Area = {
  registrations: DurableMcp.toolkit(Cancelled).pipe(Layer.provide(handlers)),
  // the questions of cancelled calls stay open
  answer: () => Effect.void,
  script: (client) =>
    Effect.gen(function*() {
      const atOnce = yield* client.start("hangs", { name: "at once" })
      yield* atOnce.cancel("Never mind")

      const inStep = yield* client.start("hangs", { name: "in a step" })
      yield* inStep.received(1)
      yield* inStep.cancel()
      yield* inStep.cancel("and once more")

      const parked = yield* Effect.forEach(["asks", "sleeps"], (tool) => client.start(tool))
      yield* Effect.forEach(parked, (call) => call.received(1))
      yield* Effect.sleep("20 seconds")
      yield* Effect.forEach(parked, (call) => call.cancel())

      // a call that is being undone, and is undone to its end
      const undoing = yield* client.start("undoes")
      yield* undoing.received(1)
      yield* undoing.cancel()

      const over = yield* client.start("succeeds")
      const answer = yield* over.answer
      yield* over.cancel()
      yield* client.notify("notifications/cancelled", { requestId: "nobody's" })

      const cancelled = yield* Effect.forEach([atOnce, inStep, ...parked], (call) => call.answer)
      yield* undoing.answer
      return [...cancelled, answer]
    }),
  expect: {
    exactlyOnce: [...undone, ...undone.map((name) => `undo ${name}`), "kept"],
    satisfies: ({ world }) => world.effects.has("undo kept") ? ["what had succeeded was undone"] : []
  }
}
