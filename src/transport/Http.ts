/**
 * Streamable HTTP: one path, POST, GET and DELETE (S-P1).
 *
 * Admits a request by its headers, size and syntax in the order of
 * mcp-requirements 1.2, hands it to the protocol, and gives the reply its
 * bytes. What is refused here gets a JSON-RPC error without an id, since nobody
 * has read one yet, and never a stack trace.
 *
 * @since 0.1.0
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import type { Wire } from "../engine/Wire.ts"
import type { Reply } from "../protocol/Reply.ts"
import { type Incoming, SessionEra } from "../protocol/SessionEra.ts"
import type { EventLog } from "../session/EventLog.ts"
import * as JsonRpc from "../session/JsonRpc.ts"
import * as Sessions from "../session/Sessions.ts"
import type { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Admission from "./internal/admission.ts"
import * as Limits from "./Limits.ts"
import * as Shutdown from "./Shutdown.ts"
import * as Sse from "./Sse.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly path: HttpRouter.PathInput
  /** Origins (`https://app.example`) whose pages may call. Default: those of loopback hosts. */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** Names, without ports, by which this server may be called. Default: loopback hosts. */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

/**
 * Adds the endpoint to the router.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<
  never,
  never,
  HttpRouter.HttpRouter | SessionEra | EventLog | Store | Wire | Shutdown.Shutdown
> =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const era = yield* SessionEra
    const shutdown = yield* Shutdown.Shutdown
    const stream = yield* Sse.make
    const maxBodyBytes = yield* Limits.MaxBodyBytes
    const maxBodyDepth = yield* Limits.MaxBodyDepth
    const maxBodySize = ByteSize.bytes(maxBodyBytes)
    const allowsOrigin = Admission.originPolicy(options.allowedOrigins)
    const allowsHost = Admission.hostPolicy(options.allowedHosts)

    const admit = (request: HttpServerRequest.HttpServerRequest): HttpServerResponse.HttpServerResponse | undefined => {
      const { headers, method } = request
      if (!allowsOrigin(headers["origin"])) return refused.origin
      if (!allowsHost(headers["host"])) return refused.host
      if (shutdown.hasBegun()) return refused.stopping
      switch (method) {
        case "POST": {
          if (!Admission.isJson(headers["content-type"])) return refused.contentType
          if (!Admission.isIdentity(headers["content-encoding"])) return refused.contentEncoding
          const { accept } = headers
          return Admission.accepts(accept, "application/json") && Admission.accepts(accept, "text/event-stream")
            ? undefined
            : refused.acceptPost
        }
        case "GET":
          return Admission.accepts(headers["accept"], "text/event-stream") ? undefined : refused.acceptGet
        case "DELETE":
          return undefined
        default:
          return refused.method
      }
    }

    const respond = (reply: Reply): Effect.Effect<HttpServerResponse.HttpServerResponse, StoreError> => {
      switch (reply._tag) {
        case "Acknowledged":
          return accepted
        case "Json":
          return Effect.succeed(json(reply.status, reply.body, reply.headers))
        case "Refused":
          return Effect.succeed(json(reply.status, JsonRpc.encodeError(reply.error, reply.id), reply.headers))
        case "Empty":
          return Effect.succeed(HttpServerResponse.empty({ status: reply.status }))
        case "Follow":
          return stream(reply)
      }
    }

    const post = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest, incoming: Incoming) {
      const length = request.headers["content-length"]
      if (length !== undefined && Number(length) > maxBodyBytes) return refused.size
      // The limit also holds where a chunked body does not say its size.
      const bytes = yield* Effect.provideService(request.arrayBuffer, HttpServerRequest.MaxBodySize, maxBodySize)
      const text = decode(bytes)
      if (text === undefined) return refused.syntax
      if (Admission.isDeeper(text, maxBodyDepth)) return refused.depth
      const body = parse(text)
      if (body === undefined) return refused.syntax
      return yield* Effect.flatMap(era.post(incoming, body), respond).pipe(
        Effect.catchTag("StoreError", (error) => Effect.succeed(storeFailure(error, idOf(body))))
      )
    })

    yield* router.add("*", options.path, (request) => {
      const refusal = admit(request)
      if (refusal !== undefined) return Effect.succeed(refusal)
      const incoming: Incoming = { principal: Sessions.anonymous, headers: request.headers }
      const response: Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        StoreError | HttpServerError.HttpServerError
      > = request.method === "POST"
        ? post(request, incoming)
        : Effect.flatMap(request.method === "GET" ? era.get(incoming) : era.delete(incoming), respond)
      return response.pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.succeed(storeFailure(error)),
          HttpServerError: (error) => Effect.succeed(bodyFailure(error))
        }),
        Effect.catchDefect((defect) => Effect.as(Effect.logError("Request failed", defect), refused.internal))
      )
    })
  }))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const json = (
  status: number,
  body: string,
  headers?: Readonly<Record<string, string>> | undefined
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(body, { status, headers, contentType: "application/json" })

const refuse = (
  status: number,
  message: string,
  options?: {
    readonly code?: number | undefined
    readonly id?: JsonRpc.Id | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): HttpServerResponse.HttpServerResponse =>
  json(
    status,
    JsonRpc.encodeError({ code: options?.code ?? JsonRpc.ErrorCode.InvalidRequest, message }, options?.id),
    options?.headers
  )

/** Seconds after which a client may try again what failed for a reason of ours. */
const retryAfter = { "retry-after": "1" }

const accepted = Effect.succeed(HttpServerResponse.empty({ status: 202 }))

const refused = {
  origin: refuse(403, "Origin is not allowed"),
  host: refuse(403, "Host is not allowed"),
  method: refuse(405, "Method is not allowed", { headers: { allow: "GET, POST, DELETE" } }),
  contentType: refuse(415, "Content-Type must be application/json in UTF-8"),
  contentEncoding: refuse(415, "Content-Encoding must be absent", { headers: { "accept-encoding": "identity" } }),
  acceptPost: refuse(406, "Accept must list application/json and text/event-stream"),
  acceptGet: refuse(406, "Accept must list text/event-stream"),
  size: refuse(413, "Request body is too large"),
  depth: refuse(400, "Request body is nested too deeply"),
  syntax: refuse(400, "Request body is not JSON in UTF-8", { code: JsonRpc.ErrorCode.ParseError }),
  body: refuse(400, "Request body could not be read"),
  stopping: refuse(503, "Server is shutting down", { code: JsonRpc.ErrorCode.InternalError, headers: retryAfter }),
  internal: refuse(500, "Internal error", { code: JsonRpc.ErrorCode.InternalError })
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

const decode = (bytes: ArrayBuffer): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** `undefined` is no JSON value. */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The id of the request that the body is, if it is one. */
const idOf = (body: unknown): JsonRpc.Id | undefined =>
  typeof body === "object" && body !== null && "method" in body && "id" in body &&
    (typeof body.id === "string" || typeof body.id === "number")
    ? body.id
    : undefined

const storeFailure = (error: StoreError, id?: JsonRpc.Id): HttpServerResponse.HttpServerResponse => {
  switch (error.reason) {
    case "PayloadTooLarge":
      return refuse(413, "Message is too large", { id })
    case "InvalidText":
      return refuse(400, "Message holds an id or a name that cannot be kept", { id })
    default:
      return refuse(503, "Server cannot store anything now", {
        code: JsonRpc.ErrorCode.InternalError,
        id,
        headers: retryAfter
      })
  }
}

const bodyFailure = ({ reason }: HttpServerError.HttpServerError): HttpServerResponse.HttpServerResponse =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge" ? refused.size : refused.body
