/**
 * A Node HTTP server for those who have none of their own.
 *
 * It knows what an open event stream means for a server that starts and stops:
 * it listens only when the application is built, so that a client which comes
 * back early is refused rather than left hanging; and it says that it goes
 * down before it waits for its requests.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import { createServer, type Server } from "node:http"
import * as Shutdown from "./Shutdown.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** 0 for any free one; see `HttpServer.HttpServer` for the address. */
  readonly port: number
  /** Default 127.0.0.1: reachable from this machine only (S-P3). */
  readonly host?: string | undefined
  /** How long a client may take to send a request whole; then 408 or a closed connection. Default 30 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
  /** How long the requests under way may take when the server closes. Default 1 second; calls are not requests, they go on. */
  readonly gracefulShutdownTimeout?: Duration.Input | undefined
  /** Default false: the address is logged, as by `HttpRouter.serve`. */
  readonly disableListenLog?: boolean | undefined
}

/**
 * Serves the routes of a layer, and gives the layer what it needs for that.
 *
 * **Details**
 *
 * At the end of its scope it first begins the `Shutdown`, which ends event
 * streams and refuses new requests with 503; then it closes the server, and
 * with it each connection as soon as it is idle. Then the layer ends.
 *
 * @category layers
 * @since 0.1.0
 */
export const serve: (options: Options) => <A, E, R>(app: Layer.Layer<A, E, R>) => Layer.Layer<
  A | HttpServer.HttpServer,
  E | ServeError,
  Exclude<
    | HttpRouter.Request.Without<R>
    | Exclude<
      HttpRouter.Request.Only<"Requires", R> | HttpRouter.Request.Only<"GlobalRequires", R>,
      HttpRouter.GlobalProvided
    >,
    HttpRouter.HttpRouter | Shutdown.Shutdown
  >
> = (options) => (app: Layer.Layer<any, any, any>) =>
  serveRouter(options).pipe(
    Layer.provideMerge(app),
    Layer.provide([Layer.fresh(HttpRouter.layer), Layer.fresh(Shutdown.layer)])
  )

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const serveRouter = (options: Options) =>
  Layer.effect(HttpServer.HttpServer)(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const shutdown = yield* Shutdown.Shutdown
    const requestTimeout = Duration.toMillis(options.requestTimeout ?? "30 seconds")
    const gracefulShutdownTimeout = Duration.toMillis(options.gracefulShutdownTimeout ?? "1 second")
    const server = createServer({ requestTimeout, connectionsCheckingInterval: Math.min(requestTimeout, 5_000) })
    const http = yield* NodeHttpServer.make(() => server, {
      port: options.port,
      host: options.host ?? "127.0.0.1",
      gracefulShutdownTimeout
    })
    yield* http.serve(router.asHttpEffect())
    if (options.disableListenLog !== true) {
      yield* Effect.provideService(HttpServer.logAddress, HttpServer.HttpServer, http)
    }
    yield* Effect.addFinalizer(() =>
      Effect.andThen(shutdown.begin, Effect.sync(() => closeWhenIdle(server, gracefulShutdownTimeout)))
    )
    return http
  }))

/**
 * `server.close` waits for connections that their client keeps alive, and asks
 * only those to go that are idle at that moment. This asks until all are gone,
 * and cuts what is left half a second after the requests had to end.
 */
const closeWhenIdle = (server: Server, gracefulShutdownTimeout: number): void => {
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const cut = setTimeout(() => server.closeAllConnections(), gracefulShutdownTimeout + 500)
  server.once("close", () => {
    clearInterval(idle)
    clearTimeout(cut)
  })
}
