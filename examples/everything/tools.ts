/**
 * The tools that the conformance suite calls, under the names and with the
 * results that it expects.
 */
import { Durable, DurableMcp } from "effect-durable-mcp"
import * as McpSchema from "effect/ai/McpSchema"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Content from "./content.ts"

const contents = Layer.mergeAll(
  Content.tool({
    name: "test_image_content",
    description: "Answers with an image",
    parameters: Tool.EmptyParams,
    handler: () => Effect.succeed([Content.image])
  }),
  Content.tool({
    name: "test_audio_content",
    description: "Answers with a sound",
    parameters: Tool.EmptyParams,
    handler: () => Effect.succeed([Content.audio])
  }),
  Content.tool({
    name: "test_embedded_resource",
    description: "Answers with a resource",
    parameters: Tool.EmptyParams,
    handler: () =>
      Effect.succeed([
        Content.resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
      ])
  }),
  Content.tool({
    name: "test_multiple_content_types",
    description: "Answers with a text, an image and a resource",
    parameters: Tool.EmptyParams,
    handler: () =>
      Effect.succeed([
        Content.text("Multiple content types test:"),
        Content.image,
        Content.resource("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`)
      ])
  })
)

const Emissions = Toolkit.make(
  Tool.make("test_tool_with_logging", { description: "Logs three times", success: Schema.String }),
  Tool.make("test_tool_with_progress", { description: "Reports progress three times", success: Schema.String }),
  Tool.make("test_reconnection", {
    description: "Closes the response; the client comes back for the rest",
    success: Schema.String
  })
)

const emissions = DurableMcp.toolkit(Emissions).pipe(Layer.provide(Emissions.toLayer({
  test_tool_with_logging: Effect.fn("test_tool_with_logging")(function*() {
    yield* Durable.log("Tool execution started")
    yield* Effect.sleep("50 millis")
    yield* Durable.log("Tool processing data")
    yield* Effect.sleep("50 millis")
    yield* Durable.log("Tool execution completed")
    return "Tool with logging executed successfully"
  }),
  test_tool_with_progress: Effect.fn("test_tool_with_progress")(function*() {
    yield* Durable.progress({ progress: 0, total: 100 })
    yield* Effect.sleep("50 millis")
    yield* Durable.progress({ progress: 50, total: 100 })
    yield* Effect.sleep("50 millis")
    yield* Durable.progress({ progress: 100, total: 100 })
    return "Tool with progress executed successfully"
  }),
  test_reconnection: Effect.fn("test_reconnection")(function*() {
    yield* Durable.disconnect({ retryAfter: "500 millis" })
    yield* Effect.sleep("100 millis")
    return "Reconnection test completed successfully"
  })
})))

const Questions = Toolkit.make(
  Tool.make("test_sampling", {
    description: "Asks the client's model",
    parameters: Schema.Struct({ prompt: Schema.String }),
    success: Schema.String
  }),
  Tool.make("test_elicitation", {
    description: "Asks the user for a name and an address",
    parameters: Schema.Struct({ message: Schema.String }),
    success: Schema.String
  }),
  Tool.make("test_elicitation_sep1034_defaults", {
    description: "Asks with a default for each kind of field",
    success: Schema.String
  })
)

const User = Schema.Struct({ username: Schema.String, email: Schema.String })

const Defaults = Schema.Struct({
  name: Schema.String.annotate({ default: "John Doe" }),
  age: Schema.Int.annotate({ default: 30 }),
  score: Schema.Finite.annotate({ default: 95.5 }),
  status: Schema.Literals(["active", "inactive", "pending"]).annotate({ default: "active" }),
  verified: Schema.Boolean.annotate({ default: true })
})

/** What became of a question, as a text for people. */
const describe = (answer: Durable.Answer<unknown>): string =>
  answer._tag === "Accepted"
    ? `action=accept, content=${JSON.stringify(answer.content)}`
    : `action=${answer._tag.toLowerCase()}`

const questions = DurableMcp.toolkit(Questions).pipe(Layer.provide(Questions.toLayer({
  test_sampling: Effect.fn("test_sampling")(function*({ prompt }) {
    const reply = yield* Durable.sample("prompt", {
      messages: [{ role: "user", content: { type: "text", text: prompt } }],
      maxTokens: 100
    })
    const blocks = Array.isArray(reply.content) ? reply.content : [reply.content]
    return `LLM response: ${blocks.map((block) => block.type === "text" ? block.text : `[${block.type}]`).join("")}`
  }, Effect.orDie),
  test_elicitation: Effect.fn("test_elicitation")(function*({ message }) {
    return `User response: ${describe(yield* Durable.elicit("user", { message, schema: User }))}`
  }),
  test_elicitation_sep1034_defaults: Effect.fn("test_elicitation_sep1034_defaults")(function*() {
    const message = "Please review and update the form fields with defaults"
    return `Elicitation completed: ${describe(yield* Durable.elicit("defaults", { message, schema: Defaults }))}`
  })
})))

/** `const` and `title` of three options. */
const titled = (value: string, ...titles: ReadonlyArray<string>) =>
  titles.map((title, index) => ({ const: `${value}${index + 1}`, title }))

const choices = Schema.decodeUnknownEffect(McpSchema.ElicitRequestFormParams)({
  mode: "form",
  message: "Please select options from the enum fields",
  requestedSchema: {
    type: "object",
    properties: {
      untitledSingle: { type: "string", enum: ["option1", "option2", "option3"] },
      titledSingle: { type: "string", oneOf: titled("value", "First Option", "Second Option", "Third Option") },
      legacyEnum: {
        type: "string",
        enum: ["opt1", "opt2", "opt3"],
        enumNames: ["Option One", "Option Two", "Option Three"]
      },
      untitledMulti: { type: "array", items: { type: "string", enum: ["option1", "option2", "option3"] } },
      titledMulti: { type: "array", items: { anyOf: titled("value", "First Choice", "Second Choice", "Third Choice") } }
    }
  }
})

/** Options with titles have no form as an Effect Schema: this one is asked through Effect's own client. */
const Enums = Tool.make("test_elicitation_sep1330_enums", {
  description: "Asks with each kind of choice",
  success: Schema.Struct({ action: Schema.String, content: Schema.optional(Schema.Unknown) }),
  dependencies: [McpSchema.McpServerClient, Scope.Scope]
})

class IntendedError extends Schema.TaggedError<IntendedError>("IntendedError")("IntendedError", {
  message: Schema.String
}) {}

const Failing = Tool.make("test_error_handling", {
  description: "Fails",
  failure: IntendedError
})

/** A schema that must reach the client as it stands here. */
const JsonSchema202012 = Tool.dynamic("json_schema_2020_12_tool", {
  description: "Takes arguments of a JSON Schema 2020-12",
  success: Schema.String,
  parameters: {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    $defs: {
      address: {
        $anchor: "addressDef",
        type: "object",
        properties: { street: { type: "string" }, city: { type: "string" } }
      }
    },
    properties: {
      name: { type: "string" },
      address: { $ref: "#/$defs/address" },
      contactMethod: { type: "string", enum: ["phone", "email"] },
      phone: { type: "string" },
      email: { type: "string" }
    },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
    // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
    then: { required: ["phone"] },
    else: { required: ["email"] },
    additionalProperties: false
  }
})

const Others = Toolkit.make(Enums, Failing, JsonSchema202012)

const others = DurableMcp.toolkit(Others).pipe(Layer.provide(Others.toLayer({
  test_elicitation_sep1330_enums: Effect.fn("test_elicitation_sep1330_enums")(function*() {
    const { getClient } = yield* McpSchema.McpServerClient
    const client = yield* getClient
    const reply = yield* client.elicit(yield* choices)
    return reply.action === "accept" ? { action: reply.action, content: reply.content } : { action: reply.action }
  }, Effect.orDie),
  test_error_handling: () =>
    Effect.fail(new IntendedError({ message: "This tool intentionally returns an error for testing" })),
  json_schema_2020_12_tool: () => Effect.succeed("Called")
})))

const First = Toolkit.make(
  Tool.make("test_simple_text", { description: "Answers with a text", success: Schema.String })
)

const first = DurableMcp.toolkit(First).pipe(Layer.provide(First.toLayer({
  test_simple_text: () => Effect.succeed("This is a simple text response for testing.")
})))

// The conformance suite calls the first tool of the list without arguments, so that one is registered first.
export const layer = Layer.mergeAll(contents, emissions, questions, others).pipe(Layer.provideMerge(first))
