/**
 * The same registrations behind three endpoints: Effect's own server, and ours
 * with the toolkits registered either way.
 */
import { Effect, Layer, References, type Scope } from "effect"
import { DurableMcp, Limits, MemoryStore } from "effect-durable-mcp"
import { McpProtocol, McpServer } from "effect/ai"
import { HttpRouter } from "effect/http"
import type { Register } from "../protocol/fixture.ts"
import type { Fetch } from "./raw.ts"

export const versions = ["2025-11-25", "2025-06-18", "2025-03-26"] as const

export type Version = (typeof versions)[number]

export const url = new URL("http://localhost/mcp")

/** What a server offers, its toolkits registered by `register`. */
export type Registrations = (register: Register) => Layer.Layer<never, never, McpServer.McpServer>

export interface Endpoint {
  readonly name: string
  readonly fetch: Fetch
}

export interface Endpoints {
  readonly stock: Endpoint
  readonly ours: ReadonlyArray<Endpoint>
}

const info = { name: "fixture", version: "1.2.3", instructions: "Be kind", path: "/mcp" } as const

const stock = (registrations: Registrations) =>
  McpServer.layerHttp({
    ...info,
    protocols: [McpProtocol.v2025_11_25, McpProtocol.v2025_06_18, McpProtocol.v2025_03_26],
    allowSessionTermination: true,
    registrations: registrations(McpServer.toolkit)
  })

const ours = (registrations: Registrations, register: Register) =>
  DurableMcp.layerHttp({ ...info, registrations: registrations(register) }).pipe(
    Layer.provide([
      MemoryStore.layerWith({ disk: MemoryStore.makeDisk() }),
      Layer.succeed(Limits.StoredHeaders)(["x-user"])
    ])
  )

const serve = Effect.fnUntraced(function*(
  name: string,
  app: Layer.Layer<McpServer.McpServer, unknown, HttpRouter.HttpRouter>
): Effect.fn.Return<Endpoint, never, Scope.Scope> {
  const { handler } = yield* Effect.acquireRelease(
    Effect.sync(() =>
      HttpRouter.toWebHandler(
        app.pipe(Layer.provide(Layer.succeed(References.MinimumLogLevel)("None"))),
        { disableLogger: true }
      )
    ),
    ({ dispose }) => Effect.promise(dispose)
  )
  return { name, fetch: (request) => handler(request) }
})

export const make = Effect.fnUntraced(function*(
  registrations: Registrations
): Effect.fn.Return<Endpoints, never, Scope.Scope> {
  return {
    stock: yield* serve("stock", stock(registrations)),
    ours: [
      yield* serve("McpServer.toolkit", ours(registrations, McpServer.toolkit)),
      yield* serve("DurableMcp.toolkit", ours(registrations, DurableMcp.toolkit))
    ]
  }
})
