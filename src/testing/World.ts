/**
 * The outside world of a simulation: it outlives the processes and counts what
 * they do to it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** What is done, for a reader: `charge`. */
  readonly what: string
  /** The key of the step that does it. */
  readonly key: string
  /** The step may be begun once per attempt and no more. Default false. */
  readonly atMostOnce?: boolean | undefined
  /** Of the step, where its retries count. Default 1. */
  readonly attempt?: number | undefined
}

/**
 * @category services
 * @since 0.1.0
 */
export class World extends Context.Service<World, {
  /**
   * Does something outside, and returns how often it was attempted under this
   * key. The effect itself takes place once for each key, as with a service that
   * knows idempotency keys.
   */
  readonly attempt: (attempt: Attempt) => Effect.Effect<number>
}>()("effect-durable-mcp/testing/World") {}
