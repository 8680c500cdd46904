/**
 * Calls the server at `process.argv[2]` as a user's client would, with nothing
 * but what the packed package exports: the first tool, with arguments made from
 * its schema, saying yes to whatever it asks.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js"
import { retryingFetch } from "effect-durable-mcp/client"
import assert from "node:assert/strict"

const valueOf = (schema: unknown): unknown => {
  const { enum: choices, type } = schema as { readonly type?: string; readonly enum?: ReadonlyArray<unknown> }
  return choices?.[0] ?? (type === "boolean" ? true : type === "number" || type === "integer" ? 1 : "Oslo")
}

const valuesOf = (properties: object = {}): Record<string, string | number | boolean> =>
  Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, valueOf(schema)])) as Record<
    string,
    string
  >

const client = new Client({ name: "packaging", version: "1.0.0" }, { capabilities: { elicitation: {} } })
client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({
  action: "accept" as const,
  content: "requestedSchema" in params ? valuesOf(params.requestedSchema.properties) : {}
}))
// The server may still be starting: the first POST is repeated until it listens.
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2]!), { fetch: retryingFetch() }))

const [tool] = (await client.listTools()).tools
assert.ok(tool, "the server has no tool")
const result = await client.callTool({ name: tool.name, arguments: valuesOf(tool.inputSchema.properties) })
console.log(`${tool.name}: ${JSON.stringify(result)}`)
assert.notEqual(result.isError, true, "the tool failed")
await client.close()

// What is not exported is closed.
await assert.rejects(import("effect-durable-mcp/dist/engine/Engine.js" as string), {
  code: "ERR_PACKAGE_PATH_NOT_EXPORTED"
})
