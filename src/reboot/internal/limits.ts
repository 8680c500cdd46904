/**
 * Time limits round calls of Reboot, which tries for ever, and errors in the
 * store's words.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { StoreError } from "../../store/StoreError.ts"

/** @internal */
export interface Limit {
  /** What is done, for the error: "Reboot did not <what> within 10s". */
  readonly what: string
  readonly duration: Duration.Input
  /** What the reader of the error can do. */
  readonly advice: string
}

/**
 * The promise's value, or an error when it rejects or the time is over. The
 * time is that of the machine and not of Effect's `Clock`, since it bounds what
 * runs outside Effect. Whatever the promise does later goes unheard.
 *
 * @internal
 */
export const within = <A>(limit: Limit, start: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.callback<A, StoreError>((resume) => {
    const duration = Duration.fromInputUnsafe(limit.duration)
    const timer = setTimeout(() => {
      resume(Effect.fail(
        new StoreError({
          reason: "Io",
          message: `Reboot did not ${limit.what} within ${Duration.format(duration)}. ${limit.advice}`
        })
      ))
    }, Duration.toMillis(duration))
    const settle = (outcome: Effect.Effect<A, StoreError>): void => {
      clearTimeout(timer)
      resume(outcome)
    }
    let promise: Promise<A>
    try {
      promise = start()
    } catch (cause) {
      return settle(Effect.fail(failed(limit, cause)))
    }
    promise.then(
      (value) => settle(Effect.succeed(value)),
      (cause) => settle(Effect.fail(failed(limit, cause)))
    )
    return Effect.sync(() => clearTimeout(timer))
  })

/** @internal */
export const failed = (limit: Pick<Limit, "what" | "advice">, cause: unknown): StoreError => {
  if (StoreError.is(cause)) return cause
  const detail = messageOf(cause)
  return isFull(detail)
    ? new StoreError({
      reason: "DiskFull",
      message: `Reboot could not ${limit.what}: ${detail}. Nothing acknowledged is lost. Free space on the volume of `
        + "the state directory and restart this process: Reboot's database writes no more until it is opened again.",
      cause
    })
    : new StoreError({ reason: "Io", message: `Reboot could not ${limit.what}: ${detail}. ${limit.advice}`, cause })
}

/**
 * Whether Reboot's database says that it has no room.
 *
 * @internal
 */
export const isFull = (detail: string): boolean => /No space left|Disk quota/.test(detail)

/** What Python said, without the class of its exception. */
export const messageOf = (cause: unknown): string => {
  const text = cause instanceof Error ? cause.message : String(cause)
  return text.trim().replace(/^(Exception|Failed): /, "").replace(/\.$/, "") || "no reason given"
}
