/** Effect's own durable primitives in a handler. */
import { Effect, Layer, Schema, Scope } from "effect"
import { DurableMcp } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import { Activity, DurableClock, DurableDeferred, Workflow, WorkflowEngine } from "effect/workflow"
import type { Area } from "./area.ts"

const provided = [Scope.Scope, WorkflowEngine.WorkflowEngine, WorkflowEngine.WorkflowInstance]

const Primitives = Toolkit.make(
  Tool.make("activities", { success: Schema.Array(Schema.String), dependencies: provided }),
  Tool.make("waits", { success: Schema.String, dependencies: provided }),
  Tool.make("undoes", { failure: Schema.String, dependencies: provided })
)

const approved = DurableDeferred.make("approved", { success: Schema.String })

const handlers = Primitives.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  /** Activities have no key of their own: a name that is theirs alone. */
  const act = (name: string) => Effect.as(effect(name, { key: name }), name)
  return Primitives.of({
    activities: Effect.fnUntraced(function*() {
      const first = yield* Activity.make({ name: "first", success: Schema.String, execute: act("first") })
      const refused = yield* Effect.flip(Activity.make({
        name: "refused",
        error: Schema.String,
        execute: Effect.andThen(act("refused"), Effect.fail("no"))
      })).pipe(Effect.orDie)
      const retried = yield* Activity.make({
        name: "retried",
        success: Schema.String,
        error: Schema.String,
        execute: Effect.gen(function*() {
          const attempt = yield* Activity.CurrentAttempt
          yield* act(`attempt ${attempt}`)
          return attempt < 3 ? yield* Effect.fail("busy") : `at ${attempt}`
        })
      }).pipe(Activity.retry({ times: 4 }), Effect.orDie)
      yield* DurableClock.sleep({ name: "nap", duration: "20 seconds" })
      yield* DurableClock.sleep({ name: "blink", duration: "1 second" })
      const winner = yield* DurableDeferred.raceAll({
        name: "race",
        success: Schema.String,
        error: Schema.Never,
        effects: [Effect.as(Effect.never, "never"), act("winner")]
      })
      return [first, refused, retried, winner]
    }),
    waits: Effect.fnUntraced(function*() {
      const token = yield* DurableDeferred.token(approved)
      const thinking = Effect.andThen(
        DurableClock.sleep({ name: "thinking", duration: "20 seconds" }),
        DurableDeferred.succeed(approved, { token, value: "Ann" })
      )
      const [by] = yield* Effect.all([DurableDeferred.await(approved), thinking], { concurrency: "unbounded" })
      return yield* Activity.make({ name: "approved", success: Schema.String, execute: act(`approved by ${by}`) })
    }),
    undoes: Effect.fnUntraced(function*() {
      yield* Activity.make({ name: "held", success: Schema.String, execute: act("held") }).pipe(
        Workflow.withCompensation((held) => Effect.asVoid(act(`undo ${held}`)))
      )
      yield* DurableClock.sleep({ name: "nap", duration: "10 seconds" })
      return yield* Effect.fail("no")
    })
  })
}))

export const primitives: Area = {
  registrations: DurableMcp.toolkit(Primitives).pipe(Layer.provide(handlers)),
  script: (client) =>
    Effect.all(["activities", "waits", "undoes"].map((tool) => client.callTool(tool)), { concurrency: "unbounded" }),
  expect: { exactlyOnce: ["first", "refused", "attempt 3", "held", "undo held", "approved by Ann"] }
}
