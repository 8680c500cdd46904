/**
 * Tools whose work can be counted from outside, for crash tests and benches.
 */
import { Durable } from "effect-durable-mcp"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Content from "./content.ts"

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
const Delay = Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)))

const wait = (ms: number | undefined) => ms === undefined || ms === 0 ? Effect.void : Effect.sleep(ms)

const echo = Content.tool({
  name: "echo",
  description: "Says what it is told",
  parameters: Schema.Struct({ text: Schema.String }),
  handler: ({ text }) => Effect.succeed(text)
})

const slowSteps = Content.tool({
  name: "slow_steps",
  description: "Takes n durable steps, each reported as progress",
  parameters: Schema.Struct({ n: Count, delay_ms: Delay }),
  handler: Effect.fn("slow_steps")(function*({ delay_ms, n }) {
    for (let i = 1; i <= n; i++) {
      yield* Durable.step("slow", wait(delay_ms))
      yield* Durable.progress({ progress: i, total: n })
    }
    return `done:${n}`
  })
})

const ledger = Layer.unwrap(Effect.map(FileSystem.FileSystem, (fs) =>
  Content.tool({
    name: "ledger",
    description: "Takes n durable steps, each of which appends its key to a file, and asks after the middle one",
    parameters: Schema.Struct({ path: Schema.String, n: Count, delay_ms: Delay }),
    handler: Effect.fn("ledger")(function*({ delay_ms, n, path }) {
      for (let i = 1; i <= n; i++) {
        yield* Durable.step("line", ({ key }) =>
          fs.writeFileString(path, `${key}\n`, { flag: "a" }).pipe(Effect.andThen(wait(delay_ms)), Effect.orDie))
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
  })))

export const layer = Layer.mergeAll(echo, slowSteps, ledger)
