/**
 * The same registrations behind two endpoints, Effect's and ours: a client gets
 * the same messages from both, in each version, through either toolkit.
 *
 * (`test/protocol/differential.test.ts` compares the handlers alone.)
 */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, References, type Scope } from "effect"
import { DurableMcp, Limits, MemoryStore } from "effect-durable-mcp"
import { McpProtocol, McpServer } from "effect/ai"
import { HttpRouter } from "effect/http"
import { type Register, registrations, requests, type TestRequest } from "../protocol/fixture.ts"
import { type Fetch, message, messagesOf, open } from "./raw.ts"

const versions = ["2025-11-25", "2025-06-18", "2025-03-26"]
const info = { name: "fixture", version: "1.2.3", instructions: "Be kind", path: "/mcp" } as const
const capabilities = { roots: { listChanged: true }, experimental: { x: {} } }
const url = new URL("http://localhost/mcp")

type Endpoint = Layer.Layer<McpServer.McpServer, unknown, HttpRouter.HttpRouter>

const stock: Endpoint = McpServer.layerHttp({
  ...info,
  protocols: [McpProtocol.v2025_11_25, McpProtocol.v2025_06_18, McpProtocol.v2025_03_26],
  registrations: registrations(McpServer.toolkit)
})

const ours = (register: Register): Endpoint =>
  DurableMcp.layerHttp({ ...info, registrations: registrations(register) }).pipe(
    Layer.provide([MemoryStore.layer, Layer.succeed(Limits.StoredHeaders)(["x-user"])])
  )

const serve = (endpoint: Endpoint): Effect.Effect<Fetch, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(
          endpoint.pipe(Layer.provide(Layer.succeed(References.MinimumLogLevel)("None"))),
          { disableLogger: true }
        )
      ),
      ({ dispose }) => Effect.promise(dispose)
    ),
    ({ handler }) => (request) => handler(request)
  )

class Endpoints extends Context.Service<Endpoints, {
  readonly stock: Fetch
  readonly ours: ReadonlyArray<readonly [name: string, fetch: Fetch]>
}>()("test/Endpoints") {
  static readonly layer = Layer.effect(Endpoints)(Effect.gen(function*() {
    return {
      stock: yield* serve(stock),
      ours: [
        ["McpServer.toolkit", yield* serve(ours(McpServer.toolkit))],
        ["DurableMcp.toolkit", yield* serve(ours(DurableMcp.toolkit))]
      ]
    }
  }))
}

/** Everything that a client hears before and with the answer, and the status. */
const answer = Effect.fnUntraced(function*(fetch: Fetch, version: string, request: TestRequest) {
  const session = yield* open(fetch, url, { version, capabilities })
  const received = yield* session.post(message(7, request.method, request.params), request.headers)
  return { status: received.status, messages: messagesOf(received) }
})

/** Where ours is another one than the stock server's, and why. */
const deliberate = (request: TestRequest, theirs: { status: number; messages: ReadonlyArray<any> }) => ({
  ...theirs,
  messages: theirs.messages.map((message) =>
    message.error?.code === -32002
      ? { ...message, error: { ...message.error, data: { uri: request.params["uri"] } } } // S-RS3
      : message
  )
})

describe.each(versions)("%s over HTTP", (version) => {
  layer(Endpoints.layer)((it) => {
    for (const request of requests) {
      it.effect(request.label, () =>
        Effect.gen(function*() {
          const { ours, stock } = yield* Endpoints
          const expected = deliberate(request, yield* answer(stock, version, request))
          for (const [name, fetch] of ours) {
            assert.deepStrictEqual(yield* answer(fetch, version, request), expected, name)
          }
        }))
    }
  })
})
