/** Steps: in a loop, under one name, within each other, with outcomes of every kind. */
import { Effect, Exit, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

class Refused extends Schema.TaggedError<Refused>("Refused")("Refused", { at: Schema.Date }) {}
class Stay extends Schema.Class<Stay>("Stay")({ nights: Schema.Int, from: Schema.Date }) {}

const Outcome = Schema.Array(Schema.String)

const Steps = Toolkit.make(
  Tool.make("loop", { parameters: Schema.Struct({ times: Schema.Int }), success: Schema.Int }),
  Tool.make("outcomes", { success: Outcome }),
  Tool.make("nested", { success: Outcome })
)

const handlers = Steps.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Steps.of({
    loop: Effect.fnUntraced(function*({ times }) {
      let sum = 0
      for (let i = 1; i <= times; i++) {
        sum += yield* Durable.step("item", ({ key }) => Effect.as(effect(`item ${i}`, { key }), i))
        yield* Durable.progress({ progress: i, total: times })
      }
      return sum
    }),

    outcomes: Effect.fnUntraced(function*() {
      const stay = yield* Durable.step(
        "stay",
        ({ key }) => Effect.as(effect("stay", { key }), new Stay({ nights: 2, from: new Date(0) })),
        { success: Stay }
      )
      yield* Durable.step("nothing", ({ key }) => Effect.asVoid(effect("nothing", { key })))
      const refused = yield* Effect.flip(Durable.step(
        "refused",
        ({ key }) => Effect.andThen(effect("refused", { key }), Effect.fail(new Refused({ at: new Date(7) }))),
        { error: Refused }
      ))
      const died = yield* Effect.exit(
        Durable.step("dies", ({ key }) => Effect.andThen(effect("dies", { key }), Effect.die(new Error("no way"))))
      )
      const cycle: { self?: unknown } = {}
      cycle.self = cycle
      // the effect has happened, so it must not happen again
      const unstorable = yield* Effect.exit(
        Durable.step("unstorable", ({ key }) => Effect.as(effect("unstorable", { key }), cycle))
      )
      return [
        stay.from.toISOString(),
        refused.at.toISOString(),
        ...[died, unstorable].map((exit) => Exit.isFailure(exit) ? "died" : "succeeded")
      ]
    }),

    nested: Effect.fnUntraced(function*() {
      // A failed inner step is that of the attempt it broke, a finished one stands for all attempts.
      const inner = (name: string) => Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name))
      return yield* Durable.step("outer", ({ attempt, key }) =>
        Effect.gen(function*() {
          yield* effect("outer", { key })
          const first = yield* inner("first")
          yield* Durable.step(
            "second",
            ({ key }) =>
              Effect.andThen(
                effect("second", { key }),
                attempt === 1 ? Effect.fail("not yet") : Effect.succeed("second")
              ),
            { error: Schema.String }
          )
          const deep = yield* Durable.step(
            "deep",
            () => Effect.zip(inner("left"), inner("right"), { concurrent: true })
          )
          return [first, ...deep, `attempt ${attempt}`]
        }), { error: Schema.String, retry: 2 }).pipe(Effect.orDie)
    })
  })
}))

export const steps: Area = {
  registrations: DurableMcp.toolkit(Steps).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.gen(function*() {
      const loop = yield* client.callTool("loop", { times: 3 })
      return [loop, yield* client.callTool("outcomes"), yield* client.callTool("nested")]
    }),
  expect: { exactlyOnce: ["item 1", "item 2", "item 3", "stay", "refused", "unstorable", "first", "left", "right"] }
}
