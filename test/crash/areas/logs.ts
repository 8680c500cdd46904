/** What a call tells: progress and log messages, at the level that the client has set. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const levels = ["debug", "info", "warning", "emergency"] as const

const Telling = Toolkit.make(
  Tool.make("levels", { success: Schema.Void }),
  Tool.make("progress", { success: Schema.Void }),
  Tool.make("together", { success: Schema.Void })
)

const handlers = Telling.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Telling.of({
    levels: Effect.fnUntraced(function*() {
      for (const level of levels) {
        yield* Durable.log({ level }, { level, logger: "areas" })
      }
      // the same message again is another message
      yield* Durable.log("twice", { level: "error" })
      yield* Durable.step("middle", ({ key }) => effect("middle", { key }))
      yield* Durable.log("twice", { level: "error" })
    }),
    progress: Effect.fnUntraced(function*() {
      // what is not above the last value is dropped
      for (const progress of [0.5, 1, 1, 0.25, 2]) {
        yield* Durable.progress({ progress, total: 3, message: `at ${progress}` })
        yield* Durable.step("tick", ({ key }) => effect("tick", { key }))
      }
      yield* Durable.progress({ progress: 3 })
    }),
    together: () =>
      Effect.forEach(
        ["a", "b", "c"],
        (name) =>
          Effect.andThen(
            Durable.step(name, ({ key }) => effect(name, { key })),
            Durable.log(name, { level: "alert" })
          ),
        { concurrency: "unbounded", discard: true }
      )
  })
}))

export const logs: Area = {
  registrations: DurableMcp.toolkit(Telling).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.gen(function*() {
      const answers = [yield* client.callTool("levels"), yield* client.callTool("progress")]
      for (const level of ["warning", "debug"]) {
        answers.push(yield* client.request("logging/setLevel", { level }), yield* client.callTool("levels"))
      }
      yield* client.request("logging/setLevel", { level: "alert" })
      // three fibers at once: each message once, in any order
      const together = yield* client.start("together")
      answers.push(yield* together.answer)
      const told = (yield* together.messages).map(({ params }) => JSON.stringify(params?.data)).sort()
      return [answers, told]
    })
}
