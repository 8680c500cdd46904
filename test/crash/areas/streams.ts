/** Torn streams: dropped, resumed late, closed by the server, torn again and again. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Streams = Toolkit.make(
  Tool.make("ticks", { parameters: Schema.Struct({ pause: Schema.Int }), success: Schema.Void }),
  Tool.make("hangs_up", { success: Schema.Void }),
  Tool.make("asks", { success: Schema.String })
)

const ticks = 4

const handlers = Streams.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const tick = (i: number) =>
    Effect.andThen(
      Durable.step("tick", ({ key }) => effect("tick", { key })),
      Durable.progress({ progress: i, total: ticks })
    )
  return Streams.of({
    ticks: Effect.fnUntraced(function*({ pause }) {
      for (let i = 1; i <= ticks; i++) {
        yield* tick(i)
        yield* Durable.sleep("pause", pause)
      }
    }),
    hangs_up: Effect.fnUntraced(function*() {
      yield* tick(1)
      yield* Durable.disconnect({ retryAfter: "3 seconds" })
      yield* tick(2)
      yield* Durable.disconnect()
      yield* Durable.sleep("nap", "20 seconds")
      yield* tick(3)
    }),
    asks: Effect.fnUntraced(function*() {
      yield* tick(1)
      const { _tag } = yield* Durable.elicit("sure", {
        message: "Sure?",
        schema: Schema.Struct({ ok: Schema.Boolean })
      })
      yield* tick(2)
      return _tag
    })
  })
}))

export const streams: Area = {
  registrations: DurableMcp.toolkit(Streams).pipe(Layer.provide(handlers)),
  answer: () => Effect.as(Effect.sleep("15 seconds"), { action: "accept", content: { ok: true } }),
  script: (client) =>
    Effect.gen(function*() {
      const torn = yield* client.start("ticks", { pause: 500 })
      for (let i = 1; i <= ticks; i++) {
        yield* torn.received(i)
        yield* torn.drop()
      }
      // the call is over before the client is back
      const late = yield* client.start("ticks", { pause: 1000 })
      yield* late.received(1)
      yield* late.drop("2 minutes")

      const closed = yield* client.start("hangs_up")

      const asked = yield* client.start("asks")
      yield* asked.received(2)
      yield* asked.drop("10 seconds")
      return yield* Effect.forEach([torn, late, closed, asked], (call) => call.answer)
    })
}
