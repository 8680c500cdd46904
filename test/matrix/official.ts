/**
 * A session of the official SDK's client with `retryingFetch`. It knows nothing
 * of several nodes: a name in front of them is what it is given.
 */
import { assert } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { ElicitRequestSchema, ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js"
import { Effect } from "effect"
import { retryingFetch } from "effect-durable-mcp/client"
import type { Nodes } from "./Nodes.ts"

export const officialConversation: (nodes: Nodes["Service"]) => Effect.Effect<void> = Effect.fnUntraced(
  function*(nodes) {
    const asked: Array<unknown> = []
    const progress: Array<number> = []
    const client = new Client({ name: "official", version: "1.0.0" }, { capabilities: { elicitation: {}, roots: {} } })
    client.setRequestHandler(ElicitRequestSchema, (_request, { requestId }) => {
      asked.push(requestId)
      return { action: "accept", content: { people: 4 } }
    })
    client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: "file:///a" }] }))
    const transport = new StreamableHTTPClientTransport(new URL("http://127.0.0.1/mcp"), {
      fetch: retryingFetch({
        fetch: async (_input, init) => fetch((await Effect.runPromise(nodes.node)).url, init),
        initialDelayMs: 10
      }),
      reconnectionOptions: {
        initialReconnectionDelay: 10,
        maxReconnectionDelay: 100,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: 1000
      }
    })
    const call = (name: string, args: Record<string, unknown> = {}) =>
      Effect.promise(() =>
        client.callTool({ name, arguments: args }, undefined, {
          onprogress: ({ progress: value }) => progress.push(value)
        })
      ).pipe(Effect.map(({ content }) => (content as ReadonlyArray<{ readonly text?: string }>)[0]?.text))

    // The SDK is not written for `exactOptionalPropertyTypes`.
    yield* Effect.promise(() => client.connect(transport as Transport))
    assert.strictEqual(yield* call("walk", { n: 3 }), "walked 3")
    assert.deepStrictEqual(progress.filter(Number.isInteger), [1, 2, 3])
    assert.strictEqual(yield* call("ask"), "booked for 4")
    assert.strictEqual(asked.length, 1)
    assert.strictEqual(yield* call("roots"), "file:///a")
    assert.include(["sent", "unknown"], yield* call("mail"))
    assert.isAtMost(nodes.effects("mail"), 1)
    for (const name of ["step 1", "step 2", "step 3", "book"]) {
      assert.strictEqual(nodes.effects(name), 1, name)
    }
    yield* Effect.promise(() => client.close())
  }
)
