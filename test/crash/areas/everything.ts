/**
 * Two tools that use nearly everything that a handler can, and
 * a client that calls them.
 */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { type Client, World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

class Busy extends Schema.TaggedError<Busy>("Busy")("Busy", { attempt: Schema.Int }) {}
class NotPaid extends Schema.TaggedError<NotPaid>("NotPaid")("NotPaid", { seats: Schema.Int }) {}

const Report = Schema.Struct({
  sum: Schema.Int,
  parallel: Schema.Array(Schema.String),
  nested: Schema.String,
  attempts: Schema.Int,
  people: Schema.Int,
  mail: Schema.Literals(["sent", "unknown"])
})

/** A loop, nested and concurrent steps, retries, a question, a sleep, an at-most-once step. */
const Survey = Tool.make("survey", { parameters: Schema.Struct({ n: Schema.Int }), success: Report })

/** Fails after two steps that have to be undone. */
const Booking = Tool.make("booking", {
  parameters: Schema.Struct({ seats: Schema.Int }),
  success: Schema.Void,
  failure: NotPaid
})

const Tools = Toolkit.make(Survey, Booking)

const Handlers = Tools.toLayer(Effect.gen(function*() {
  const world = yield* World.World
  const { effect } = world
  return Tools.of({
    survey: Effect.fnUntraced(function*({ n }) {
      let sum = 0
      for (let i = 1; i <= n; i++) {
        sum += yield* Durable.step("item", ({ key }) => Effect.as(effect(`item ${i}`, { key }), i))
        yield* Durable.progress({ progress: i, total: n + 2 })
      }
      yield* Durable.log({ sum }, { level: "warning" })

      const parallel = yield* Effect.forEach(
        ["left", "right"],
        (side) => Durable.step(side, ({ key }) => Effect.as(effect(side, { key }), side)),
        { concurrency: "unbounded" }
      )

      const nested = yield* Durable.step("outer", ({ key }) =>
        Effect.gen(function*() {
          yield* effect("outer", { key })
          return yield* Durable.step("inner", ({ key }) => Effect.as(effect("inner", { key }), "nested"))
        }))

      const attempts = yield* Durable.step("flaky", (step) =>
        Effect.gen(function*() {
          yield* effect("flaky", step)
          return step.attempt < 3 ? yield* new Busy({ attempt: step.attempt }) : step.attempt
        }), { error: Busy, retry: 5 }).pipe(Effect.orDie)

      const answer = yield* Durable.elicit("people", {
        message: "How many people?",
        schema: Schema.Struct({ people: Schema.Int })
      })
      const people = answer._tag === "Accepted" ? answer.content.people : -1
      yield* Durable.progress({ progress: n + 1, total: n + 2 })

      yield* Durable.sleep("pause", "30 seconds")

      const mail = yield* Durable.step(
        "mail",
        () => Effect.as(effect("mail"), "sent" as const),
        { atMostOnce: true }
      ).pipe(
        Effect.catchTag("StepInterrupted", () => Effect.succeed("unknown" as const))
      )
      yield* Durable.progress({ progress: n + 2, total: n + 2 })
      return { sum, parallel, nested, attempts, people, mail }
    }),

    booking: Effect.fnUntraced(function*({ seats }) {
      const hold = (name: string) =>
        Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name), {
          compensate: (value, _cause, { key }) => Effect.asVoid(effect(`undo ${value}`, { key }))
        })
      yield* hold("seat")
      yield* hold("room")
      const sure = yield* Durable.elicit("sure", { message: "Sure?", schema: Schema.Struct({ ok: Schema.Boolean }) })
      if (sure._tag !== "Declined") {
        return yield* Effect.die(new Error(`Declined was the answer, and not ${sure._tag}`))
      }
      return yield* new NotPaid({ seats })
    })
  })
}))

/** The first answer comes while the handler still waits in memory, the second when it has long been parked. */
export const everything: Area = {
  registrations: DurableMcp.toolkit(Tools).pipe(Layer.provide(Handlers)),
  answer: ({ params }: Client.Question) =>
    params.message === "How many people?"
      ? Effect.as(Effect.sleep("1 second"), { action: "accept", content: { people: 4 } })
      : Effect.as(Effect.sleep("20 seconds"), { action: "decline" }),
  script: (client: Client.Client) =>
    Effect.all([client.callTool("survey", { n: 3 }), client.callTool("booking", { seats: 2 })]),
  /** A crash within the at-most-once step leaves its outcome unknown: better no mail than two. */
  expect: { atMostOnce: ["mail"] }
}
