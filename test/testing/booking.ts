/** A small server with something of everything that a fault can fall into, and its client. */
import { Effect, Layer, Schedule, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { type Client, CrashTest, World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"

class Busy extends Schema.TaggedError<Busy>("Busy")("Busy", {}) {}

const Book = Tool.make("book", { success: Schema.String })
const Tools = Toolkit.make(Book)

const Handlers = Tools.toLayer(Effect.map(World.World, ({ effect }) =>
  Tools.of({
    book: Effect.fnUntraced(function*() {
      yield* Durable.step("flight", ({ attempt, key }) =>
        Effect.andThen(effect("flight", { key }), attempt === 1 ? Effect.fail(new Busy()) : Effect.void), {
        error: Busy,
        retry: { times: 1, schedule: Schedule.spaced("1 second") }
      }).pipe(Effect.orDie)
      yield* Durable.progress({ progress: 1 })
      yield* Durable.step("hotel", ({ key }) =>
        Effect.andThen(
          effect("hotel", { key }),
          Durable.step("room", (inner) =>
            effect("room", { key: inner.key }))
        ))
      yield* Durable.sleep("night", "1 minute")
      const answer = yield* Durable.elicit("pay", {
        message: "Pay?",
        schema: Schema.Struct({ ok: Schema.Boolean }),
        timeout: "1 day"
      })
      yield* Durable.step("mail", () =>
        effect("mail"), { atMostOnce: true }).pipe(
          Effect.catchTag("StepInterrupted", () =>
            Effect.succeed(0))
        )
      return answer._tag
    }, Effect.orDie)
  })))

export const booking = CrashTest.define({
  registrations: DurableMcp.toolkit(Tools).pipe(Layer.provide(Handlers)),
  answer: () => Effect.as(Effect.sleep("2 seconds"), { action: "accept", content: { ok: true } }),
  script: (client: Client.Client) => client.callTool("book"),
  expect: { exactlyOnce: ["flight", "hotel", "room"], atMostOnce: ["mail"] }
})
