/**
 * Tools whose work can be counted from outside, for crash tests and benches.
 */
import { Durable, DurableMcp } from "effect-durable-mcp"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
const Delay = Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)))

const Ledger = Toolkit.make(
  Tool.make("echo", {
    description: "Says what it is told",
    parameters: Schema.Struct({ text: Schema.String }),
    success: Schema.String
  }),
  Tool.make("slow_steps", {
    description: "Takes n durable steps, each reported as progress",
    parameters: Schema.Struct({ n: Count, delay_ms: Delay }),
    success: Schema.String
  }),
  Tool.make("ledger", {
    description: "Takes n durable steps, each of which appends its key to a file, and asks after the middle one",
    parameters: Schema.Struct({ path: Schema.String, n: Count, delay_ms: Delay }),
    success: Schema.String
  })
)

const wait = (ms: number | undefined) => ms === undefined || ms === 0 ? Effect.void : Effect.sleep(ms)

const handlers = Ledger.toLayer(Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return Ledger.of({
    echo: ({ text }) => Effect.succeed(text),
    slow_steps: Effect.fn("slow_steps")(function*({ delay_ms, n }) {
      for (let i = 1; i <= n; i++) {
        yield* Durable.step("slow", wait(delay_ms))
        yield* Durable.progress({ progress: i, total: n })
      }
      return `done:${n}`
    }),
    ledger: Effect.fn("ledger")(function*({ delay_ms, n, path }) {
      for (let i = 1; i <= n; i++) {
        yield* Durable.step(
          "line",
          ({ key }) =>
            fs.writeFileString(path, `${key}\n`, { flag: "a" }).pipe(Effect.andThen(wait(delay_ms)), Effect.orDie)
        )
        if (i !== Math.ceil(n / 2)) {
          continue
        }
        const answer = yield* Durable.elicit("continue", {
          message: "Continue?",
          schema: Schema.Struct({ ok: Schema.Boolean })
        })
        if (answer._tag !== "Accepted" || !answer.content.ok) {
          return `stopped:${i}`
        }
      }
      return `done:${n}`
    })
  })
}))

export const layer = DurableMcp.toolkit(Ledger).pipe(Layer.provide(handlers))
