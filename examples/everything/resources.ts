/** The resources that the conformance suite reads. */
import * as McpServer from "effect/ai/McpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Content from "./content.ts"

const contents = (uri: string, mimeType: string, content: { readonly text: string } | { readonly blob: Uint8Array }) =>
  Effect.succeed({ contents: [{ uri, mimeType, ...content }] })

const Id = Schema.String

export const layer = Layer.mergeAll(
  McpServer.resource({
    uri: "test://static-text",
    name: "Static text",
    description: "A text that never changes",
    mimeType: "text/plain",
    content: contents("test://static-text", "text/plain", { text: "This is the content of the static text resource." })
  }),
  McpServer.resource({
    uri: "test://static-binary",
    name: "Static binary",
    description: "An image that never changes",
    mimeType: "image/png",
    content: contents("test://static-binary", "image/png", { blob: Content.png })
  }),
  McpServer.resource({
    uri: "test://watched-resource",
    name: "Watched resource",
    description: "A text to subscribe to",
    mimeType: "text/plain",
    content: contents("test://watched-resource", "text/plain", { text: "This text can be watched." })
  }),
  McpServer.resource`test://template/${Id}/data`({
    name: "Template",
    description: "Data by id",
    mimeType: "application/json",
    content: (uri, id) => {
      const data = { id, templateTest: true, data: `Data for ID: ${id}` }
      return contents(uri, "application/json", { text: JSON.stringify(data) })
    }
  })
)
