/**
 * MCP servers whose sessions, questions and running calls survive a crash.
 *
 * Registrations are Effect's own (`McpServer.toolkit`, `resource`, `prompt`,
 * `middleware`, `visibility`) or `DurableMcp.toolkit`, handlers are Effects that
 * use `Durable`, and the server is a Layer over a `Store`.
 *
 * @since 0.1.0
 */
import type * as McpProtocol from "effect/ai/McpProtocol"
import type * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Driver from "./engine/Driver.ts"
import * as Engine from "./engine/Engine.ts"
import * as EngineLimits from "./engine/Limits.ts"
import * as SessionEra from "./protocol/SessionEra.ts"
import * as Stock from "./protocol/stock.ts"
import * as StockDispatch from "./protocol/StockDispatch.ts"
import * as StockWire from "./protocol/StockWire.ts"
import * as EventLog from "./session/EventLog.ts"
import * as Ids from "./session/Ids.ts"
import * as Outbox from "./session/Outbox.ts"
import * as Sessions from "./session/Sessions.ts"
import type { Store } from "./store/Store.ts"
import * as Http from "./transport/Http.ts"
import * as Shutdown from "./transport/Shutdown.ts"

export {
  /**
   * `McpServer.toolkit` with the handler on the call's own fiber: same results,
   * a fifth of the cost.
   *
   * @category layers
   * @since 0.1.0
   */
  toolkit
} from "./protocol/toolkit.ts"

export {
  /**
   * Serves a layer's routes with a Node HTTP server of its own.
   *
   * @category layers
   * @since 0.1.0
   */
  serve as serveNode
} from "./transport/NodeServer.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface ServerOptions<RA, RE, RR> {
  readonly name: string
  readonly version: string
  readonly instructions?: string | undefined
  readonly description?: string | undefined
  readonly websiteUrl?: string | undefined
  readonly icons?: ReadonlyArray<McpSchema.Icon> | undefined
  /** Default: 2025-11-25, 2025-06-18 and 2025-03-26. */
  readonly protocols?: ReadonlyArray<McpProtocol.ProtocolAdapter> | undefined
  /** What the server offers; built before its first request. */
  readonly registrations?: Layer.Layer<RA, RE, RR> | undefined
}

/**
 * What a request is given by the server itself: handlers that declare these as
 * dependencies need no more.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Provided =
  | Scope.Scope
  | McpSchema.McpServerClient
  | WorkflowEngine.WorkflowEngine
  | WorkflowEngine.WorkflowInstance

/**
 * The services that registrations need when they are built.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<RR> = Exclude<McpServer.McpRequest.Without<RR>, McpServer.McpServer>

/**
 * The services that registrations need with each request.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Requests<RR, P> = Exclude<McpServer.McpRequest.Only<"Requires", RR>, P>

/**
 * Serves MCP over Streamable HTTP at `path`, durably.
 *
 * **Details**
 *
 * When the layer ends, event streams are closed, no step starts any more, steps
 * under way finish (`Limits.DrainTimeout`), and the rest goes on with the next
 * process on the same store. Nothing is compensated, nothing fails.
 *
 * A store that fails while the layer is built is a defect; a store that cannot
 * be opened is the typed error of its own layer.
 *
 * **Gotchas**
 *
 * Handlers also run when there is no request: after a restart. What a tool
 * declares as a dependency must come from the program (`Layer.provide` after
 * `serveNode` or `HttpRouter.serve`) or from MCP middleware; what HTTP
 * middleware provides is not there.
 *
 * An HTTP server of Effect's waits for its requests before the layers that
 * serve them end, and an event stream never ends by itself. `serveNode` knows
 * that; with a server of your own, keep its `gracefulShutdownTimeout` short.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttp: <RA = never, RE = never, RR = never>(
  options: ServerOptions<RA, RE, RR> & Http.Options
) => Layer.Layer<
  McpServer.McpServer,
  RE,
  Store | HttpRouter.HttpRouter | Services<RR> | HttpRouter.Request.From<"Requires", Requests<RR, Provided>>
> = (options: ServerOptions<any, any, any> & Http.Options): Layer.Layer<McpServer.McpServer, any, any> =>
  endStreams.pipe(
    Layer.provide(Layer.fresh(Driver.layer)),
    Layer.provide(Http.layer(options)),
    Layer.provide(orElse(Shutdown.Shutdown, Shutdown.layer)),
    Layer.provide(core(options)),
    Layer.provideMerge(Layer.fresh(McpServer.McpServer.layer))
  )

/**
 * The server without a transport: runs what other processes take from clients.
 *
 * **When to use**
 *
 * In a process that hosts handlers for fronts (`RebootApplication.run`). The
 * fronts serve the same registrations with `layerHttp`, over the same store.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHost: <RA = never, RE = never, RR = never>(
  options: ServerOptions<RA, RE, RR>
) => Layer.Layer<
  McpServer.McpServer,
  RE,
  Store | Services<RR> | Requests<RR, Provided>
> = (options: ServerOptions<any, any, any>): Layer.Layer<McpServer.McpServer, any, any> =>
  Layer.fresh(Driver.layer).pipe(
    Layer.provide(core(options)),
    Layer.provideMerge(Layer.fresh(McpServer.McpServer.layer))
  )

/**
 * Ends a question that `Durable.elicitUrl` asked: what the user was sent to do
 * is done. Unknown and finished ids are ignored. Returns when that is stored: waits
 * for a disk that fails, and dies when this process has lost the store.
 *
 * @category combinators
 * @since 0.1.0
 */
export const completeElicitation = (elicitationId: string): Effect.Effect<void, never, McpServer.McpServer> =>
  // The question knows whom it asked, so the client that the registry wants to hear of does not matter.
  McpServer.McpServer.use((server) => server.notifyElicitationComplete({ clientId: 0, elicitationId }))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/**
 * Everything below a transport. Fresh, because layers are built once for all
 * who name them: a second server in the same program has a store and handlers
 * of its own.
 */
const core = (options: ServerOptions<any, any, any>) =>
  Layer.fresh(SessionEra.layer).pipe(
    Layer.provideMerge(Layer.fresh(Engine.layer)),
    Layer.provide(Layer.succeed(EngineLimits.ServerVersion)(options.version)),
    Layer.provideMerge([Layer.fresh(StockDispatch.layer), Layer.fresh(StockWire.layer)]),
    Layer.provideMerge(Stock.layer(options)),
    Layer.provideMerge(Layer.fresh(EventLog.layer)),
    Layer.provideMerge(Layer.fresh(Outbox.layer)),
    Layer.provideMerge(Layer.fresh(Sessions.layer)),
    Layer.provideMerge(orElse(Ids.Ids, Layer.orDie(Ids.layer))),
    // The registry is complete before anything looks into it.
    Layer.provide(options.registrations ?? Layer.empty)
  )

/** Built last, so the first to end. */
const endStreams = Layer.effectDiscard(Shutdown.Shutdown.use((shutdown) => Effect.addFinalizer(() => shutdown.begin)))

/** The service that is there already, as tests give one, or else a new one. */
const orElse = <I, S, E, R>(service: Context.Key<I, S>, layer: Layer.Layer<I, E, R>): Layer.Layer<I, E, R> =>
  Layer.unwrap(Effect.map(
    Effect.serviceOption(service),
    Option.match({ onNone: () => Layer.fresh(layer), onSome: (found) => Layer.succeed(service)(found) })
  ))
