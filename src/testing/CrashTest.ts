/**
 * Proves that a server loses nothing and repeats nothing: kills it at every
 * operation on its store, or at random ones, again and again.
 *
 * What is checked without being asked for:
 *
 * - the result is that of the run without crashes, or another allowed one;
 * - a step whose exit was recorded is never run again, a step that was cut off
 *   runs again under the same key, an at-most-once step is begun at most once;
 * - every message reaches the client exactly once and in order, and is the one
 *   of the run without crashes; nothing comes after the answer;
 * - progress grows; each question is asked once; no answer, repeat or resume is
 *   refused;
 * - a stream that is replayed from its start is what the client had seen;
 * - another start on the same disk finds nothing left to do.
 *
 * @since 0.1.0
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Disks from "./Disks.ts"
import * as Schedule from "./Schedule.ts"
import * as Simulation from "./Simulation.ts"

/**
 * Names of what is checked, for a report.
 *
 * @category constants
 * @since 0.1.0
 */
export const invariants: ReadonlyArray<string> = [
  "the result is an allowed one",
  "no finished step runs again",
  "a cut-off step runs again under the same key",
  "an at-most-once step is begun at most once",
  "each message arrives exactly once and in order",
  "the messages are those of the run without crashes",
  "nothing comes after the answer",
  "progress grows",
  "each question is asked once",
  "no answer, repeat or resume is refused",
  "a replay gives what was seen",
  "another start finds nothing left to do"
]

/**
 * @category models
 * @since 0.1.0
 */
export interface Options<A> {
  /** Default: `Disks.memory`. */
  readonly disk?: Simulation.Disk | undefined
  /**
   * Whether a result other than that of the run without crashes may stand, for
   * example because an at-most-once step was cut off. Default: none.
   */
  readonly allowed?: ((value: A, withoutCrashes: A) => boolean) | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly runs: number
  /** Processes that died and were survived. */
  readonly crashes: number
  /** Attempts at the world, in all runs. */
  readonly attempts: number
  /** Steps that were cut off and ran again, in all runs. */
  readonly repeated: number
  /** Operations on the store of the run without crashes. */
  readonly operations: number
}

/**
 * Something was lost, or done twice. The message has the schedule to replay and
 * what happened.
 *
 * @category errors
 * @since 0.1.0
 */
export class CrashTestError extends Data.TaggedError("CrashTestError")<{
  readonly message: string
  /** Give it to `replay`. */
  readonly token: string
  readonly violations: ReadonlyArray<string>
}> {}

/**
 * One crash at every point: before, after and within each operation on the
 * store.
 *
 * @category running
 * @since 0.1.0
 */
export const exhaustive: <A>(
  program: Simulation.Program<A>,
  options?: Options<A>
) => Effect.Effect<Report, CrashTestError> = Effect.fnUntraced(function*<A>(
  program: Simulation.Program<A>,
  options?: Options<A>
) {
  const test = yield* make(program, options)
  for (const { index, writes } of test.operations) {
    for (let applied = 0; applied <= writes; applied++) {
      yield* test.survives([{ at: index, applied }])
    }
  }
  return test.report()
})

/**
 * Random schedules of several crashes each, also during recovery. A failing one
 * is made smaller before it is reported.
 *
 * @category running
 * @since 0.1.0
 */
export const schedules: <A>(
  program: Simulation.Program<A>,
  options?: Options<A> & {
    /** Default 200. */
    readonly runs?: number | undefined
    /** Default: another each time; the failure tells what to replay. */
    readonly seed?: number | string | undefined
    /** Crashes of one run. Default 6. */
    readonly maxCrashes?: number | undefined
  }
) => Effect.Effect<Report, CrashTestError> = Effect.fnUntraced(function*<A>(
  program: Simulation.Program<A>,
  options?: Options<A> & {
    readonly runs?: number | undefined
    readonly seed?: number | string | undefined
    readonly maxCrashes?: number | undefined
  }
) {
  const test = yield* make(program, options)
  const arbitrary = Schedule.arbitrary({
    operations: test.operations.length,
    writes: test.operations.reduce((most, { writes }) => Math.max(most, writes), 0),
    maxCrashes: options?.maxCrashes ?? 6
  })
  const checked = yield* Arbitrary.checkEffect(
    arbitrary,
    (schedule) => Effect.as(test.survives(schedule), true),
    { runs: options?.runs ?? 200, maxShrinks: 200, ...options?.seed === undefined ? {} : { seed: options.seed } }
  )
  if (checked._tag === "Falsified" && checked.failure._tag === "PropertyError") {
    return yield* checked.failure.error
  }
  return test.report()
})

/**
 * Runs one schedule, as a failure named it.
 *
 * @category running
 * @since 0.1.0
 */
export const replay: <A>(
  program: Simulation.Program<A>,
  token: string,
  options?: Options<A>
) => Effect.Effect<Simulation.Run<A>, CrashTestError> = Effect.fnUntraced(function*<A>(
  program: Simulation.Program<A>,
  token: string,
  options?: Options<A>
) {
  const schedule = Schedule.decode(token)
  if (schedule === undefined) {
    return yield* Effect.die(new Error(`Not a schedule: ${token}`))
  }
  const test = yield* make(program, options)
  return yield* test.survives(schedule)
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** Lines of a timeline that a failure shows. */
const shownLines = 300

/** Runs the program without crashes, as what the others are held to. */
const make = Effect.fnUntraced(function*<A>(program: Simulation.Program<A>, options: Options<A> | undefined) {
  const disk = options?.disk ?? Disks.memory
  let runs = 0
  let crashes = 0
  let attempts = 0
  let repeated = 0

  const survives = Effect.fnUntraced(function*(
    schedule: Schedule.Schedule,
    judge: (run: Simulation.Run<A>) => ReadonlyArray<string>
  ) {
    const run = yield* Simulation.run(program, disk, schedule)
    const violations = [...run.violations, ...judge(run)]
    if (violations.length > 0) {
      return yield* failure(run, violations)
    }
    runs++
    crashes += run.crashes
    attempts += run.attempts
    repeated += run.repeated
    return run
  })

  const withoutCrashes = yield* survives([], () => [])
  const expected = conversation(withoutCrashes)

  const judge = (run: Simulation.Run<A>): ReadonlyArray<string> => {
    const violations: Array<string> = []
    const value = JSON.stringify(run.value)
    const wanted = JSON.stringify(withoutCrashes.value)
    if (value !== wanted && options?.allowed?.(run.value as A, withoutCrashes.value as A) !== true) {
      violations.push(`the result is ${value} and not ${wanted}`)
    }
    const seen = conversation(run)
    if (seen !== expected) {
      violations.push(`the client got\n${seen}\nand not\n${expected}`)
    }
    return violations
  }

  return {
    operations: withoutCrashes.operations[0] ?? [],
    survives: (schedule: Schedule.Schedule) => survives(schedule, judge),
    report: (): Report => ({
      runs,
      crashes,
      attempts,
      repeated,
      operations: withoutCrashes.operations[0]?.length ?? 0
    })
  }
})

/**
 * What the server said: without answers, whose content `allowed` judges, and
 * without the ids of its questions, which hang on a secret of the store.
 */
const conversation = (run: Simulation.Run<unknown>): string =>
  Array.from(run.messages, ([call, messages]) => {
    const said = messages.map((text) => JSON.parse(text)).filter(({ method }) => method !== undefined)
    return `  call ${call}:\n${said.map(({ method, params }) => `    ${method} ${JSON.stringify(params)}\n`).join("")}`
  }).sort().join("")

const failure = (run: Simulation.Run<unknown>, violations: ReadonlyArray<string>): CrashTestError => {
  const token = Schedule.encode(run.schedule)
  const hidden = Math.max(0, run.timeline.length - shownLines)
  return new CrashTestError({
    token,
    violations,
    message: [
      `Schedule ${token} (to replay: CrashTest.replay(program, "${token}"))`,
      ...violations.map((violation) => `  - ${violation}`),
      hidden === 0 ? "What happened:" : `What happened (the last ${shownLines} of ${run.timeline.length} lines):`,
      ...run.timeline.slice(hidden)
    ].join("\n")
  })
}
