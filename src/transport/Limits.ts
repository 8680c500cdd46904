/**
 * What a transport takes from a peer before anything is known of it. The limits
 * of sessions, calls and stored payloads belong to the layers below.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * Largest request body in bytes; a larger one is answered with 413. Default
 * 4 MiB, which is also the default limit of a stored payload.
 *
 * @category configuration
 * @since 0.1.0
 */
export const MaxBodyBytes: Context.Reference<number> = Context.Reference<number>(
  "effect-durable-mcp/transport/Limits/MaxBodyBytes",
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
  "effect-durable-mcp/transport/Limits/MaxBodyDepth",
  { defaultValue: () => 128 }
)
