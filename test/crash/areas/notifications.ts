/** What belongs to no call: resources that change, on a stream of the session (GET; S-P18). */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { type Client, World } from "effect-durable-mcp/testing"
import { McpServer, Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Notifying = Toolkit.make(
  Tool.make("write", { parameters: Schema.Struct({ uri: Schema.String }), success: Schema.Void })
)

const handlers = Notifying.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const { notifications } = yield* McpServer.McpServer
  return Notifying.of({
    write: Effect.fnUntraced(function*({ uri }) {
      // in a step: raised at least once
      yield* Durable.step("write", ({ key }) =>
        Effect.andThen(
          effect(`write ${uri}`, { key }),
          notifications["notifications/resources/updated"]({ uri })
        ))
    })
  })
}))

const resources = ["file://a", "file://b"].map((uri) =>
  McpServer.resource({ uri, name: uri, content: Effect.succeed(uri) })
)

/** What was heard, each once: who raises in a step may raise twice. */
const heardBy = (client: Client.Client) =>
  Effect.map(
    client.heard,
    (messages) => [...new Set(messages.map(({ method, params }) => `${method} ${params?.uri ?? ""}`))].sort()
  )

/** Until it has come, or it is plain that it will not. */
const heard = (client: Client.Client, count: number) =>
  Effect.gen(function*() {
    for (let i = 0; i < 10 && (yield* heardBy(client)).length < count; i++) {
      yield* Effect.sleep("5 seconds")
    }
    return yield* heardBy(client)
  })

export const notifications: Area = {
  registrations: Layer.mergeAll(
    DurableMcp.toolkit(Notifying).pipe(Layer.provide(handlers)),
    ...resources
  ),
  script: (client) =>
    Effect.gen(function*() {
      yield* client.listen
      const other = yield* client.another()
      yield* other.listen
      yield* client.request("resources/subscribe", { uri: "file://a" })
      yield* other.request("resources/subscribe", { uri: "file://b" })
      yield* client.callTool("write", { uri: "file://a" })
      yield* client.callTool("write", { uri: "file://b" })
      const first = yield* Effect.all([heard(client, 1), heard(other, 1)])
      yield* client.request("resources/unsubscribe", { uri: "file://a" })
      yield* other.request("resources/subscribe", { uri: "file://a" })
      yield* client.callTool("write", { uri: "file://a" })
      return [first, yield* heard(other, 2), yield* heardBy(client)]
    }),
  expect: { exactlyOnce: ["write file://b"] }
}
