/**
 * `Dispatch` over the stock registry: a request becomes an answer in the form
 * of its version.
 *
 * @since 0.1.0
 */
import * as McpSchema from "effect/ai/McpSchema"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { Dispatch, type Request } from "../engine/Dispatch.ts"
import * as Failures from "../engine/Failures.ts"
import * as JsonRpc from "../session/JsonRpc.ts"
import { type Client, makeClients } from "./internal/client.ts"
import { Stock, type Version } from "./stock.ts"

/**
 * Runs stock handlers.
 *
 * **Details**
 *
 * Handlers and middleware see the client as it was stored with the call: the
 * same capabilities and request headers in a replay. Answers are those of the
 * stock server, except that
 *
 * - an unknown resource is named in the error's `data` (S-RS3),
 * - a cursor is refused, because no list ever gives one (S-PN1).
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Dispatch, never, Stock> = Layer.effect(Dispatch)(Effect.gen(function*() {
  const stock = yield* Stock
  const clientOf = makeClients(stock)
  return Dispatch.of({
    dispatch: (request) =>
      Effect.suspend(() => {
        const version = stock.at(request.version)
        if (request.method === "ping") {
          return Effect.succeed({ result: {} })
        }
        if (version.kind(request.method) !== "Request") {
          return Effect.succeed({ error: methodNotFound(request.method) })
        }
        return Effect.matchEffect(version.decode(request.method, request.params), {
          onFailure: (error) => Effect.succeed<JsonRpc.Answer>({ error }),
          onSuccess: (payload) =>
            hasCursor(payload)
              ? Effect.succeed<JsonRpc.Answer>({ error: invalidCursor })
              : Effect.flatMap(
                clientOf(request.version, request.profile),
                (client) => answer(version, request, payload, client)
              )
        })
      })
  })
}))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const answer = (
  version: Version,
  request: Request,
  payload: unknown,
  client: Client
): Effect.Effect<JsonRpc.Answer> => {
  const invocation = client.invocation(payload)
  const handled = request.method === "tools/call"
    ? version.callTool(payload, invocation)
    : Effect.provideService(
      version.invoke(request.method, payload),
      McpSchema.McpServerClient,
      invocation.serverClient
    )
  return Effect.matchCauseEffect(withTransport(handled, client.httpRequest), {
    onFailure: (cause) =>
      Effect.andThen(
        Failures.report(cause),
        Effect.map(errorOf(version, request, cause), (error): JsonRpc.Answer => ({ error }))
      ),
    onSuccess: (result) => Effect.succeed<JsonRpc.Answer>({ result })
  })
}

/** What a transport gives every handler: the HTTP request, and a scope where the caller has none. */
const withTransport = <A, E>(
  effect: Effect.Effect<A, E>,
  httpRequest: HttpServerRequest.HttpServerRequest
): Effect.Effect<A, E> =>
  Effect.withFiber((fiber) => {
    const provided = Effect.provideService(effect, HttpServerRequest.HttpServerRequest, httpRequest)
    return Context.getOrUndefined(fiber.context, Scope.Scope) === undefined ? Effect.scoped(provided) : provided
  })

/** A handler that only interrupts itself has an answer too: that it went wrong. */
const errorOf = (
  version: Version,
  request: Request,
  cause: Cause.Cause<unknown>
): Effect.Effect<JsonRpc.ErrorObject> => {
  const failure = Cause.findFail(cause)
  return Result.isFailure(failure)
    ? Effect.as(Effect.logError("Handler failed without an answer", cause), internalError)
    : Effect.map(version.encodeError(request.method, failure.success.error), (error) => named(request, error))
}

const resourceNotFound = -32002

/** Says which resource was not found (S-RS3). */
const named = (request: Request, error: JsonRpc.ErrorObject): JsonRpc.ErrorObject =>
  error.code === resourceNotFound && error.data === undefined && typeof request.params.uri === "string"
    ? { ...error, data: { uri: request.params.uri } }
    : error

const hasCursor = (payload: unknown): boolean => Predicate.isReadonlyObject(payload) && payload.cursor !== undefined

const methodNotFound = (method: string): JsonRpc.ErrorObject => ({
  code: JsonRpc.ErrorCode.MethodNotFound,
  message: `Method not found: ${method}`
})

const invalidCursor: JsonRpc.ErrorObject = { code: JsonRpc.ErrorCode.InvalidParams, message: "Invalid cursor" }

const internalError: JsonRpc.ErrorObject = { code: JsonRpc.ErrorCode.InternalError, message: "Internal error" }
