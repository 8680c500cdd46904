/**
 * What a store lets wait, and how fast its driver goes. Each is a
 * `Context.Reference`, read when the store is built or driven; replace one with
 * `Layer.succeed(Limits.StartsPerTurn, 16)`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/**
 * Writes that may be pending before `Store.submit` waits. Default 1,000 writes
 * or 1 MiB (counted in UTF-16 units).
 *
 * @category configuration
 * @since 0.1.0
 */
export const SubmitBacklog: Context.Reference<{ readonly writes: number; readonly size: number }> = Context.Reference(
  "effect-durable-mcp/store/SubmitBacklog",
  { defaultValue: () => ({ writes: 1_000, size: 1024 * 1024 }) }
)

/**
 * How long the store waits before it tries again what failed: a run that ended
 * without a result, a write of its own. Doubles from `initial` to `maximum`.
 * Default 100 ms to 30 s.
 *
 * @category configuration
 * @since 0.1.0
 */
export const Backoff: Context.Reference<{ readonly initial: Duration.Input; readonly maximum: Duration.Input }> =
  Context.Reference<{ readonly initial: Duration.Input; readonly maximum: Duration.Input }>(
    "effect-durable-mcp/store/Backoff",
    { defaultValue: () => ({ initial: "100 millis", maximum: "30 seconds" }) }
  )

/**
 * Runs that the driver starts in one turn of the event loop when it comes up, so
 * that a long list of cut-off executions does not hold up new requests.
 * Default 64.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StartsPerTurn: Context.Reference<number> = Context.Reference("effect-durable-mcp/store/StartsPerTurn", {
  defaultValue: () => 64
})

/**
 * Newest events that the store keeps in memory, so that a follower reads what
 * was just stored without a query; over all streams, in UTF-16 units. Default
 * 2 MiB.
 *
 * @category configuration
 * @since 0.1.0
 */
export const EventsInMemory: Context.Reference<number> = Context.Reference("effect-durable-mcp/store/EventsInMemory", {
  defaultValue: () => 2 * 1024 * 1024
})
