/**
 * The adapter's own client for requests to the peer, cut in two: once it is
 * asked for the wire form of a request, and once for the meaning of an answer.
 * Between the two may lie days and a restart.
 *
 * @internal
 */
import type * as McpProtocol from "effect/ai/McpProtocol"
import type * as McpSchema from "effect/ai/McpSchema"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcClientError from "effect/rpc/RpcClientError"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import type * as Schema from "effect/Schema"
import type * as JsonRpc from "../../session/JsonRpc.ts"
import type { Invocation } from "./shapes.ts"

/** A request in the form of a version. */
export interface Sent {
  readonly method: string
  readonly params: JsonRpc.Params | undefined
}

type Profile = Invocation["protocol"]

/** One use of the client. */
export type Use<A> = (client: McpSchema.McpReverseClient) => Effect.Effect<A, unknown>

/** The request that `use` sends, or `undefined` when version or capabilities forbid it. */
export const request = <A>(
  adapter: McpProtocol.ProtocolAdapter,
  profile: Profile,
  use: Use<A>
): Effect.Effect<Sent | undefined> =>
  Effect.suspend(() => {
    let sent: Sent | undefined
    return withClient(adapter, profile, use, (message) => {
      sent = message
      return undefined
    }).pipe(Effect.map(() => sent))
  })

/** What `use` makes of a result, or a failure when it is none of its method. */
export const result = <A>(
  adapter: McpProtocol.ProtocolAdapter,
  profile: Profile,
  use: Use<A>,
  result: Schema.Json
): Effect.Effect<Exit.Exit<A, unknown>> => withClient(adapter, profile, use, () => ({ result }))

const withClient = <A>(
  adapter: McpProtocol.ProtocolAdapter,
  profile: Profile,
  use: Use<A>,
  peer: (message: Sent) => { readonly result: Schema.Json } | undefined
): Effect.Effect<Exit.Exit<A, unknown>> =>
  RpcClient.Protocol.make((write) =>
    Effect.succeed({
      send: (clientId, message) => {
        if (message._tag !== "Request") {
          return Effect.void
        }
        // JSON has no undefined: a request without params has the payload null.
        const reply = peer({ method: message.tag, params: (message.payload ?? undefined) as Sent["params"] })
        return reply === undefined
          ? Effect.fail(unanswered)
          : write(clientId, {
            _tag: "Exit",
            requestId: message.id,
            exit: { _tag: "Success", value: reply.result }
          })
      },
      supportsAck: false,
      supportsTransferables: false,
      codecFor: RpcSerialization.jsonRpc().codecFor
    })
  ).pipe(
    Effect.flatMap((protocol) =>
      Effect.provideService(adapter.makeReverseClient(profile), RpcClient.Protocol, protocol)
    ),
    Effect.flatMap(use),
    Effect.scoped,
    Effect.exit
  )

/** Ends the exchange as soon as the request is known. */
const unanswered = new RpcClientError.RpcClientError({
  reason: new RpcClientError.RpcClientDefect({ message: "Not sent", cause: undefined })
})
