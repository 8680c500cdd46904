/**
 * What a transport takes from a peer, and how it keeps a connection. Each is a
 * `Context.Reference`, read when the transport's layer is built; replace one
 * with `Layer.succeed(Limits.MaxBodyBytes, 1024 * 1024)`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/**
 * Largest request body in bytes; a larger one is answered with 413. Default
 * 4 MiB, which is also the default limit of a stored payload.
 *
 * @category configuration
 * @since 0.1.0
 */
export const MaxBodyBytes: Context.Reference<number> = Context.Reference<number>(
  "effect-durable-mcp/transport/MaxBodyBytes",
  { defaultValue: () => 4 * 1024 * 1024 }
)

/**
 * How deep arrays and objects of a request body may be nested; a deeper one is
 * answered with 400. Default 128: what recurses over a message (schemas,
 * `JSON.stringify`) stays far from the end of the call stack.
 *
 * @category configuration
 * @since 0.1.0
 */
export const MaxBodyDepth: Context.Reference<number> = Context.Reference<number>(
  "effect-durable-mcp/transport/MaxBodyDepth",
  { defaultValue: () => 128 }
)

/**
 * How long a response may be silent before it gets a comment, so that proxies
 * and clients keep it open (S-R10, S-I2). Default 15 seconds.
 *
 * @category configuration
 * @since 0.1.0
 */
export const KeepAlive: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/transport/KeepAlive",
  { defaultValue: () => "15 seconds" }
)

/**
 * How often the response of a call with a progress token gets a progress
 * notification of our own while its handler reports none. Default 15 seconds.
 *
 * **Details**
 *
 * Clients give up on a call that makes no progress, and say so by cancelling
 * it: the official SDK after 60 seconds. A heartbeat is the handler's last
 * value plus a fraction below 10⁻⁶ that grows with time, so progress keeps
 * increasing (S-G2). It is written to a connected client only, has no event id
 * and is not stored.
 *
 * @category configuration
 * @since 0.1.0
 */
export const HeartbeatInterval: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/transport/HeartbeatInterval",
  { defaultValue: () => "15 seconds" }
)

/**
 * What clients are told to wait before they resume a broken stream (S-R3).
 * Default 1 second.
 *
 * @category configuration
 * @since 0.1.0
 */
export const RetryAfter: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/transport/RetryAfter",
  { defaultValue: () => "1 second" }
)
