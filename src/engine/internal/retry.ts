/**
 * When a failed attempt is followed by another one.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"

/** @internal */
export type Retry =
  | number
  | Schedule.Schedule<any, any>
  | {
    readonly times?: number | undefined
    readonly schedule?: Schedule.Schedule<any, any> | undefined
    readonly while?: ((error: any) => boolean) | undefined
  }

/**
 * Takes failures in order, and gives the pause before the next attempt in
 * milliseconds, or `undefined` when there is none. A replay gives it the stored
 * failures again, with their times.
 *
 * @internal
 */
export type Policy = (failure: {
  /** Number of the attempt that failed, from 1. */
  readonly attempt: number
  readonly error: unknown
  /** A timeout is no error of the step's own: `while` is not asked. */
  readonly timedOut: boolean
  readonly at: number
}) => Effect.Effect<number | undefined>

/** Exponential from 100 ms, factor 2, at most a minute, jittered. @internal */
export const defaultSchedule: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("100 millis", 2),
  Schedule.spaced("1 minute")
]).pipe(Schedule.jittered)

/** @internal */
export const make = (retry: Retry): Effect.Effect<Policy> => {
  const { schedule = defaultSchedule, times = Infinity, while: condition } = typeof retry === "number"
    ? { times: retry }
    : Schedule.isSchedule(retry)
    ? { schedule: retry }
    : retry
  return Effect.map(Schedule.toStep(schedule), (step): Policy => ({ at, attempt, error, timedOut }) => {
    if (attempt > times || (!timedOut && condition !== undefined && !condition(error))) {
      return Effect.undefined
    }
    return Pull.matchEffect(step(at, error), {
      onSuccess: ([, pause]) => Effect.succeed<number | undefined>(Duration.toMillis(pause)),
      onFailure: (cause) => Effect.failCause(cause as typeof cause & { readonly reasons: ReadonlyArray<never> }),
      onDone: () => Effect.undefined
    })
  })
}
