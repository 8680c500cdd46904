/** Sessions: several at once, ended with calls under way, left for ever, and idle. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp, Limits } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Sessions = Toolkit.make(
  Tool.make("works", { parameters: Schema.Struct({ name: Schema.String }), success: Schema.String }),
  Tool.make("holds", { parameters: Schema.Struct({ name: Schema.String }), success: Schema.Void })
)

const handlers = Sessions.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Sessions.of({
    works: Effect.fnUntraced(function*({ name }) {
      yield* Durable.step("first", ({ key }) => effect(`first ${name}`, { key }))
      yield* Durable.progress({ progress: 1 })
      yield* Durable.sleep("pause", "10 seconds")
      yield* Durable.step("second", ({ key }) => effect(`second ${name}`, { key }))
      return name
    }),
    holds: Effect.fnUntraced(function*({ name }) {
      yield* Durable.step("hold", ({ key }) => Effect.as(effect(name, { key }), name), {
        compensate: (held, _cause, { key }) => Effect.asVoid(effect(`undo ${held}`, { key }))
      })
      yield* Durable.progress({ progress: 1 })
      yield* name === "asked"
        ? Durable.elicit("never", { message: "Anybody?", schema: Schema.Struct({ ok: Schema.Boolean }) })
        : Durable.step("hangs", Effect.never)
    })
  })
}))

const held = ["asked", "hung"]
const workers = ["one", "two", "vanished"]

export const sessions: Area = {
  app: DurableMcp.layerHttp({
    name: "sessions",
    version: "1.0.0",
    path: "/mcp",
    registrations: DurableMcp.toolkit(Sessions).pipe(Layer.provide(handlers))
  }).pipe(
    // longer than a clock jumps, a ping takes and a sweep is late
    Layer.provide(Layer.succeed(Limits.IdleTimeout, "2 hours")),
    Layer.provide(Layer.succeed(Limits.CacheTimeout, "20 minutes")),
    Layer.provide(Layer.succeed(Limits.SweepInterval, "20 minutes"))
  ),
  answer: () => Effect.void,
  script: (client) =>
    Effect.gen(function*() {
      // the call of a client that never comes back goes on
      const gone = yield* client.another()
      const orphan = yield* gone.start("works", { name: "vanished" })
      yield* orphan.received(1)
      yield* gone.vanish

      // the calls of a session that is ended are cancelled, and undone
      const ended = yield* client.another()
      const calls = yield* Effect.forEach(held, (name) => ended.start("holds", { name }))
      yield* Effect.forEach(calls, (call) => call.received(1))
      yield* Effect.sleep("10 seconds")
      yield* ended.end

      const other = yield* client.another()
      const answers = yield* Effect.all([
        client.callTool("works", { name: "one" }),
        other.callTool("works", { name: "two" })
      ], { concurrency: "unbounded" })
      // the others are idle meanwhile, and end
      for (let i = 1; i <= 5; i++) {
        yield* Effect.sleep("30 minutes")
        answers.push(yield* client.request("ping"), yield* other.request("ping"))
      }
      return answers
    }),
  expect: {
    exactlyOnce: [
      ...held,
      ...held.map((name) => `undo ${name}`),
      ...workers.flatMap((name) => [`first ${name}`, `second ${name}`])
    ]
  }
}
