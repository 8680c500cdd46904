/**
 * The word that the server is going down, given while it still serves.
 *
 * An open event stream never ends by itself, and an HTTP server that closes
 * waits for its requests. So whoever closes the server says so first: streams
 * end (a client resumes them at the next process), and new requests get 503.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"

/**
 * @category services
 * @since 0.1.0
 */
export class Shutdown extends Context.Service<Shutdown, {
  /** Idempotent. */
  readonly begin: Effect.Effect<void>
  /** Returns when the shutdown has begun. */
  readonly begun: Effect.Effect<void>
  readonly hasBegun: () => boolean
}>()("effect-durable-mcp/transport/Shutdown") {}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Shutdown["Service"]> = Effect.sync(() => {
  const latch = Latch.makeUnsafe(false)
  return {
    begin: Effect.asVoid(latch.open),
    begun: latch.await,
    hasBegun: () => latch.isOpen()
  }
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Shutdown> = Layer.effect(Shutdown)(make)
