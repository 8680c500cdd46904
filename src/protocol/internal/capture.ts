/**
 * Takes hold of the registry behind the `McpServer` service.
 *
 * The stock server hands its core to each protocol adapter when it starts. So
 * it is started with an adapter that only listens, over a transport that never
 * says anything, and stopped as soon as it has spoken.
 *
 * @internal
 */
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpServer from "effect/ai/McpServer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import { checkCore, type Core, UnsupportedEffect } from "./shapes.ts"

/** A transport without clients. */
const silence = Effect.map(Queue.make<number>(), (disconnects) =>
  RpcServer.Protocol.of({
    run: () => Effect.never,
    disconnects,
    send: () => Effect.void,
    end: () => Effect.void,
    clientIds: Effect.succeed(new Set()),
    initialMessage: Effect.succeed(Option.none()),
    supportsAck: false,
    supportsTransferables: false,
    supportsSpanPropagation: false,
    supportsNotifications: true,
    codecFor: RpcSerialization.jsonRpc().codecFor
  }))

/** @internal */
export const capture: Effect.Effect<Core, never, McpServer.McpServer> = Effect.gen(function*() {
  const spoken = yield* Deferred.make<unknown>()
  const listener: McpProtocol.ProtocolAdapter = {
    ...McpProtocol.v2025_11_25,
    installHandlers: (core: unknown) => Effect.andThen(Deferred.succeed(spoken, core), Effect.never)
  }
  const core = yield* McpServer.run({ name: "capture", version: "0", protocols: [listener] }).pipe(
    Effect.provideServiceEffect(RpcServer.Protocol, silence),
    Effect.raceFirst(Deferred.await(spoken)),
    Effect.timeout("10 seconds"),
    Effect.catchCause((cause) =>
      Effect.die(UnsupportedEffect.of("its MCP server does not hand its registry to an adapter", cause))
    )
  )
  return checkCore(core)
})
