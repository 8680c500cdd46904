/**
 * What a call tells its client while it runs: progress, log messages.
 *
 * An emission is an event of the call's stream under a deterministic key, so a
 * replay that says it again adds nothing.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { emit as emitInFrame } from "./internal/emission.ts"
import * as Frame from "./internal/Frame.ts"
import type * as Wire from "./Wire.ts"

/**
 * Appends a notification to the stream of the call that runs on this fiber;
 * nothing without one.
 *
 * **Details**
 *
 * A `Progress` whose token is not the call's is dropped, and so is a value that
 * is not above the last one. A `Log` below the session's level is dropped.
 *
 * @category combinators
 * @since 0.1.0
 */
export const emit = (notification: Wire.Notification): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined ? Effect.void : emitInFrame(frame, fiber, notification)
  })
