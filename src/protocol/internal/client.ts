/**
 * The client of a request, in the services that stock handlers and middleware
 * read. It comes from what was stored with the call, so a replay sees the same.
 *
 * @internal
 */
import * as McpSchema from "effect/ai/McpSchema"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import type { RequestProfile } from "../../engine/Dispatch.ts"
import type { Stock } from "../stock.ts"
import * as ReverseClient from "./reverseClient.ts"
import type { Invocation } from "./shapes.ts"

/** A client as its `initialize` described it. */
export interface Client {
  /** What version and capabilities allow. */
  readonly protocol: Invocation["protocol"]
  /** No body: the message has been read. */
  readonly httpRequest: HttpServerRequest.HttpServerRequest
  /** What a handler is called with, for one request. */
  readonly invocation: (payload: unknown) => Required<Invocation>
}

/**
 * Clients by the profile that a session gives to its requests, as long as
 * someone holds that profile.
 *
 * @internal
 */
export const makeClients = (
  stock: Stock["Service"]
): (version: string, profile: RequestProfile) => Effect.Effect<Client> => {
  const known = new WeakMap<RequestProfile, Client>()
  const blank = HttpServerRequest.fromWeb(emptyPost as unknown as Request)

  const make = Effect.fnUntraced(function*(version: string, profile: RequestProfile) {
    const payload = yield* Effect.orDie(
      stock.at(version).decode("initialize", {
        protocolVersion: version,
        capabilities: profile.clientCapabilities,
        clientInfo: profile.clientInfo ?? anonymous,
        ...(profile.initializeMeta === undefined ? {} : { _meta: profile.initializeMeta })
      })
    )
    const httpRequest = blank.modify({ headers: headersOf(version, profile) })
    const client = clientOf(version as SessionVersion, payload as InitializePayload, httpRequest)
    known.set(profile, client)
    return client
  })

  return (version, profile) =>
    Effect.suspend(() => {
      const client = known.get(profile)
      return client !== undefined && client.protocol.protocolVersion === version
        ? Effect.succeed(client)
        : make(version, profile)
    })
}

/** A request whose body has been read. A real `Request` loads undici, which delays a start by 50 ms. */
const emptyPost: Pick<Request, "method" | "url" | "body" | "arrayBuffer"> = {
  method: "POST",
  url: "http://localhost/",
  body: null,
  arrayBuffer: () => Promise.resolve(new ArrayBuffer(0))
}

type InitializePayload = typeof McpSchema.Initialize.payloadSchema.Type

type SessionVersion = McpSchema.McpServerClient["Service"]["protocolVersion"]

const clientOf = (
  protocolVersion: SessionVersion,
  initializePayload: InitializePayload,
  httpRequest: HttpServerRequest.HttpServerRequest
): Client => {
  const clientCapabilities = McpSchema.ClientCapabilities.make(initializePayload.capabilities)
  const clientInfo = McpSchema.Implementation.make(initializePayload.clientInfo)
  const getClient = Effect.succeed(ReverseClient.make(protocolVersion))
  // Our clients have no numbers; stock handlers only ever hand this one back.
  const clientId = 0
  const protocol = { protocolVersion, clientCapabilities, clientInfo, requestMetadata: initializePayload._meta }
  return {
    protocol,
    httpRequest,
    invocation: (payload) => {
      const requestMetadata = metadataOf(payload)
      const requestContext = { clientId, protocolVersion, clientCapabilities, clientInfo, requestMetadata }
      return {
        clientId,
        protocol,
        requestContext,
        serverClient: { ...requestContext, initializePayload, getClient }
      }
    }
  }
}

const anonymous = { name: "unknown", version: "unknown" }

const metadataOf = (payload: unknown): Readonly<Record<string, unknown>> | undefined =>
  Predicate.isReadonlyObject(payload) && Predicate.isReadonlyObject(payload._meta)
    ? payload._meta as Readonly<Record<string, unknown>>
    : undefined

/** What middleware sees of the HTTP request, live or in a replay: its stored headers. */
const headersOf = (version: string, profile: RequestProfile): Headers.Headers =>
  Headers.fromInput({
    ...profile.headers,
    "mcp-protocol-version": version,
    ...(profile.session === undefined ? {} : { "mcp-session-id": profile.session })
  })
