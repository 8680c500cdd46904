/** POSTs that come again: while the call runs, after its end, with other parameters (S-P10). */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Repeated = Toolkit.make(
  Tool.make("count", { parameters: Schema.Struct({ name: Schema.String }), success: Schema.String }),
  Tool.make("asks", { success: Schema.String }),
  Tool.make("quick", { success: Schema.String })
)

const handlers = Repeated.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Repeated.of({
    count: Effect.fnUntraced(function*({ name }) {
      yield* Durable.step("counted", ({ key }) => effect(name, { key }))
      yield* Durable.progress({ progress: 1 })
      yield* Durable.sleep("pause", "10 seconds")
      yield* Durable.progress({ progress: 2 })
      return name
    }),
    asks: Effect.fnUntraced(function*() {
      const answer = yield* Durable.elicit("sure", { message: "Sure?", schema: Schema.Struct({ ok: Schema.Boolean }) })
      yield* Durable.step("answered", ({ key }) => effect("answered", { key }))
      return answer._tag
    }),
    quick: () => Effect.succeed("quick")
  })
}))

export const repeats: Area = {
  registrations: DurableMcp.toolkit(Repeated).pipe(Layer.provide(handlers)),
  answer: () => Effect.as(Effect.sleep("7 seconds"), { action: "accept", content: { ok: true } }),
  script: (client) =>
    Effect.gen(function*() {
      const running = yield* client.start("count", { name: "running" })
      yield* running.received(1)
      yield* Effect.all([running.repeat, running.repeat], { concurrency: "unbounded" })
      const first = yield* running.answer
      yield* running.repeat

      const asking = yield* client.start("asks")
      yield* asking.received(1)
      yield* asking.repeat
      const second = yield* asking.answer

      const quick = yield* client.start("quick")
      const third = yield* quick.answer
      yield* quick.repeat

      // "1" is not 1, and neither is the id of another session
      const text = yield* client.callTool("count", { name: "text id" }, { id: "1" })
      const other = yield* client.another()
      return [first, second, third, text, yield* other.callTool("count", { name: "other session" }, { id: 1 })]
    }),
  expect: { exactlyOnce: ["running", "answered", "text id", "other session"] }
}
