/**
 * `retryingFetch` and the server together: a call whose connection is cut at any
 * byte, in either direction, runs once and gets its answer (S-P10).
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { retryingFetch } from "effect-durable-mcp/client"
import * as Counter from "./Counter.ts"
import * as CuttingProxy from "./CuttingProxy.ts"

interface Event {
  readonly id: string
  readonly data: string
}

const headersOf = (version: string, session?: string): Record<string, string> => ({
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  ...(session === undefined ? undefined : { "mcp-session-id": session, "mcp-protocol-version": version })
})

const open = async (url: string, version: string): Promise<string> => {
  const params = { protocolVersion: version, capabilities: {}, clientInfo: { name: "test", version: "1.0.0" } }
  const response = await fetch(url, {
    method: "POST",
    headers: headersOf(version),
    body: JSON.stringify({ jsonrpc: "2.0", id: "initialize", method: "initialize", params })
  })
  await response.text()
  const session = response.headers.get("mcp-session-id")!
  await fetch(url, {
    method: "POST",
    headers: headersOf(version, session),
    body: JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" })
  })
  return session
}

/** Reads events until the stream ends or breaks; whether it ended. */
const read = async (response: Response, events: Array<Event>): Promise<boolean> => {
  let text = ""
  try {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const blocks = text.split("\n\n")
      text = blocks.pop()!
      for (const block of blocks) {
        const id = /^id: (.*)$/m.exec(block)?.[1]
        const data = /^data: (.*)$/m.exec(block)?.[1]
        if (id !== undefined && data !== undefined) events.push({ id, data })
      }
    }
    return true
  } catch {
    return false
  }
}

/** Calls through `wire`, and resumes as any client does once it has seen an event id. */
const call = async (options: {
  readonly wire: string
  readonly url: string
  readonly version: string
  readonly session: string
  readonly name: string
}): Promise<ReadonlyArray<Event>> => {
  const { name, session, url, version, wire } = options
  const headers = headersOf(version, session)
  const events: Array<Event> = []
  const response = await retryingFetch({ initialDelayMs: 1, maxDelayMs: 1 })(wire, {
    method: "POST",
    headers,
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: name,
      method: "tools/call",
      params: { name: "count", arguments: { name }, _meta: { progressToken: name } }
    })
  })
  assert.strictEqual(response.status, 200)
  if (await read(response, events)) return events
  const last = events.at(-1)
  assert.isDefined(last, "a stream broke before its first id, and nobody repeated it")
  const rest = await fetch(url, { headers: { ...headers, "last-event-id": last!.id } })
  assert.isTrue(rest.status === 204 || await read(rest, events))
  return events
}

/** What the client saw, without what differs between calls. Events without data only say where the stream is. */
const outline = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const messages = events.filter(({ data }) => data !== "")
  assert.strictEqual(new Set(messages.map((event) => event.id)).size, messages.length, "an event came twice")
  return messages.map(({ data }) => {
    const message = JSON.parse(data)
    return message.method ?? JSON.stringify(message.result.structuredContent ?? message.result.content[0].text)
  })
}

describe("a call that is cut off", () => {
  // Streams without a priming event, and with one (S-R3).
  for (const version of ["2025-06-18", "2025-11-25"]) {
    for (const direction of ["up", "down"] as const) {
      const where = direction === "up" ? "on its way in" : "in its answer"
      it.live(`${where}, at any byte, runs once and gets its answer (${version})`, () =>
        Effect.gen(function*() {
          const { runs, url } = yield* Counter.serve
          const session = yield* Effect.promise(() => open(url, version))
          const through = (name: string, cutAt: number) =>
            Effect.scoped(Effect.gen(function*() {
              const proxy = yield* CuttingProxy.make({ target: url, direction, cutAt })
              const events = yield* Effect.promise(() => call({ wire: proxy.url, url, version, session, name }))
              return { seen: outline(events), length: proxy.carried[direction] }
            }))
          const whole = yield* through("cut-whole", Infinity)
          assert.strictEqual(whole.seen[0], "notifications/progress")
          assert.strictEqual(whole.seen.length, 2)
          const stride = direction === "up" ? 3 : 1
          const cuts = Array.from({ length: Math.floor(whole.length / stride) + 1 }, (_, index) => index * stride)
          yield* Effect.forEach(
            cuts,
            Effect.fnUntraced(function*(cutAt) {
              const name = `cut-${String(cutAt).padStart(5, "0")}`
              const { seen } = yield* through(name, cutAt)
              assert.deepStrictEqual(seen, whole.seen, name)
              assert.strictEqual(runs.get(name), 1, name)
            }),
            { concurrency: 16, discard: true }
          )
        }), 60_000)
    }
  }
})
