/** Prompts and resources, which are calls too; and the requests that are answered at once. */
import { Effect, Layer, Schema } from "effect"
import { Durable } from "effect-durable-mcp"
import { World } from "effect-durable-mcp/testing"
import { McpSchema, McpServer } from "effect/ai"
import type { Area } from "./area.ts"

const layers = Layer.unwrap(Effect.gen(function*() {
  const { effect } = yield* World.World
  const read = (name: string) => Durable.step("read", ({ key }) => Effect.as(effect(name, { key }), name))
  return Layer.mergeAll(
    McpServer.resource({ uri: "file://report", name: "report", content: read("report") }),
    McpServer.resource`file://item/${McpSchema.param("id", Schema.NumberFromString)}`({
      name: "item",
      completion: { id: (input: string) => Effect.succeed([1, 2, 3].filter((id) => String(id).startsWith(input))) },
      content: (_uri, id) => Effect.andThen(Durable.sleep("slowly", "8 seconds"), read(`item ${id}`))
    }),
    McpServer.resource({
      uri: "file://broken",
      name: "broken",
      content: Effect.andThen(read("broken"), Effect.die(new Error("broken")))
    }),
    McpServer.prompt({
      name: "trip",
      parameters: { city: Schema.String },
      completion: {
        city: (input: string) => Effect.succeed(["Oslo", "Paris"].filter((city) => city.startsWith(input)))
      },
      content: Effect.fnUntraced(function*({ city }) {
        const answer = yield* Durable.elicit("days", {
          message: "How many days?",
          schema: Schema.Struct({ days: Schema.Int })
        })
        yield* read(`guide of ${city}`)
        return `${answer._tag === "Accepted" ? answer.content.days : 0} days in ${city}`
      })
    })
  )
}))

export const prompts: Area = {
  registrations: layers,
  answer: () => Effect.as(Effect.sleep("9 seconds"), { action: "accept", content: { days: 3 } }),
  script: (client) =>
    Effect.gen(function*() {
      const quick = yield* Effect.forEach(
        ["ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list"],
        (method) => client.request(method)
      )
      const completion = yield* client.request("completion/complete", {
        ref: { type: "ref/prompt", name: "trip" },
        argument: { name: "city", value: "O" }
      })
      const calls = yield* Effect.all([
        client.request("resources/read", { uri: "file://report" }),
        client.request("resources/read", { uri: "file://item/2" }),
        client.request("resources/read", { uri: "file://broken" }),
        client.request("prompts/get", { name: "trip", arguments: { city: "Oslo" } })
      ], { concurrency: "unbounded" })
      return [quick, completion, calls]
    }),
  expect: { exactlyOnce: ["report", "item 2", "broken", "guide of Oslo"] }
}
