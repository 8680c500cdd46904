/**
 * What a failing run says: first what is wrong, then what happened.
 */
import { CrashTestError } from "../CrashTestError.ts"
import * as Timeline from "../Timeline.ts"

/** Lines of a timeline that a failure shows. */
const shownLines = 300

/** @internal */
export const make = (options: {
  readonly title: string
  readonly token: string
  readonly violations: ReadonlyArray<string>
  /** Lines between what is wrong and what happened. */
  readonly details: ReadonlyArray<string>
  readonly timeline: Timeline.Timeline
}): CrashTestError => {
  const { details, timeline, title, token, violations } = options
  const hidden = Math.max(0, timeline.length - shownLines)
  return new CrashTestError({
    token,
    violations,
    timeline,
    message: [
      title,
      ...violations.map((violation) => `  - ${violation}`),
      ...details,
      hidden === 0 ? "What happened:" : `What happened (the last ${shownLines} of ${timeline.length} lines):`,
      Timeline.toText(timeline.slice(hidden))
    ].join("\n")
  })
}
