/** Steps at the same time: all of them, the first of them, those that a deadline leaves. */
import { Effect, Layer, Option, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Outcome = Schema.Array(Schema.String)

const Concurrent = Toolkit.make(
  Tool.make("all", { success: Outcome }),
  Tool.make("races", { success: Outcome })
)

const handlers = Concurrent.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const act = (name: string) => Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name))
  return Concurrent.of({
    all: Effect.fnUntraced(function*() {
      const bounded = yield* Effect.forEach(["a", "b", "c", "d"], act, { concurrency: 2 })
      const [left, right] = yield* Effect.all([
        act("left"),
        Effect.andThen(Durable.sleep("nap", "2 seconds"), act("right"))
      ], { concurrency: "unbounded" })
      const fails = Durable.step("fails", ({ key }) => Effect.andThen(effect("fails", { key }), Effect.fail("no")), {
        error: Schema.String
      })
      const failed = yield* Effect.flip(Effect.all([act("innocent"), fails])).pipe(Effect.orDie)
      return [...bounded, left, right, failed]
    }),

    races: Effect.fnUntraced(function*() {
      const stepWins = yield* Effect.raceFirst(act("fast"), Durable.step("never", Effect.as(Effect.never, "never")))
      const sleepWins = yield* Effect.raceFirst(
        Effect.as(Durable.sleep("short", "1 second"), "short"),
        Effect.as(Durable.sleep("long", "1 hour"), "long")
      )
      const nobody = yield* Effect.timeoutOption(Durable.step("hangs", Effect.as(Effect.never, "hangs")), "2 seconds")
      const unasked = yield* Effect.raceFirst(
        Effect.as(Durable.sleep("patience", "3 seconds"), "patience"),
        Effect.map(
          Durable.elicit("unanswered", { message: "Anybody?", schema: Schema.Struct({ ok: Schema.Boolean }) }),
          ({ _tag }) => _tag
        )
      )
      yield* act("after")
      return [stepWins, sleepWins, Option.getOrElse(nobody, () => "nobody"), unasked]
    })
  })
}))

export const concurrent: Area = {
  registrations: DurableMcp.toolkit(Concurrent).pipe(Layer.provide(handlers)),
  script: (client) => Effect.all([client.callTool("all"), client.callTool("races")], { concurrency: "unbounded" }),
  // the question of the race is left open
  answer: () => Effect.void,
  expect: { exactlyOnce: ["a", "b", "c", "d", "left", "right", "innocent", "fails", "fast", "after"] }
}
