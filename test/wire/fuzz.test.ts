/**
 * 20,000 requests of random bytes and mutated real messages: each gets an
 * answer below 500, and the server is as healthy and as small as before.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableMcp, Limits, SqliteStore } from "effect-durable-mcp"
import { HttpRouter } from "effect/http"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Doors, registrations } from "./fixture.ts"
import { call, type Fetch, message, messagesOf, open, type Raw } from "./raw.ts"

const requests = 20_000
const seed = Number(process.env["FUZZ_SEED"] ?? 1)
const url = new URL("http://localhost/mcp")

/** mulberry32: the same seed is the same run. */
const makeRandom = (seed: number) => {
  const next = (): number => {
    seed = (seed + 0x6D2B79F5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number): number => Math.floor(next() * n)
  const pick = <A>(items: ReadonlyArray<A>): A => items[below(items.length)]!
  return { below, pick, chance: (p: number): boolean => next() < p }
}

type Random = ReturnType<typeof makeRandom>

const strange: ReadonlyArray<unknown> = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  "",
  "\u0000",
  "\uD800",
  "__proto__",
  "x".repeat(3000),
  [],
  {},
  [[[[[[]]]]]],
  { "__proto__": { polluted: true } },
  { toString: 1, constructor: null },
  "../../etc/passwd",
  "1; DROP TABLE event",
  "2026-07-28"
]

/** What clients really send. */
const messages = (id: number): ReadonlyArray<unknown> => [
  message(id, "initialize", {
    protocolVersion: "2025-11-25",
    capabilities: { elicitation: {}, sampling: {}, roots: {} },
    clientInfo: { name: "fuzz", version: "1" }
  }),
  { jsonrpc: "2.0", method: "notifications/initialized" },
  message(id, "ping"),
  message(id, "tools/list"),
  call(id, "echo", { text: "hello" }),
  { ...call(id, "walk", { n: 2 }), params: { name: "walk", arguments: { n: 2 }, _meta: { progressToken: id } } },
  call(id, "ask"),
  call(id, "model"),
  call(id, "fail"),
  message(id, "resources/list"),
  message(id, "resources/templates/list"),
  message(id, "resources/read", { uri: "test://item/1" }),
  message(id, "resources/subscribe", { uri: "test://text" }),
  message(id, "prompts/get", { name: "greet", arguments: { name: "Ada" } }),
  message(id, "completion/complete", {
    ref: { type: "ref/prompt", name: "greet" },
    argument: { name: "name", value: "A" }
  }),
  message(id, "logging/setLevel", { level: "debug" }),
  { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id - 3, reason: "fuzz" } },
  { jsonrpc: "2.0", method: "notifications/roots/list_changed" },
  { jsonrpc: "2.0", id: `q${id}`, result: { action: "accept", content: { ok: true } } },
  { jsonrpc: "2.0", id, error: { code: -1, message: "no" } },
  [message(id, "ping"), call(id + 1, "echo", { text: "batch" })]
]

/** Replaces, removes, renames or doubles something somewhere inside. */
const mutate = (random: Random, value: unknown): unknown => {
  if (typeof value !== "object" || value === null || random.chance(0.15)) return random.pick(strange)
  if (Array.isArray(value)) {
    const items = [...value]
    const i = random.below(items.length + 1)
    if (random.chance(0.3)) items.splice(i, 1)
    else items[i] = random.chance(0.5) ? items[random.below(items.length)] : mutate(random, items[i])
    return items
  }
  const entries = Object.entries(value)
  if (entries.length === 0) return { [random.pick(["a", "method", "id", "__proto__"])]: random.pick(strange) }
  const i = random.below(entries.length)
  const [key, inner] = entries[i]!
  switch (random.below(4)) {
    case 0:
      entries.splice(i, 1)
      break
    case 1:
      entries[i] = [`${key}${random.pick(["", " ", "x", "\u0000"])}`, inner]
      break
    default:
      entries[i] = [key, mutate(random, inner)]
  }
  return Object.fromEntries(entries)
}

const scramble = (random: Random, bytes: Uint8Array): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  for (let i = random.below(4); i >= 0; i--) copy[random.below(copy.length)] = random.below(256)
  return random.chance(0.3) ? copy.slice(0, random.below(copy.length)) : copy
}

const makeBody = (random: Random, id: number): Uint8Array => {
  const encoder = new TextEncoder()
  if (random.chance(0.1)) return Uint8Array.from({ length: random.below(300) }, () => random.below(256))
  let body: unknown = random.pick(messages(id))
  for (let i = random.below(4); i > 0; i--) body = mutate(random, body)
  const bytes = encoder.encode(JSON.stringify(body) ?? "")
  return random.chance(0.15) && bytes.length > 0 ? scramble(random, bytes) : bytes
}

/** Only what HTTP lets through. */
const headerValue = (value: string): string => value.replace(/[^\x20-\x7E]/g, "").trim()

const makeHeaders = (random: Random, session: Raw): Record<string, string> => {
  const headers: Record<string, string> = { ...session.headers }
  if (random.chance(0.1)) {
    headers["last-event-id"] = random.pick(["1:0", "2:1", "7:7", "x", ":", "1:-1", "9".repeat(30)])
  }
  if (!random.chance(0.2)) return headers
  const name = random.pick([...Object.keys(headers), "origin", "host", "accept-encoding", "content-length"])
  if (random.chance(0.3)) delete headers[name]
  else if (name !== "content-length") headers[name] = headerValue(JSON.stringify(random.pick(strange)))
  return headers
}

const makeRequest = (random: Random, id: number, session: Raw): Request => {
  const headers = makeHeaders(random, session)
  const method = random.chance(0.9) ? "POST" : random.pick(["GET", "GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
  return method === "POST"
    ? new Request(url, { method, headers, body: makeBody(random, id) as BodyInit })
    : new Request(url, { method, headers })
}

/** Reads an answer to its end, or an event stream up to its first piece. */
const consume = async (response: Response): Promise<string> => {
  if (response.headers.get("content-type") !== "text/event-stream") return response.text()
  const reader = response.body!.getReader()
  const { value } = await reader.read()
  await reader.cancel()
  return new TextDecoder().decode(value)
}

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const liveHeap = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

it.live(`${requests} hostile requests, seed ${seed}`, () =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "fuzz-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    )
    const { handler } = yield* Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(
          DurableMcp.layerHttp({ name: "fuzz", version: "1", path: "/mcp", registrations: registrations(new Doors()) })
            .pipe(Layer.provide([
              SqliteStore.layer({ filename: join(folder, "fuzz.db"), synchronous: "NORMAL" }),
              // What is kept on purpose is kept short, so that what is kept by mistake shows.
              Layer.succeed(Limits.CallsInFlight)(1_000_000),
              Layer.succeed(Limits.CacheTimeout)("100 millis"),
              Layer.succeed(Limits.IdleDelay)("10 millis"),
              Layer.succeed(Limits.StepLimit)(50)
            ])),
          { disableLogger: true }
        )
      ),
      ({ dispose }) => Effect.promise(dispose)
    )
    const fetch: Fetch = (request) => handler(request)
    const random = makeRandom(seed)
    const statuses = new Map<number, number>()
    let session = yield* open(fetch, url, { version: "2025-03-26" })
    let ended = false
    let before = 0

    for (let i = 0; i < requests; i++) {
      if (i === requests / 4) before = liveHeap()
      if (ended || i % 100 === 99) {
        // A session that is gone takes what it had with it.
        yield* session.delete
        ended = false
        session = yield* open(fetch, url, { version: random.pick(["2025-03-26", "2025-06-18", "2025-11-25"]) })
      }
      const request = makeRequest(random, i, session)
      const copy = request.clone()
      const { status, text } = yield* Effect.promise(async () => {
        const response = await handler(request)
        return { status: response.status, text: await consume(response) }
      })
      ended = request.method === "DELETE" && status === 204
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status >= 500 || /node_modules|\.ts:\d|\.js:\d/.test(text)) {
        const body = yield* Effect.promise(() => copy.text())
        const headers = JSON.stringify(Object.fromEntries(copy.headers))
        assert.fail(`Request ${i} of seed ${seed}: ${copy.method} ${headers} ${body}\n${status} ${text}`)
      }
    }

    const peer = yield* open(fetch, url)
    const [answer] = messagesOf(yield* peer.post(call(1, "echo", { text: "well" }))).slice(-1)
    assert.strictEqual(answer.result.content[0].text, "well")
    assert.isUndefined(({} as Record<string, unknown>)["polluted"])
    // All kinds of answers have been seen, so the requests were not all refused at the door.
    for (const status of [200, 202, 400, 403, 404, 405, 406, 415]) assert.isAbove(statuses.get(status) ?? 0, 5)
    assert.isBelow(liveHeap() - before, 4 * 1024 * 1024)
  }), 180_000)
