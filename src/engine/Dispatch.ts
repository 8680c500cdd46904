/**
 * What the engine needs to know of the handlers: how to run one.
 *
 * Declared here, provided by `protocol` (the layer above), so that the engine
 * knows nothing of versions and registries.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as JsonRpc from "../session/JsonRpc.ts"

/**
 * Who asks, as far as it may be stored with a call: never a bearer token.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestProfile {
  /** The session era's session; absent in other eras. */
  readonly session?: string | undefined
  readonly principal: string
  /** MCP `ClientCapabilities` as the client declared them. */
  readonly clientCapabilities: Readonly<Record<string, Schema.Json>>
  /** MCP `Implementation` of the client. */
  readonly clientInfo?: Readonly<Record<string, Schema.Json>> | undefined
  /** The `_meta` of the `initialize` request, where there was one. */
  readonly initializeMeta?: Readonly<Record<string, Schema.Json>> | undefined
  /** Whitelisted request headers, lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * One request to a handler. JSON throughout: this is what is stored as the
 * payload of an execution.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  /** Protocol version in whose shape it is answered. */
  readonly version: string
  readonly method: string
  readonly params: JsonRpc.Params
  readonly requestId: JsonRpc.Id
  readonly profile: RequestProfile
  /**
   * Whether the server can ask the client anything during this call (a call in
   * a batch has no stream for it, S-B3). Default true.
   */
  readonly canAsk?: boolean | undefined
}

/**
 * @category services
 * @since 0.1.0
 */
export class Dispatch extends Context.Service<Dispatch, {
  /**
   * Runs the handler on the calling fiber, so that suspension, interruption and
   * context reach it. Every failure is an `error` answer; only interruption
   * leaves as a cause. Needs what the engine provides to the fiber: the run,
   * the workflow engine and instance, a scope.
   */
  readonly dispatch: (request: Request) => Effect.Effect<JsonRpc.Answer>
}>()("effect-durable-mcp/engine/Dispatch") {}
