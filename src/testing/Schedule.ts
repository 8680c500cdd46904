/**
 * When the processes of a simulation die.
 *
 * @since 0.1.0
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

/**
 * Where one process dies.
 *
 * @category models
 * @since 0.1.0
 */
export interface Crash {
  /** The operation on the store at which it dies, counted from 1 since it started. */
  readonly at: number
  /**
   * How many writes of that operation are applied before: 0 dies before it, all
   * of them after it but before it is acknowledged, fewer tear it. Reads and
   * starts of runs have none.
   */
  readonly applied: number
}

/**
 * One crash for each process in turn. The process after the last one lives. A
 * process that ends its work earlier than its crash lives as well.
 *
 * @category models
 * @since 0.1.0
 */
export type Schedule = ReadonlyArray<Crash>

/**
 * The schedule as a word that can be copied from a failure and replayed: `17.2-3.0`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (schedule: Schedule): string =>
  schedule.length === 0 ? "none" : schedule.map(({ applied, at }) => `${at}.${applied}`).join("-")

/**
 * Reads what `encode` wrote; undefined for anything else.
 *
 * @category encoding
 * @since 0.1.0
 */
export const decode = (token: string): Schedule | undefined => {
  if (token === "none") {
    return []
  }
  const crashes = token.split("-").map((part) => /^(\d+)\.(\d+)$/.exec(part))
  return crashes.some((match) => match === null)
    ? undefined
    : crashes.map((match) => ({ at: Number(match?.[1]), applied: Number(match?.[2]) }))
}

/**
 * Schedules for a program that does about `operations` operations in a process,
 * none with more than `writes` writes. Later processes do less, since they find
 * most of the work done: their crashes come earlier.
 *
 * @category constructors
 * @since 0.1.0
 */
export const arbitrary = (options: {
  readonly operations: number
  readonly writes: number
  readonly maxCrashes: number
}): Arbitrary.Arbitrary<Schedule> => {
  const crash = Arbitrary.schema(Schema.Struct({
    at: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Math.max(1, options.operations) })),
    applied: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: options.writes }))
  }))
  // An array shrinks by leaving crashes out, which a number of crashes would not.
  return Arbitrary.map(
    Arbitrary.array(crash, { minLength: 1, maxLength: options.maxCrashes }),
    (crashes) => crashes.map(({ applied, at }, process) => ({ at: Math.ceil(at / (process + 1)), applied }))
  )
}
