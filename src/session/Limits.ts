/**
 * How much of everything a server keeps and for how long. Each limit is a
 * `Context.Reference`, read when a layer is built; replace one with
 * `Layer.succeed(Limits.IdleTimeout, "1 hour")`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/**
 * Open sessions of one principal. Default 10,000. Beyond it `initialize` is
 * refused with status 429.
 *
 * @category configuration
 * @since 0.1.0
 */
export const OpenSessions: Context.Reference<number> = Context.Reference("effect-durable-mcp/session/OpenSessions", {
  defaultValue: () => 10_000
})

/**
 * Size of the params of `initialize`, which are kept with the session, in
 * UTF-16 units of JSON. Default 65,536. Beyond it they are invalid (−32602).
 *
 * @category configuration
 * @since 0.1.0
 */
export const InitializeSize: Context.Reference<number> = Context.Reference(
  "effect-durable-mcp/session/InitializeSize",
  { defaultValue: () => 65_536 }
)

/**
 * A session that nobody used for this long ends (S-S5). Default 24 hours. An
 * open call or an open stream is a use; the end may come up to half as late
 * again.
 *
 * @category configuration
 * @since 0.1.0
 */
export const IdleTimeout: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/session/IdleTimeout",
  { defaultValue: () => "24 hours" }
)

/**
 * A session that nobody used for this long leaves memory; it costs one read
 * when it is used again. Default 1 minute.
 *
 * @category configuration
 * @since 0.1.0
 */
export const CacheTimeout: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/session/CacheTimeout",
  { defaultValue: () => "1 minute" }
)

/**
 * Calls of one session that run at the same time. Default 100; a parked call
 * does not count. Beyond it a new call is refused with status 429.
 *
 * @category configuration
 * @since 0.1.0
 */
export const CallsInFlight: Context.Reference<number> = Context.Reference("effect-durable-mcp/session/CallsInFlight", {
  defaultValue: () => 100
})

/**
 * Resources to which one session is subscribed. Default 1,000.
 *
 * @category configuration
 * @since 0.1.0
 */
export const Subscriptions: Context.Reference<number> = Context.Reference("effect-durable-mcp/session/Subscriptions", {
  defaultValue: () => 1_000
})

/**
 * Messages in one batch (S-B1). Default 100.
 *
 * @category configuration
 * @since 0.1.0
 */
export const BatchSize: Context.Reference<number> = Context.Reference("effect-durable-mcp/session/BatchSize", {
  defaultValue: () => 100
})

/**
 * Standalone streams (GET) of one session that can be resumed; the oldest goes
 * first. Default 16.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StandaloneStreams: Context.Reference<number> = Context.Reference(
  "effect-durable-mcp/session/StandaloneStreams",
  { defaultValue: () => 16 }
)

/**
 * How long the events of a finished call can be replayed (S-R9); after that a
 * repeat of its request is refused. Default 1 hour.
 *
 * @category configuration
 * @since 0.1.0
 */
export const CallRetention: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/session/CallRetention",
  { defaultValue: () => "1 hour" }
)

/**
 * How often the server looks for what has expired. Default 1 minute.
 *
 * @category configuration
 * @since 0.1.0
 */
export const SweepInterval: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/session/SweepInterval",
  { defaultValue: () => "1 minute" }
)
