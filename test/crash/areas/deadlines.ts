/** Questions with a deadline: never answered, answered too late, answered in time. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { type Client, World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Deadlines = Toolkit.make(
  Tool.make("one", { parameters: Schema.Struct({ message: Schema.String }), success: Schema.String }),
  Tool.make("several", { success: Schema.Array(Schema.String) })
)

const handlers = Deadlines.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const ask = (name: string, message: string, timeout: `${number} seconds`) =>
    Effect.map(
      Durable.elicit(name, { message, schema: Schema.Struct({ ok: Schema.Boolean }), timeout }),
      ({ _tag }) => _tag
    )
  return Deadlines.of({
    one: Effect.fnUntraced(function*({ message }) {
      const outcome = yield* ask("question", message, "30 seconds")
      yield* Durable.step("after", ({ key }) => effect(`after ${message}`, { key }))
      return outcome
    }),
    several: () =>
      Effect.all([
        ask("short", "never", "2 seconds"),
        ask("long", "never", "40 seconds"),
        ask("open", "soon", "20 seconds")
      ], {
        concurrency: "unbounded"
      })
  })
}))

const answer = ({ params, reply }: Client.Question) => {
  switch (params.message) {
    case "never":
      return Effect.void
    case "too late":
      return Effect.andThen(Effect.sleep("45 seconds"), reply({ action: "accept", content: { ok: true } }))
    default:
      return Effect.as(Effect.sleep("10 seconds"), { action: "accept", content: { ok: true } })
  }
}

export const deadlines: Area = {
  registrations: DurableMcp.toolkit(Deadlines).pipe(Layer.provide(handlers)),
  answer,
  script: (client) =>
    Effect.all([
      ...["never", "too late", "soon"].map((message) => client.callTool("one", { message })),
      client.callTool("several")
    ], { concurrency: "unbounded" }),
  expect: { exactlyOnce: ["after never", "after too late", "after soon"] }
}
