/**
 * The official clients with `retryingFetch`, over a wire that breaks once,
 * anywhere in their first connection: nothing is lost, nothing runs twice.
 */
import { assert, describe, it } from "@effect/vitest"
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from "@modelcontextprotocol/client"
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { Effect } from "effect"
import { retryingFetch } from "effect-durable-mcp/client"
import * as Counter from "./Counter.ts"
import * as CuttingProxy from "./CuttingProxy.ts"

/** A whole session: connects, lists, calls; what it has seen. */
type Session = (url: URL, name: string) => Promise<ReadonlyArray<unknown>>

const info = { name: "test", version: "1.0.0" }
const fetch = retryingFetch({ initialDelayMs: 1, maxDelayMs: 1 })
const reconnectionOptions = {
  initialReconnectionDelay: 1,
  maxReconnectionDelay: 1,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 5
}

const sdks: Readonly<Record<string, Session>> = {
  "SDK v1": async (url, name) => {
    const seen: Array<unknown> = []
    const client = new ClientV1(info)
    // The SDK is not written for `exactOptionalPropertyTypes`.
    await client.connect(new TransportV1(url, { fetch, reconnectionOptions }) as Transport)
    const { tools } = await client.listTools()
    const onprogress = ({ progress }: { readonly progress: number }) => seen.push(progress)
    const result = await client.callTool({ name: tools[0]!.name, arguments: { name } }, undefined, { onprogress })
    await client.close()
    return [...seen, result.structuredContent]
  },
  "SDK v2": async (url, name) => {
    const seen: Array<unknown> = []
    const client = new ClientV2(info)
    await client.connect(new TransportV2(url, { fetch, reconnectionOptions }))
    const { tools } = await client.listTools()
    const onprogress = ({ progress }: { readonly progress: number }) => seen.push(progress)
    const result = await client.callTool({ name: tools[0]!.name, arguments: { name } }, { onprogress })
    await client.close()
    return [...seen, result.structuredContent]
  }
}

describe("retryingFetch", () => {
  for (const [sdk, session] of Object.entries(sdks)) {
    for (const direction of ["up", "down"] as const) {
      it.live(`${sdk}: no session is hurt by a wire that breaks once (${direction})`, () =>
        Effect.gen(function*() {
          const { runs, url } = yield* Counter.serve
          const through = (name: string, cutAt: number) =>
            Effect.scoped(Effect.gen(function*() {
              const proxy = yield* CuttingProxy.make({ target: url, direction, cutAt })
              const seen = yield* Effect.promise(() => session(new URL(proxy.url), name))
              return { seen, carried: proxy.carried[direction] }
            }))
          const whole = yield* through("whole", Infinity)
          assert.deepStrictEqual(whole.seen, [1, { runs: 1 }])
          for (let cutAt = 0; cutAt <= whole.carried; cutAt += 41) {
            const name = `cut-${cutAt}`
            const { seen } = yield* through(name, cutAt)
            assert.deepStrictEqual(seen, whole.seen, name)
            assert.strictEqual(runs.get(name), 1, name)
          }
        }), 60_000)
    }
  }
})
