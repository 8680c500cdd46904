/** Retries: by number, by schedule, by condition, after a timeout, with pauses in memory and parked. */
import { Effect, Layer, Schedule, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

class Busy extends Schema.TaggedError<Busy>("Busy")("Busy", { attempt: Schema.Int }) {}

const Attempts = Schema.Array(Schema.Union([Schema.Int, Schema.String]))

const Retries = Toolkit.make(
  Tool.make("counted", { success: Attempts }),
  Tool.make("scheduled", { success: Attempts }),
  Tool.make("timed", { success: Attempts })
)

const handlers = Retries.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const until = (name: string, enough: number, retry: Durable.Retry<Busy>) => {
    const busy = Effect.fnUntraced(function*({ attempt, key }: Durable.StepContext) {
      yield* effect(name, { key })
      return attempt < enough ? yield* new Busy({ attempt }) : attempt
    })
    return Durable.step(name, busy, { error: Busy, retry }).pipe(
      Effect.catch(({ attempt }) => Effect.succeed(`gave up after ${attempt}`))
    )
  }
  return Retries.of({
    counted: () =>
      Effect.all([
        until("counted", 3, 4),
        until("exhausted", 9, 2),
        until("hopeless", 9, { times: 5, while: ({ attempt }) => attempt < 2 })
      ]),

    scheduled: () =>
      Effect.all([
        until("in memory", 3, Schedule.spaced("2 seconds")),
        until("parked", 3, Schedule.spaced("15 seconds")),
        until("both", 9, { times: 2, schedule: Schedule.exponential("1 second") })
      ]),

    timed: () => {
      /** Hangs until an attempt. */
      const answersAt = (name: string, enough: number) =>
        Durable.step(
          name,
          ({ attempt, key }) =>
            Effect.andThen(effect(name, { key }), attempt < enough ? Effect.never : Effect.succeed(attempt)),
          { timeout: "2 seconds", retry: { times: 1, schedule: Schedule.spaced("1 second") } }
        ).pipe(Effect.catchTag("StepTimedOut", ({ step }) => Effect.succeed(`${step} timed out`)))
      return Effect.all([answersAt("slow", 2), answersAt("hangs", 9)], { concurrency: "unbounded" })
    }
  })
}))

export const retries: Area = {
  registrations: DurableMcp.toolkit(Retries).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.all([client.callTool("counted"), client.callTool("scheduled"), client.callTool("timed")], {
      concurrency: "unbounded"
    })
}
