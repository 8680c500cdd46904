/**
 * How a crash test fails.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Timeline from "./Timeline.ts"

/**
 * Something was lost, or done twice. The message has the schedule to replay and
 * the timeline.
 *
 * @category errors
 * @since 0.1.0
 */
export class CrashTestError extends Data.TaggedError("CrashTestError")<{
  readonly message: string
  /** Give it to `replay`. */
  readonly token: string
  readonly violations: ReadonlyArray<string>
  readonly timeline: Timeline.Timeline
  /** Of `random`: which of its schedules was the first to fail, from 1. */
  readonly runs?: number | undefined
}> {
  constructor(error: {
    readonly message: string
    readonly token: string
    readonly violations: ReadonlyArray<string>
    readonly timeline: Timeline.Timeline
    readonly runs?: number | undefined
  }) {
    super(error)
    // The message holds both: a test runner that shows an error's fields would show them again.
    Object.defineProperties(this, { violations: { enumerable: false }, timeline: { enumerable: false } })
  }

  override toJSON(): unknown {
    return { _tag: this._tag, token: this.token, message: this.message }
  }
}
