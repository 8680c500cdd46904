/**
 * How the engine learns *why* a handler failed: what leaves `Dispatch` is an
 * encoded answer, and compensations are given the cause.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Frame from "./internal/Frame.ts"

/**
 * Tells the run on this fiber the cause with which its handler ended, before it
 * is encoded. Without it compensations see the encoded answer as the failure.
 *
 * @category combinators
 * @since 0.1.0
 */
export const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined ? Effect.void : Effect.sync(() => {
      frame.run.failure = cause
    })
  })
