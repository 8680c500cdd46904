/**
 * The protocol versions with sessions: 2025-03-26, 2025-06-18, 2025-11-25.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { StoreError } from "../store/StoreError.ts"
import type { Reply } from "./Reply.ts"

/**
 * An admitted HTTP request (or its like): transports check origin, media types,
 * size and syntax before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Incoming {
  readonly principal: string
  /** All headers, lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * @category services
 * @since 0.1.0
 */
export class SessionEra extends Context.Service<SessionEra, {
  /** `body` is parsed JSON of any shape. */
  readonly post: (incoming: Incoming, body: unknown) => Effect.Effect<Reply, StoreError>
  readonly get: (incoming: Incoming) => Effect.Effect<Reply, StoreError>
  readonly delete: (incoming: Incoming) => Effect.Effect<Reply, StoreError>
}>()("effect-durable-mcp/protocol/SessionEra") {}
