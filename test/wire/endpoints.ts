/**
 * The same registrations behind three endpoints: Effect's own server, and ours
 * with the toolkits registered either way.
 */
import { Effect, Layer, Option, References, type Scope } from "effect"
import { DurableMcp, Limits, MemoryStore, Store } from "effect-durable-mcp"
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

export type Served = Effect.Effect<Endpoint, never, Scope.Scope>

const serve = (name: string, app: Layer.Layer<McpServer.McpServer, unknown, HttpRouter.HttpRouter>): Served =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(
          app.pipe(Layer.provide(Layer.succeed(References.MinimumLogLevel)("None"))),
          { disableLogger: true }
        )
      ),
      ({ dispose }) => Effect.promise(dispose)
    ),
    ({ handler }) => ({ name, fetch: (request) => handler(request) })
  )

/** Effect's own. */
export const stock = (registrations: Registrations, name: keyof typeof registers): Served =>
  serve(
    `stock, ${name}`,
    McpServer.layerHttp({
      ...info,
      protocols: [McpProtocol.v2025_11_25, McpProtocol.v2025_06_18, McpProtocol.v2025_03_26],
      allowSessionTermination: true,
      registrations: registrations(registers[name])
    })
  )

export const ours = (registrations: Registrations, name: keyof typeof registers): Served =>
  serve(
    `ours, ${name}`,
    DurableMcp.layerHttp({ ...info, registrations: registrations(registers[name]) }).pipe(
      Layer.provide([
        stores[name].pipe(Layer.provide(MemoryStore.layerWith({ disk: MemoryStore.makeDisk() }))),
        Layer.succeed(Limits.StoredHeaders)(["x-user"])
      ])
    )
  )

/** The store as it is, and one that drops all that it may drop of an execution that is complete. */
const stores = {
  "McpServer.toolkit": Layer.effect(Store.Store)(Store.Store),
  "DurableMcp.toolkit": Layer.effect(Store.Store)(Effect.map(Store.Store, (store) =>
    Store.Store.of({
      ...store,
      execution: (id) =>
        Effect.map(
          store.execution(id),
          Option.map((record) =>
            record.result === undefined ? record : { ...record, payload: "", steps: [], signals: [] }
          )
        )
    })))
}

const registers = { "McpServer.toolkit": McpServer.toolkit, "DurableMcp.toolkit": DurableMcp.toolkit }

export const make = (registrations: Registrations): Effect.Effect<Endpoints, never, Scope.Scope> =>
  Effect.all({
    stock: stock(registrations, "McpServer.toolkit"),
    ours: Effect.all([ours(registrations, "McpServer.toolkit"), ours(registrations, "DurableMcp.toolkit")])
  })
