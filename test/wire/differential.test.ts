/**
 * The same registrations behind Effect's endpoint and ours: a client gets the
 * same answers from both, in each version, through either toolkit.
 *
 * (`conversations.test.ts` compares what is said before an answer, and
 * `test/protocol/differential.test.ts` the handlers alone.)
 */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { registrations, requests, type TestRequest } from "../protocol/fixture.ts"
import * as Endpoints from "./endpoints.ts"
import { call, type Fetch, message, messagesOf, open, type Raw, type Received, send } from "./raw.ts"

const { url, versions } = Endpoints

const capabilities = { roots: { listChanged: true }, experimental: { x: {} } }

/** The three servers, with a session of the version at each. */
class Servers extends Context.Service<Servers, {
  readonly stock: Server
  readonly ours: ReadonlyArray<Server>
}>()("test/Servers") {
  static readonly layer = (version: Endpoints.Version) =>
    Layer.effect(Servers)(Effect.gen(function*() {
      const { ours, stock } = yield* Endpoints.make(registrations)
      const connect = ({ fetch, name }: Endpoints.Endpoint) =>
        Effect.map(open(fetch, url, { version, capabilities }), (peer): Server => ({ name, fetch, peer }))
      return { stock: yield* connect(stock), ours: yield* Effect.forEach(ours, connect) }
    }))
}

interface Server extends Endpoints.Endpoint {
  readonly peer: Raw
}

// -----------------------------------------------------------------------------
// requests to the program
// -----------------------------------------------------------------------------

const list = (method: string, cursor: string): TestRequest => ({
  label: `${method} from ${JSON.stringify(cursor)}`,
  method,
  params: { cursor }
})

const change = (method: string, params: TestRequest["params"]): TestRequest => ({
  label: `${method} ${JSON.stringify(params)}`,
  method,
  params
})

/** Those that a session answers, not a handler. */
const sessionRequests: ReadonlyArray<TestRequest> = [
  list("tools/list", "next"),
  list("resources/list", ""),
  list("resources/templates/list", "2"),
  list("prompts/list", "next"),
  change("logging/setLevel", { level: "warning" }),
  change("logging/setLevel", { level: "loud" }),
  change("logging/setLevel", {}),
  change("resources/subscribe", { uri: "test://text" }),
  change("resources/unsubscribe", { uri: "test://text" })
]

/** Where ours is another one than the stock server's, and why. */
const deliberate = ({ method, params }: TestRequest, theirs: any): unknown => {
  const { id, jsonrpc } = theirs
  if (theirs.error?.code === -32002) {
    return { ...theirs, error: { ...theirs.error, data: { uri: params["uri"] } } } // names what was not found: S-RS3
  }
  if (params["cursor"] !== undefined) {
    return { jsonrpc, id, error: { code: -32602, message: "Invalid cursor" } } // nobody was given one: S-PN1
  }
  if (method === "resources/subscribe" || method === "resources/unsubscribe") {
    assert.strictEqual(theirs.error.code, -32601)
    return { jsonrpc, id, result: {} } // stock has no stream to tell of changes on: S-RS4
  }
  return theirs
}

describe.each(versions)("%s: the answer of the stock server", (version) => {
  layer(Servers.layer(version))((it) => {
    for (const [index, request] of [...requests, ...sessionRequests].entries()) {
      it.effect(request.label, () =>
        Effect.gen(function*() {
          const { ours, stock } = yield* Servers
          // Ids are used once in a session (S-P10).
          const answer = ({ peer }: Server) =>
            Effect.map(
              peer.post(message(index, request.method, request.params), request.headers),
              (received) => ({ status: received.status, messages: messagesOf(received) })
            )
          const theirs = yield* answer(stock)
          const expected = { ...theirs, messages: theirs.messages.map((message) => deliberate(request, message)) }
          for (const server of ours) {
            assert.deepStrictEqual(yield* answer(server), expected, server.name)
          }
        }))
    }
  })
})

// -----------------------------------------------------------------------------
// requests to the endpoint
// -----------------------------------------------------------------------------

/** Status, and the code of the error or the result. */
interface Outcome {
  readonly status: number
  readonly code?: number | undefined
  readonly result?: unknown
}

interface Exchange {
  readonly label: string
  readonly run: (peer: Raw, fetch: Fetch) => Effect.Effect<Received>
  /** Where ours is another one than the stock server's, and the row that says why. */
  readonly ours?: Outcome & { readonly row: string; readonly versions?: ReadonlyArray<Endpoints.Version> }
}

const ping = message(1, "ping")
const notification = (method: string, params?: object) => ({ jsonrpc: "2.0", method, params })
const initialize = (params: object) =>
  message(1, "initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "raw", version: "1" },
    ...params
  })

const post = (body: unknown, headers?: Record<string, string>) => (peer: Raw): Effect.Effect<Received> =>
  peer.post(body, headers)

const postWithout = (header: string, body: unknown) => ({ headers }: Raw, fetch: Fetch): Effect.Effect<Received> =>
  send(fetch, url, body, Object.fromEntries(Object.entries(headers).filter(([name]) => name !== header)))

const request = (method: string) => ({ headers }: Raw, fetch: Fetch): Effect.Effect<Received> =>
  Effect.promise(async () => {
    const response = await fetch(new Request(url, { method, headers }))
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

const invalid = { status: 400, code: -32600 }
const sinceJune = ["2025-11-25", "2025-06-18"] as const
const beforeJune = ["2025-03-26"] as const

const exchanges: ReadonlyArray<Exchange> = [
  { label: "a notification", run: post(notification("notifications/initialized")) },
  { label: "an unknown notification", run: post(notification("notifications/unknown")) },
  { label: "a cancellation of nothing", run: post(notification("notifications/cancelled", { requestId: 77 })) },
  { label: "a cancellation without an id", run: post(notification("notifications/cancelled")) },
  { label: "changed roots", run: post(notification("notifications/roots/list_changed")) },
  { label: "a request without an id", run: post(notification("tools/list")) },
  { label: "a notification with an id", run: post(message(1, "notifications/initialized")) },
  { label: "a text as id", run: post(message("", "ping")) },
  { label: "a negative id", run: post(message(-1, "ping")) },
  { label: "no params", run: post(ping) },
  { label: "null params", run: post({ ...ping, params: null }) },
  { label: "a list as params", run: post({ ...ping, params: [] }) },
  { label: "a text as params", run: post(message(1, "tools/call", "x")) },
  {
    label: "an answer to nothing",
    run: post({ jsonrpc: "2.0", id: 5, result: {} }),
    ours: { ...invalid, row: "S-P6" }
  },
  { label: "a fraction as id", run: post(message(1.5, "ping")), ours: { ...invalid, row: "S-P10" } },
  { label: "null as id", run: post({ ...ping, id: null }), ours: { ...invalid, row: "S-P10" } },
  { label: "no version of JSON-RPC", run: post({ id: 1, method: "ping" }), ours: { ...invalid, row: "S-P4" } },
  { label: "a number as method", run: post({ ...ping, method: 1 }), ours: { ...invalid, row: "S-P4" } },
  { label: "an empty object", run: post({}), ours: { ...invalid, row: "S-P4" } },
  { label: "no JSON", run: post("{"), ours: { status: 400, code: -32700, row: "1.2 step 4" } },
  { label: "nothing", run: post(""), ours: { status: 400, code: -32700, row: "1.2 step 4" } },

  { label: "initialize again", run: post(initialize({})) },
  { label: "initialize of an unknown session", run: post(initialize({}), { "mcp-session-id": "unknown" }) },
  ...["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2099-01-01"].map((protocolVersion) => ({
    label: `initialize with ${protocolVersion}`,
    run: postWithout("mcp-session-id", initialize({ protocolVersion }))
  })),
  { label: "initialize without a version", run: postWithout("mcp-session-id", initialize({ protocolVersion: null })) },
  { label: "initialize without a name", run: postWithout("mcp-session-id", initialize({ clientInfo: null })) },
  { label: "initialize without capabilities", run: postWithout("mcp-session-id", initialize({ capabilities: null })) },
  { label: "initialize without params", run: postWithout("mcp-session-id", message(1, "initialize")) },

  { label: "no session", run: postWithout("mcp-session-id", ping) },
  { label: "a notification without a session", run: postWithout("mcp-session-id", notification("notifications/x")) },
  { label: "an unknown session", run: post(ping, { "mcp-session-id": "unknown" }) },
  { label: "no version", run: postWithout("mcp-protocol-version", ping) },
  {
    label: "another version",
    run: (peer) =>
      peer.post(ping, {
        "mcp-protocol-version": versions[peer.headers["mcp-protocol-version"] === versions[0] ? 1 : 0]
      }),
    ours: { status: 200, result: {}, row: "S-V5", versions: sinceJune }
  },
  {
    label: "an unknown version",
    run: post(ping, { "mcp-protocol-version": "1999-01-01" }),
    ours: { ...invalid, row: "S-V1; -32022 is the stateless era's" }
  },
  { label: "an Accept without streams", run: post(ping, { accept: "application/json" }) },
  {
    label: "an Accept of everything",
    run: post(ping, { accept: "*/*" }),
    ours: { status: 200, result: {}, row: "S-P8" }
  },
  { label: "no JSON by its type", run: post(ping, { "content-type": "text/plain" }) },
  { label: "JSON in UTF-8", run: post(ping, { "content-type": "application/json; charset=utf-8" }) },
  { label: "a foreign origin", run: post(ping, { origin: "https://evil.example" }) },
  { label: "another method", run: request("PUT") },

  { label: "an empty batch", run: post([]) },
  { label: "a batch", run: post([ping, message("2", "unknown"), notification("notifications/x"), call(3, "greet")]) },
  { label: "a batch of one", run: post([ping]) },
  { label: "a batch of notifications", run: post([notification("notifications/initialized")]) },
  { label: "a batch with initialize", run: post([initialize({})]) },
  { label: "a batch with nonsense", run: post([ping, 1]), ours: { ...invalid, row: "S-B1", versions: beforeJune } },
  {
    label: "a batch with one id twice",
    run: post([ping, ping]),
    ours: { ...invalid, row: "S-P10", versions: beforeJune }
  },

  { label: "DELETE", run: (peer) => peer.delete },
  { label: "DELETE twice", run: (peer) => Effect.andThen(peer.delete, peer.delete) },
  { label: "a request after DELETE", run: (peer) => Effect.andThen(peer.delete, peer.post(ping)) },
  { label: "DELETE without a session", run: (_, fetch) => request("DELETE")({ headers: {} } as Raw, fetch) }
]

/** Where stock says nothing but the status, ours may say more. */
const outcomeOf = ({ status, text }: Received, theirs?: Outcome): Outcome => {
  const body = text === "" ? {} : JSON.parse(text)
  const { error, result } = body
  if (error !== undefined) {
    return theirs !== undefined && theirs.code === undefined ? { status } : { status, code: error.code }
  }
  return text === "" ? { status } : { status, result: Array.isArray(body) ? body : withSubscriptions(result) }
}

/** Stock declares `subscribe: false` over HTTP (S-RS4). */
const withSubscriptions = (result: any) =>
  result.capabilities?.resources === undefined ? result : {
    ...result,
    capabilities: { ...result.capabilities, resources: { ...result.capabilities.resources, subscribe: true } }
  }

describe.each(versions)("%s: the outcome at the stock server", (version) => {
  layer(Servers.layer(version))((it) => {
    for (const { label, ours: differs, run } of exchanges) {
      it.effect(differs === undefined ? label : `${label} (not that: ${differs.row})`, () =>
        Effect.gen(function*() {
          const { ours, stock } = yield* Servers
          // Of its own, because some end it.
          const exchange = ({ fetch }: Server) =>
            Effect.flatMap(open(fetch, url, { version, capabilities }), (peer) => run(peer, fetch))
          const theirs = outcomeOf(yield* exchange(stock))
          let expected = theirs
          if (differs !== undefined && (differs.versions ?? versions).includes(version)) {
            const { row: _, versions: __, ...outcome } = differs
            assert.notDeepEqual(outcome, theirs, "no difference any more")
            expected = outcome
          }
          for (const server of ours) {
            assert.deepStrictEqual(outcomeOf(yield* exchange(server), expected), expected, server.name)
          }
        }))
    }
  })
})
