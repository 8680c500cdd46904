/**
 * The official SDK v1 server with its in-memory event store: `echo` and
 * `slow_steps` as in `examples/everything`, nothing durable.
 */
import { InMemoryEventStore } from "@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import { randomUUID } from "node:crypto"
import * as Http from "node:http"
import { setTimeout as delay } from "node:timers/promises"
import * as z from "zod"

const makeServer = (): McpServer => {
  const server = new McpServer({ name: "sdk-v1", version: "1.0.0" })
  server.registerTool(
    "echo",
    { description: "Returns the text", inputSchema: { text: z.string() } },
    ({ text }) => ({ content: [{ type: "text", text }] })
  )
  server.registerTool(
    "slow_steps",
    { description: "n steps with progress", inputSchema: { n: z.number(), delay_ms: z.number().optional() } },
    async ({ delay_ms, n }, extra) => {
      const progressToken = extra._meta?.progressToken
      for (let i = 1; i <= n; i++) {
        if (delay_ms !== undefined && delay_ms > 0) {
          await delay(delay_ms)
        }
        if (progressToken !== undefined) {
          await extra.sendNotification({
            method: "notifications/progress",
            params: { progressToken, progress: i, total: n }
          })
        }
      }
      return { content: [{ type: "text", text: `done:${n}` }] }
    }
  )
  return server
}

const transports = new Map<string, StreamableHTTPServerTransport>()

const server = Http.createServer(async (request, response) => {
  const header = request.headers["mcp-session-id"]
  const known = typeof header === "string" ? transports.get(header) : undefined
  if (known !== undefined) {
    return void known.handleRequest(request, response)
  }
  if (header !== undefined) {
    return void response.writeHead(404).end()
  }
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new InMemoryEventStore(),
    onsessioninitialized: (id) => void transports.set(id, transport)
  })
  await makeServer().connect(transport as any)
  await transport.handleRequest(request, response)
})

server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  const address = server.address()
  const port = address !== null && typeof address === "object" ? address.port : 0
  process.stdout.write(`listening http://127.0.0.1:${port}/mcp\n`)
})
