/** What must rather not happen than happen twice. */
import { Effect, Layer, Schedule, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

class Bounced extends Schema.TaggedError<Bounced>("Bounced")("Bounced", { attempt: Schema.Int }) {}

const AtMostOnce = Toolkit.make(
  Tool.make("mail", { success: Schema.Array(Schema.String) }),
  Tool.make("transfer", { success: Schema.String })
)

const handlers = AtMostOnce.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const unknown = Effect.succeed("unknown")
  return AtMostOnce.of({
    mail: Effect.fnUntraced(function*() {
      const plain = yield* Durable.step("plain", () => Effect.as(effect("plain"), "sent"), { atMostOnce: true }).pipe(
        Effect.catchTag("StepInterrupted", () => unknown)
      )
      // each attempt once, a recorded failure is followed by another one
      const retried = yield* Durable.step("retried", ({ attempt }) =>
        Effect.gen(function*() {
          yield* effect(`retried ${attempt}`)
          return attempt < 2 ? yield* new Bounced({ attempt }) : `sent at ${attempt}`
        }), { atMostOnce: true, error: Bounced, retry: { times: 2, schedule: Schedule.spaced("10 seconds") } }).pipe(
          Effect.catchTags({ StepInterrupted: () => unknown, Bounced: () => Effect.succeed("bounced") })
        )
      const timed = yield* Durable.step("timed", () => Effect.andThen(effect("timed"), Effect.as(Effect.never, "")), {
        atMostOnce: true,
        timeout: "1 second"
      }).pipe(
        Effect.catchTags({ StepInterrupted: () => unknown, StepTimedOut: () => Effect.succeed("timed out") })
      )
      const nested = yield* Durable.step("outer", ({ key }) =>
        Effect.andThen(
          effect("outer", { key }),
          Durable.step("inner", () => Effect.as(effect("inner"), "sent"), { atMostOnce: true }).pipe(
            Effect.catchTag("StepInterrupted", () => unknown)
          )
        ))
      yield* Durable.step("filed", ({ key }) => effect("filed", { key }))
      return [plain, retried, timed, nested]
    }),

    // Nobody handles the interruption: the outcome is unknown, and nothing is undone.
    transfer: Effect.fnUntraced(function*() {
      yield* Durable.step("reserve", ({ key }) => Effect.as(effect("reserve", { key }), "reserved"), {
        compensate: (_, _cause, { key }) => Effect.asVoid(effect("release", { key }))
      })
      return yield* Durable.step("transfer", () => Effect.as(effect("transfer"), "transferred"), {
        atMostOnce: true
      }).pipe(Effect.orDie)
    })
  })
}))

const once = ["plain", "retried 1", "retried 2", "timed", "inner", "transfer"]

export const atMostOnce: Area = {
  registrations: DurableMcp.toolkit(AtMostOnce).pipe(Layer.provide(handlers)),
  script: (client) => Effect.all([client.callTool("mail"), client.callTool("transfer")], { concurrency: "unbounded" }),
  expect: { atMostOnce: [...once, "release"], exactlyOnce: ["reserve", "filed"] }
}
