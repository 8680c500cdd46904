/** Many messages, many steps at once, long arguments and results. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Bulk = Toolkit.make(
  Tool.make("many_messages", { parameters: Schema.Struct({ count: Schema.Int }), success: Schema.Void }),
  Tool.make("many_steps", { parameters: Schema.Struct({ count: Schema.Int }), success: Schema.Int }),
  Tool.make("long_text", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String })
)

const handlers = Bulk.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Bulk.of({
    many_messages: Effect.fnUntraced(function*({ count }) {
      for (let i = 1; i <= count; i++) {
        yield* Durable.progress({ progress: i, total: count })
        yield* Durable.log(`line ${i}`)
      }
    }),
    many_steps: ({ count }) =>
      Effect.forEach(
        Array.from({ length: count }, (_, i) => `row ${i}`),
        (row) => Durable.step(row, ({ key }) => effect(row, { key })),
        { concurrency: "unbounded" }
      ).pipe(Effect.map((rows) => rows.length)),
    long_text: Effect.fnUntraced(function*({ text }) {
      const echoed = yield* Durable.step("echo", ({ key }) => Effect.as(effect("echo", { key }), text))
      yield* Durable.log(echoed)
      return echoed.toUpperCase()
    })
  })
}))

export const bulk: Area = {
  registrations: DurableMcp.toolkit(Bulk).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.all([
      client.callTool("many_messages", { count: 12 }),
      client.callTool("many_steps", { count: 12 }),
      client.callTool("long_text", { text: "é€😀\n".repeat(10_000) })
    ], { concurrency: "unbounded" }),
  expect: { exactlyOnce: ["row 0", "row 11", "echo"] }
}
