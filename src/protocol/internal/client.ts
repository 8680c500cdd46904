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

/** A client as its `initialize` described it; the same for all of its requests. */
export interface Client {
  readonly initializePayload: typeof McpSchema.Initialize.payloadSchema.Type
  readonly protocol: Invocation["protocol"]
  readonly httpRequest: HttpServerRequest.HttpServerRequest
  /** What one request is called with. */
  readonly invocation: (payload: unknown) => Required<Invocation>
}

/**
 * Clients by the profile that a session gives to its requests, as long as
 * someone holds that profile.
 *
 * @internal
 */
export const makeClients = (stock: Stock["Service"]) => {
  const known = new WeakMap<RequestProfile, Client>()
  return (version: string, profile: RequestProfile): Effect.Effect<Client> =>
    Effect.suspend(() => {
      const client = known.get(profile)
      if (client !== undefined && client.initializePayload.protocolVersion === version) {
        return Effect.succeed(client)
      }
      return Effect.map(make(stock, version, profile), (client) => {
        known.set(profile, client)
        return client
      })
    })
}

const make = Effect.fnUntraced(function*(stock: Stock["Service"], version: string, profile: RequestProfile) {
  const initializePayload = (yield* Effect.orDie(stock.at(version).decode("initialize", {
    protocolVersion: version,
    capabilities: profile.clientCapabilities,
    clientInfo: profile.clientInfo ?? anonymous,
    ...(profile.initializeMeta === undefined ? {} : { _meta: profile.initializeMeta })
  }))) as Client["initializePayload"]
  return clientOf(version as SessionVersion, initializePayload, httpRequestOf(version, profile))
})

type SessionVersion = McpSchema.McpServerClient["Service"]["protocolVersion"]

const clientOf = (
  protocolVersion: SessionVersion,
  initializePayload: Client["initializePayload"],
  httpRequest: HttpServerRequest.HttpServerRequest
): Client => {
  const clientCapabilities = McpSchema.ClientCapabilities.make(initializePayload.capabilities)
  const clientInfo = McpSchema.Implementation.make(initializePayload.clientInfo)
  const getClient = Effect.succeed(ReverseClient.make(protocolVersion))
  // Our clients have no numbers. Stock handlers only ever hand this one back.
  const clientId = 0
  const protocol = { protocolVersion, clientCapabilities, clientInfo, requestMetadata: initializePayload._meta }
  return {
    initializePayload,
    protocol,
    httpRequest,
    invocation: (payload) => {
      const requestMetadata = metadataOf(payload)
      return {
        clientId,
        protocol,
        requestContext: { clientId, protocolVersion, clientCapabilities, clientInfo, requestMetadata },
        serverClient: {
          clientId,
          protocolVersion,
          clientCapabilities,
          clientInfo,
          initializePayload,
          requestMetadata,
          getClient
        }
      }
    }
  }
}

const anonymous = { name: "unknown", version: "unknown" }

const metadataOf = (payload: unknown): Readonly<Record<string, unknown>> | undefined =>
  Predicate.isReadonlyObject(payload) && Predicate.isReadonlyObject(payload._meta)
    ? payload._meta as Readonly<Record<string, unknown>>
    : undefined

/** The request that middleware sees, live or in a replay: its stored headers, and no body. */
const httpRequestOf = (version: string, profile: RequestProfile): HttpServerRequest.HttpServerRequest =>
  HttpServerRequest.fromWeb(new Request("http://localhost/", { method: "POST" })).modify({
    headers: Headers.fromInput({
      ...profile.headers,
      "mcp-protocol-version": version,
      ...(profile.session === undefined ? {} : { "mcp-session-id": profile.session })
    })
  })
