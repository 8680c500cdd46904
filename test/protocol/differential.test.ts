/**
 * The same registrations, the same requests, three servers: Effect's own over
 * its HTTP transport, and ours through `McpServer.toolkit` and through
 * `DurableMcp.toolkit`. The answers on the wire are the same.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, References } from "effect"
import { McpProtocol, McpServer } from "effect/ai"
import { HttpRouter } from "effect/http"
import { Dispatch } from "../../src/engine/Dispatch.ts"
import * as Stock from "../../src/protocol/stock.ts"
import * as StockDispatch from "../../src/protocol/StockDispatch.ts"
import { toolkit } from "../../src/protocol/toolkit.ts"
import type * as JsonRpc from "../../src/session/JsonRpc.ts"
import { type Register, registrations, requests, type TestRequest } from "./fixture.ts"

const versions = ["2025-11-25", "2025-06-18", "2025-03-26"]
const info = { name: "fixture", version: "1.2.3", instructions: "Be kind" }
const client = {
  capabilities: { roots: { listChanged: true }, experimental: { x: {} } },
  clientInfo: { name: "client", version: "0" }
}

/** A server in one version: from a request to the answer on the wire. */
type Answers = (request: TestRequest) => Effect.Effect<unknown>

class Servers extends Context.Service<Servers, {
  readonly stock: (version: string) => Effect.Effect<Answers>
  readonly ours: ReadonlyArray<readonly [name: string, (version: string) => Answers]>
}>()("test/Servers") {
  static readonly layer = Layer.effect(Servers)(Effect.gen(function*() {
    return {
      stock: yield* makeStock,
      ours: [
        ["McpServer.toolkit", yield* makeOurs(McpServer.toolkit)],
        ["DurableMcp.toolkit", yield* makeOurs(toolkit)]
      ]
    }
  }))
}

const makeStock = Effect.gen(function*() {
  const server = McpServer.layerHttp({
    ...info,
    path: "/mcp",
    protocols: [McpProtocol.v2025_11_25, McpProtocol.v2025_06_18, McpProtocol.v2025_03_26],
    registrations: registrations(McpServer.toolkit)
  })
  const { dispose, handler } = HttpRouter.toWebHandler(
    server.pipe(Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))),
    { disableLogger: true }
  )
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  const post = (body: unknown, headers: Record<string, string>) =>
    Effect.promise(async () => {
      const response = await handler(
        new Request("http://localhost/mcp", {
          method: "POST",
          headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
          body: JSON.stringify(body)
        })
      )
      return { session: response.headers.get("mcp-session-id"), text: await response.text() }
    })
  let id = 0
  return Effect.fnUntraced(function*(version: string) {
    const params = { protocolVersion: version, ...client }
    const opened = yield* post({ jsonrpc: "2.0", id: ++id, method: "initialize", params }, {})
    const headers = { "mcp-session-id": opened.session!, "mcp-protocol-version": version }
    yield* post({ jsonrpc: "2.0", method: "notifications/initialized" }, headers)
    return (request: TestRequest) =>
      Effect.map(
        post({ jsonrpc: "2.0", id: ++id, method: request.method, params: request.params }, {
          ...(request.method === "initialize" ? {} : headers),
          ...request.headers
        }),
        ({ text }) => messageOf(text)
      )
  })
})

/** The last message of a body, JSON or SSE, without its envelope. */
const messageOf = (text: string): unknown => {
  const data = text.split("\n").findLast((line) => line.startsWith("data: "))?.slice("data: ".length) ?? text
  const { error, result } = JSON.parse(data)
  return error === undefined ? { result } : { error }
}

const makeOurs = Effect.fnUntraced(function*(register: Register) {
  const { dispatch } = Context.get(
    yield* Layer.build(Layer.fresh(
      StockDispatch.layer.pipe(
        Layer.provide(Stock.layer(info)),
        Layer.provide(registrations(register)),
        Layer.provide(McpServer.McpServer.layer)
      )
    )),
    Dispatch
  )
  return (version: string): Answers => (request) =>
    Effect.map(
      dispatch({
        version,
        method: request.method,
        params: request.params,
        requestId: 1,
        profile: {
          session: "s",
          principal: "anonymous",
          clientCapabilities: client.capabilities,
          clientInfo: client.clientInfo,
          headers: request.headers ?? {}
        }
      }),
      (answer): unknown => JSON.parse(JSON.stringify(answer))
    )
})

/** Where our answer is another one than the stock server's, and why. */
const deliberate = (request: TestRequest, theirs: unknown): unknown => {
  const { error } = theirs as { readonly error?: JsonRpc.ErrorObject }
  return error?.code === -32002 ? { error: { ...error, data: { uri: request.params.uri } } } : theirs // S-RS3
}

layer(Servers.layer)("initialize", (it) => {
  it.effect("is answered as by the stock server, except that resources can be subscribed to", () =>
    Effect.gen(function*() {
      const { ours, stock } = yield* Servers
      for (const version of versions) {
        const request = { label: "", method: "initialize", params: { protocolVersion: version, ...client } }
        const theirs = (yield* (yield* stock(version))(request)) as InitializeAnswer
        for (const [name, answers] of ours) {
          const answer = (yield* answers(version)(request)) as InitializeAnswer
          assert.deepStrictEqual(answer.result.capabilities.resources, { listChanged: true, subscribe: true }, name)
          assert.deepStrictEqual(
            { ...answer.result, capabilities: { ...answer.result.capabilities, resources: undefined } },
            { ...theirs.result, capabilities: { ...theirs.result.capabilities, resources: undefined } },
            name
          )
        }
      }
    }))
})

interface InitializeAnswer {
  readonly result: { readonly capabilities: Readonly<Record<string, unknown>> }
}

describe.each(versions)("%s: the answers of the stock server", (version) => {
  layer(Servers.layer)((it) => {
    for (const request of requests) {
      it.effect(request.label, () =>
        Effect.gen(function*() {
          const { ours, stock } = yield* Servers
          const expected = deliberate(request, yield* (yield* stock(version))(request))
          for (const [name, answers] of ours) {
            assert.deepStrictEqual(yield* answers(version)(request), expected, name)
          }
        }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
    }
  })
})
