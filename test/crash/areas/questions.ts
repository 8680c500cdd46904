/** Questions to the user: answered at once, late, twice, wrongly, with an error, with a cancel; by a page. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { type Client, World } from "effect-durable-mcp/testing"
import { McpServer, Tool, Toolkit } from "effect/ai"
import type { Area } from "./area.ts"

const Questions = Toolkit.make(
  Tool.make("ask", { parameters: Schema.Struct({ message: Schema.String }), success: Schema.String }),
  Tool.make("login", { success: Schema.String }),
  Tool.make("logged_in", { parameters: Schema.Struct({ elicitationId: Schema.String }), success: Schema.Void }),
  Tool.make("interview", { success: Schema.Array(Schema.String) })
)

const Seats = Schema.Struct({ seats: Schema.Int })

const handlers = Questions.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const server = yield* McpServer.McpServer
  const seats = (name: string, message: string) =>
    Effect.map(
      Durable.elicit(name, { message, schema: Seats }),
      (answer) =>
        answer._tag === "Accepted"
          ? `${answer.content.seats} seats`
          : answer._tag === "Failed"
          ? answer.reason
          : answer._tag
    )
  return Questions.of({
    ask: Effect.fnUntraced(function*({ message }) {
      const answer = yield* seats("seats", message)
      yield* Durable.step("after", ({ key }) => effect(`after ${message}`, { key }))
      return answer
    }),

    login: Effect.fnUntraced(function*() {
      const { _tag } = yield* Durable.elicitUrl("login", {
        message: "Log in",
        url: (elicitationId) => `https://example.org/login/${elicitationId}`
      })
      yield* Durable.step("after", ({ key }) => effect("after login", { key }))
      return _tag
    }),
    logged_in: ({ elicitationId }) =>
      DurableMcp.completeElicitation(elicitationId).pipe(Effect.provideService(McpServer.McpServer, server)),

    interview: Effect.fnUntraced(function*() {
      const first = yield* seats("seats", "at once")
      const second = yield* seats("seats", "late")
      return [first, second]
    })
  })
}))

const accept = (seats: number) => ({ action: "accept", content: { seats } })

const answer = (question: Client.Question) => {
  switch (question.params.message) {
    case "late":
      return Effect.as(Effect.sleep("20 seconds"), accept(2))
    case "twice":
      return Effect.andThen(question.reply(accept(3)), question.reply(accept(4)))
    case "wrongly":
      return Effect.succeed({ action: "accept", content: { seats: "many" } })
    case "with an error":
      return question.fail({ code: -32603, message: "The form is broken" })
    case "cancelled":
      return Effect.succeed({ action: "cancel" })
    case "Log in":
      // the script goes to the page
      return Effect.void
    default:
      return Effect.succeed(accept(1))
  }
}

const messages = ["twice", "wrongly", "with an error", "cancelled"]

export const questions: Area = {
  registrations: DurableMcp.toolkit(Questions).pipe(Layer.provide(handlers)),
  answer,
  capabilities: { elicitation: { form: {}, url: {} } },
  script: (client) =>
    Effect.gen(function*() {
      const asked = yield* Effect.forEach(messages, (message) => client.callTool("ask", { message }), {
        concurrency: "unbounded"
      })
      const interview = yield* client.callTool("interview")

      const login = yield* client.start("login")
      const question = yield* client.question
      yield* question.reply({ action: "accept" })
      yield* Effect.sleep("20 seconds")
      yield* client.callTool("logged_in", { elicitationId: question.params.elicitationId ?? null })

      const silent = yield* client.another({ capabilities: {} })
      return [asked, interview, yield* login.answer, yield* silent.callTool("ask", { message: "unsupported" })]
    }),
  expect: {
    exactlyOnce: [...messages, "login", "unsupported"].map((message) => `after ${message}`)
  }
}
