/**
 * How long a call waits in memory, how far it may go, and when the engine gives
 * up. Each is a `Context.Reference`, read when the engine's layer is built;
 * replace one with `Layer.succeed(Limits.IdleDelay, "1 second")`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/**
 * How long a run that only waits stays in memory before it is parked. Default
 * 5 seconds. Waits up to this long (sleeps, pauses between retries) never park.
 *
 * @category configuration
 * @since 0.1.0
 */
export const IdleDelay: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/engine/IdleDelay",
  { defaultValue: () => "5 seconds" }
)

/**
 * How long a shutdown waits for the steps that are running. Default 30 seconds.
 *
 * @category configuration
 * @since 0.1.0
 */
export const DrainTimeout: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/engine/DrainTimeout",
  { defaultValue: () => "30 seconds" }
)

/**
 * Durable operations of one execution. Default 10,000; the next one is the
 * defect `StepLimitExceeded`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StepLimit: Context.Reference<number> = Context.Reference("effect-durable-mcp/engine/StepLimit", {
  defaultValue: () => 10_000
})

/**
 * Progress and log messages that one run of a call sends. Default 10,000; what
 * it tells after that is dropped, with one warning in the server's log.
 * Questions and the result are always sent.
 *
 * @category configuration
 * @since 0.1.0
 */
export const EventLimit: Context.Reference<number> = Context.Reference("effect-durable-mcp/engine/EventLimit", {
  defaultValue: () => 10_000
})

/**
 * Longest life of a question to the client, and the default of `elicit` and
 * `elicitUrl`. Default 24 hours.
 *
 * @category configuration
 * @since 0.1.0
 */
export const QuestionLifetime: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/engine/QuestionLifetime",
  { defaultValue: () => "24 hours" }
)

/**
 * Recoveries without progress after which an execution is a suspect: suspects
 * run one at a time, so that the one that kills the process is found. Default 2.
 *
 * @category configuration
 * @since 0.1.0
 */
export const SuspectAfter: Context.Reference<number> = Context.Reference("effect-durable-mcp/engine/SuspectAfter", {
  defaultValue: () => 2
})

/**
 * Recoveries without progress after which an execution is stuck: its client
 * gets an error, and it runs again only when an operator says so. Default 10.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StuckAfter: Context.Reference<number> = Context.Reference("effect-durable-mcp/engine/StuckAfter", {
  defaultValue: () => 10
})

/**
 * How long a call that was stopped by `NonDeterminism` waits for a fix before
 * its client gets an error. Default 24 hours.
 *
 * @category configuration
 * @since 0.1.0
 */
export const RepairLimit: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/engine/RepairLimit",
  { defaultValue: () => "24 hours" }
)

/**
 * Version of the server, recorded with each step. Default `"0"`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const ServerVersion: Context.Reference<string> = Context.Reference<string>(
  "effect-durable-mcp/engine/ServerVersion",
  { defaultValue: () => "0" }
)
