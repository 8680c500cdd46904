/** Requests to the client itself: its model, its roots. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { type Client, World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Model = Toolkit.make(
  Tool.make("joke", { parameters: Schema.Struct({ about: Schema.String }), success: Schema.String }),
  Tool.make("folders", { success: Schema.Array(Schema.String) })
)

const handlers = Model.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Model.of({
    joke: Effect.fnUntraced(function*({ about }) {
      const joke = yield* Durable.sample("joke", {
        messages: [{ role: "user", content: { type: "text", text: `A joke about ${about}` } }],
        maxTokens: 100,
        timeout: "20 seconds"
      }).pipe(Effect.match({
        onFailure: ({ reason }) => reason,
        onSuccess: ({ model }) => `by ${model}`
      }))
      yield* Durable.step("told", ({ key }) => effect(`told ${about}`, { key }))
      return joke
    }),
    folders: Effect.fnUntraced(function*() {
      const paths = Effect.match(Durable.roots, {
        onFailure: ({ reason }) => [reason as string],
        onSuccess: (roots) => roots.map(({ uri }) => uri)
      })
      const first = yield* paths
      yield* Durable.step("listed", ({ key }) => effect("listed", { key }))
      return [...first, ...yield* paths]
    })
  })
}))

const joke = { role: "assistant", model: "m", content: { type: "text", text: "Ha" }, stopReason: "endTurn" }

const answer = (question: Client.Question) => {
  if (question.method === "roots/list") {
    return Effect.succeed({ roots: [{ uri: "file:///a", name: "a" }, { uri: "file:///b" }] })
  }
  const asked = JSON.stringify(question.params.messages)
  return asked.includes("never")
    ? Effect.void
    : asked.includes("refused")
    ? question.fail({ code: -1, message: "User rejected sampling" })
    : asked.includes("nonsense")
    ? Effect.succeed({ joke: "Ha" })
    : Effect.as(Effect.sleep(asked.includes("late") ? "10 seconds" : 0), joke)
}

const subjects = ["late trains", "refused guests", "nonsense", "never"]

export const model: Area = {
  registrations: DurableMcp.toolkit(Model).pipe(Layer.provide(handlers)),
  answer,
  capabilities: { sampling: {}, roots: { listChanged: true } },
  script: (client) =>
    Effect.gen(function*() {
      const jokes = yield* Effect.forEach(subjects, (about) => client.callTool("joke", { about }), {
        concurrency: "unbounded"
      })
      const first = yield* client.callTool("folders")
      // fixed until the client says that they have changed
      const second = yield* client.callTool("folders")
      yield* client.notify("notifications/roots/list_changed")
      return [jokes, first, second, yield* client.callTool("folders")]
    }),
  expect: { exactlyOnce: subjects.map((about) => `told ${about}`) }
}
