/**
 * Sessions (S-S1 to S-S9): minted, restored from the store on first use, 404
 * for ever once ended.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { StoreError } from "../store/StoreError.ts"

/**
 * The principal of a server without authentication.
 *
 * @category constants
 * @since 0.1.0
 */
export const anonymous = "anonymous"

/**
 * What `initialize` settled; it holds for the session's life (S-L4).
 *
 * @category models
 * @since 0.1.0
 */
export interface Negotiated {
  /** Protocol version. */
  readonly version: string
  /** MCP `ClientCapabilities` as declared. */
  readonly clientCapabilities: Readonly<Record<string, Schema.Json>>
  /** MCP `Implementation` of the client. */
  readonly clientInfo?: Readonly<Record<string, Schema.Json>> | undefined
  /** The `_meta` of the `initialize` request. */
  readonly initializeMeta?: Readonly<Record<string, Schema.Json>> | undefined
  /** MCP `ServerCapabilities` as shown to this client. */
  readonly serverCapabilities: Readonly<Record<string, Schema.Json>>
  /** Digest by list name of what the server had to offer. */
  readonly lists: Readonly<Record<string, string>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Session {
  readonly id: string
  readonly principal: string
  readonly negotiated: Negotiated
}

/**
 * The principal has too many open sessions; see `Limits.OpenSessions`.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManySessions
  extends Schema.TaggedError<TooManySessions>("effect-durable-mcp/session/TooManySessions")("TooManySessions", {
    limit: Schema.Number
  })
{}

/**
 * @category services
 * @since 0.1.0
 */
export class Sessions extends Context.Service<Sessions, {
  /** Durable when it returns: only then may the id leave (S-S1). */
  readonly open: (options: {
    readonly principal: string
    readonly negotiated: Negotiated
  }) => Effect.Effect<Session, TooManySessions | StoreError>
  /**
   * The session under an id that came from outside. `undefined` for an unknown
   * or ended one and for another principal's, which nobody can tell apart
   * (S-S5, S-S6, S-S9). Counts as a use.
   */
  readonly find: (id: string, principal: string) => Effect.Effect<Session | undefined, StoreError>
  /** A fact as it stands, JSON text; see `Facts`. `undefined` also for an ended session. Costs no read while the session is in use. */
  readonly fact: (id: string, name: string) => Effect.Effect<string | undefined, StoreError>
  /**
   * Replaces a fact by what `f` makes of it, one update of a session at a time.
   * Durable when it returns. `undefined` leaves it. False when the session has
   * ended.
   */
  readonly update: (
    id: string,
    name: string,
    f: (value: string | undefined) => string | undefined
  ) => Effect.Effect<boolean, StoreError>
  /** Waits until the client has sent `notifications/initialized` (S-L5); never returns when the session ends before. */
  readonly initialized: (id: string) => Effect.Effect<void, StoreError>
  /** For ever. False when it had ended before. */
  readonly end: (id: string) => Effect.Effect<boolean, StoreError>
}>()("effect-durable-mcp/session/Sessions") {}
