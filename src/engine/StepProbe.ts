/**
 * Where the body of a step begins and ends: for tests that stop a process just
 * there, between an effect and its record.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/**
 * An attempt of a step or of a compensation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly execution: string
  /** As it is on record: `outer/charge#2`, `flight/%compensate`. */
  readonly path: string
  /** What the body was given. */
  readonly key: string
  /** From 1. */
  readonly attempt: number
}

/**
 * Is asked on the fiber of the attempt, which waits for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probe {
  /** Before the body; of an at-most-once step, after its beginning was recorded. */
  readonly begins: (attempt: Attempt) => Effect.Effect<void>
  /** After the body and before its exit is recorded. Not told of a body that was cut off. */
  readonly ended: (attempt: Attempt, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

/**
 * Read when the engine's layer is built. Default: none, which costs nothing.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StepProbe: Context.Reference<Probe | undefined> = Context.Reference<Probe | undefined>(
  "effect-durable-mcp/engine/StepProbe",
  { defaultValue: () => undefined }
)
