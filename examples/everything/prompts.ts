/** The prompts that the conformance suite reads. */
import * as McpServer from "effect/ai/McpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Content from "./content.ts"

export const layer = Layer.mergeAll(
  McpServer.prompt({
    name: "test_simple_prompt",
    description: "A prompt without arguments",
    content: () => Effect.succeed("This is a simple prompt for testing.")
  }),
  McpServer.prompt({
    name: "test_prompt_with_arguments",
    description: "A prompt with two arguments",
    parameters: { arg1: Schema.String, arg2: Schema.String },
    completion: {
      arg1: (input) => Effect.succeed(["test", "testing", "testValue1"].filter((value) => value.startsWith(input)))
    },
    content: ({ arg1, arg2 }) => Effect.succeed(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)
  }),
  McpServer.prompt({
    name: "test_prompt_with_embedded_resource",
    description: "A prompt with a resource",
    parameters: { resourceUri: Schema.String },
    content: ({ resourceUri }) =>
      Effect.succeed([
        {
          role: "user",
          content: Content.resource(resourceUri, "text/plain", "Embedded resource content for testing.")
        },
        { role: "user", content: Content.text("Please process the embedded resource above.") }
      ])
  }),
  McpServer.prompt({
    name: "test_prompt_with_image",
    description: "A prompt with an image",
    content: () =>
      Effect.succeed([
        { role: "user", content: Content.image },
        { role: "user", content: Content.text("Please analyze the image above.") }
      ])
  })
)
