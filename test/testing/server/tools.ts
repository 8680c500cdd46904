/**
 * Tools for scripted clients: one for each thing that a client can be part of.
 */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { McpServer, Tool, Toolkit } from "effect/ai"

const Tools = Toolkit.make(
  Tool.make("count", {
    description: "Takes n steps, each `millis` long, and tells of each",
    parameters: Schema.Struct({ n: Schema.Int, millis: Schema.Int }),
    success: Schema.Int
  }),
  Tool.make("ask", {
    description: "Asks for consent, and says what it got",
    success: Schema.String
  }),
  Tool.make("sleep", { description: "Sleeps for an hour", success: Schema.String }),
  Tool.make("touch", { description: "Changes the resource `test://a`", success: Schema.String })
)

const Handlers = Tools.toLayer(Effect.gen(function*() {
  const { notifications } = yield* McpServer.McpServer
  return Tools.of({
    count: Effect.fn("count")(function*({ millis, n }) {
      let sum = 0
      for (let i = 1; i <= n; i++) {
        sum += yield* Durable.step("item", Effect.as(Effect.sleep(millis), i))
        yield* Durable.progress({ progress: i, total: n })
      }
      return sum
    }),
    ask: Effect.fn("ask")(function*() {
      const answer = yield* Durable.elicit("consent", {
        message: "Go on?",
        schema: Schema.Struct({ ok: Schema.Boolean }),
        timeout: "12 seconds"
      })
      yield* Durable.sleep("rest", "7 seconds")
      return answer._tag === "Accepted" ? `Accepted ${answer.content.ok}` : answer._tag
    }),
    sleep: () => Effect.as(Durable.sleep("long", "1 hour"), "slept"),
    touch: Effect.fn("touch")(function*() {
      yield* notifications["notifications/resources/updated"]({ uri: "test://a" })
      return "touched"
    })
  })
}))

export const registrations = Layer.merge(
  DurableMcp.toolkit(Tools).pipe(Layer.provide(Handlers)),
  McpServer.resource({ uri: "test://a", name: "a", content: Effect.succeed("a") })
)
