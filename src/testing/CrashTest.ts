/**
 * Proves that a server loses nothing and repeats nothing: kills it, again and
 * again, while a client works with it, and looks whether anybody can tell.
 *
 * What is checked without being asked for is listed in `invariants`.
 *
 * **Example** (A property of a booking tool)
 *
 * ```ts
 * it.effect.prop("booking survives any crash", { crashes: CrashTest.schedules({ max: 6 }) }, ({ crashes }) =>
 *   CrashTest.run({ registrations: TripsLive, script, crashes }).pipe(
 *     Effect.flatMap((run) => run.assert({ exactlyOnce: ["charge"] }))
 *   ))
 * ```
 *
 * @since 0.1.0
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpRouter from "effect/http/HttpRouter"
import type * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as DurableMcp from "../DurableMcp.ts"
import type { Store } from "../store/Store.ts"
import type { Client, Question } from "./Client.ts"
import { CrashTestError } from "./CrashTestError.ts"
import * as Disk from "./Disk.ts"
import type { Operation } from "./FaultStore.ts"
import * as Rest from "./internal/checksRest.ts"
import * as ResultChecks from "./internal/checksResult.ts"
import type { Baseline } from "./internal/director.ts"
import { everyFault, representativeCrash } from "./internal/everyFault.ts"
import * as Failure from "./internal/failure.ts"
import * as Simulation from "./internal/simulation.ts"
import * as TimelineFile from "./internal/timelineFile.ts"
import * as Schedule from "./Schedule.ts"
import * as Timeline from "./Timeline.ts"
import type { World } from "./World.ts"

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
  "an at-most-once step is begun at most once in an attempt, and interrupted only by a crash",
  "each effect takes place as often as without crashes",
  "each message arrives exactly once and in order",
  "the messages are those of the run without crashes",
  "nothing comes after the answer",
  "progress grows",
  "each question is asked once",
  "no answer, repeat or resume is refused",
  "a replay gives what was seen",
  "a question times out only when its deadline has passed",
  "an execution is cancelled only when a client wants it",
  "what was acknowledged stands on the disk, as it was first written, and nothing else",
  "nothing is left to do at the end: no run, no timer, no open question",
  "another start finds nothing left to do",
  "no fiber, response or file is left over"
]

/**
 * The server under test: what it offers, or the whole of it.
 *
 * What the layers need besides `World` comes from the test, and outlives the
 * processes.
 *
 * @category models
 * @since 0.1.0
 */
export type Server<RA, RE, RR> =
  | {
    /** As in `DurableMcp.layerHttp`. */
    readonly registrations: Layer.Layer<RA, RE, RR>
    readonly app?: undefined
  }
  | {
    readonly registrations?: undefined
    /** A server with routes, limits or middleware of its own, over the `Store` that it is given. */
    readonly app: Layer.Layer<RA, RE, RR>
    /** Where it serves. Default `/mcp`. */
    readonly path?: string | undefined
  }

/**
 * @category models
 * @since 0.1.0
 */
export interface Options<A, E = never, R = never> {
  /** What the client does. Its value is the result of the run, compared as JSON. */
  readonly script: (client: Client) => Effect.Effect<A, E, R>
  /**
   * What the user says to a question: the result of the request, or nothing,
   * when `question.reply` is used instead (late, twice, wrongly) or the script
   * takes the question. Default: accepts without content.
   */
  readonly answer?: ((question: Question) => Effect.Effect<Schema.Json | void>) | undefined
  /** Client capabilities. Default: elicitation, sampling and roots. */
  readonly capabilities?: Readonly<Record<string, Schema.Json>> | undefined
  /** Default: `Disk.memory`. */
  readonly disk?: Disk.Disk | undefined
  /**
   * Whether a result other than that of the run without crashes may stand.
   * Default: when the run itself says why, see `Run.excuses`.
   */
  readonly allowed?: ((value: A, run: Run<A>) => boolean) | undefined
  /** Asked of every run. */
  readonly expect?: Expectations<A> | undefined
  /**
   * A file for the drawing of a failing run (`Timeline.toHtml`). The last one to
   * fail is in it: of a property, the smallest. Default: none.
   */
  readonly timeline?: string | undefined
}

/**
 * What a test knows about its tools, beyond what is checked anyway.
 *
 * @category models
 * @since 0.1.0
 */
export interface Expectations<A> {
  /** Names of effects in the `World`; or a count of one's own, of which each must be 1. */
  readonly exactlyOnce?: ReadonlyArray<string> | ReadonlyMap<string, number> | undefined
  readonly atMostOnce?: ReadonlyArray<string> | ReadonlyMap<string, number> | undefined
  /** The result, compared as JSON. */
  readonly value?: A | undefined
  /** What is wrong with the run; nothing when it is right. */
  readonly satisfies?: ((run: Run<A>) => ReadonlyArray<string>) | undefined
}

/**
 * A run that passed all that is checked without being asked for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run<A> {
  readonly value: A
  /** What went wrong in it, in absolute numbers. */
  readonly schedule: Schedule.Schedule
  /** For `replay`. */
  readonly token: string
  /** Processes that died. */
  readonly crashes: number
  readonly world: {
    /** How often each effect took place, by name. */
    readonly effects: ReadonlyMap<string, number>
    /** How often effects were attempted, in all. */
    readonly attempts: number
  }
  /** Effects that were attempted again under their key, because their step was cut off. */
  readonly repeated: number
  /**
   * Why the result may be another one than that of the run without faults, as
   * the run itself shows: a crash fell into an at-most-once step
   * (`StepInterrupted mail`); a deadline passed in one of the two runs only
   * (`TimedOut people`, `Slept wait`); the script gave an answer up
   * (`Cancelled 2`, `Abandoned 2` when it was interrupted, `Ended`, `Vanished`).
   */
  readonly excuses: ReadonlyArray<string>
  /** What each process did on its store. */
  readonly operations: ReadonlyArray<ReadonlyArray<Operation>>
  /** Virtual time, in milliseconds. */
  readonly duration: number
  readonly timeline: Timeline.Timeline
  readonly assert: (expectations: Expectations<A>) => Effect.Effect<void, CrashTestError>
}

/**
 * What many runs came to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly runs: number
  /** Processes that died and were survived. */
  readonly crashes: number
  /** Everything that went wrong, by kind. */
  readonly faults: ReadonlyMap<Schedule.Kind, number>
  /** Attempts at the world, in all runs. */
  readonly attempts: number
  /** Effects that were attempted again, in all runs. */
  readonly repeated: number
  /** Operations on the store of the run without crashes. */
  readonly operations: number
  /** The run that took the longest of this machine's time. */
  readonly slowest: { readonly token: string; readonly milliseconds: number }
}

export {
  /**
   * Something was lost, or done twice.
   *
   * @category errors
   * @since 0.1.0
   */
  CrashTestError
} from "./CrashTestError.ts"

/**
 * What a server needs from the test.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<RR> = Exclude<
  DurableMcp.Services<RR> | DurableMcp.Requests<RR, DurableMcp.Provided>,
  World | Store | HttpRouter.HttpRouter | HttpRouter.Request<any, any>
>

/**
 * The options as they are: for a constant that several tests share, whose
 * `script` and `answer` then need no types of their own.
 *
 * **Example** (One program, two tests)
 *
 * ```ts
 * const program = CrashTest.define({
 *   registrations: TripsLive,
 *   script: (client) => client.callTool("book_trip", { city: "Oslo" })
 * })
 *
 * it.live("at every point", () => CrashTest.exhaustive(program))
 * it.live("at random", () => CrashTest.random({ ...program, runs: 500 }))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const define: <A, E = never, R = never, RA = never, RE = never, RR = never>(
  options: Server<RA, RE, RR> & Options<A, E, R>
) => Server<RA, RE, RR> & Options<A, E, R> = (options) => options

/**
 * Random schedules for a property: several faults each, also during recovery.
 * They fit any run, and shrink to the fewest faults that still fail.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const schedules: (options?: {
  /** Most faults of a schedule. Default 6. */
  readonly max?: number | undefined
  /** Default: all. */
  readonly kinds?: ReadonlyArray<Schedule.Kind> | undefined
}) => Arbitrary.Arbitrary<Schedule.Schedule> = Schedule.arbitrary

/**
 * One run without faults, to know what is right, and one with `crashes`.
 *
 * @category running
 * @since 0.1.0
 */
export const run: <A, E = never, R = never, RA = never, RE = never, RR = never>(
  options: Server<RA, RE, RR> & Options<A, E, R> & {
    /** A schedule, or the token of one. Default: none. */
    readonly crashes?: Schedule.Schedule | string | undefined
  }
) => Effect.Effect<Run<A>, CrashTestError, R | Services<RR>> = Effect.fnUntraced(function*(options) {
  const test = yield* make(options)
  return (yield* test.survives(yield* scheduleOf(options.crashes ?? []))).run
})

/**
 * One fault at every point: at each operation on the store, with each number of
 * its writes applied, in each step, at each instant at which something happens.
 * Deaths also at every point of a recovery, that from a crash in the middle.
 *
 * @category running
 * @since 0.1.0
 */
export const exhaustive: <A, E = never, R = never, RA = never, RE = never, RR = never>(
  options: Server<RA, RE, RR> & Options<A, E, R> & {
    /** Kinds of faults. Default: all. */
    readonly kinds?: ReadonlyArray<Schedule.Kind> | undefined
  }
) => Effect.Effect<Report, CrashTestError, R | Services<RR>> = Effect.fnUntraced(function*(options) {
  const test = yield* make(options)
  const kinds = options.kinds ?? Schedule.kinds
  for (const fault of everyFault(test.withoutFaults, kinds)) {
    yield* test.survives([fault])
  }
  const crash = representativeCrash(test.withoutFaults)
  const deaths = kinds.filter((kind) => Schedule.deaths.includes(kind))
  if (crash !== undefined && deaths.length > 0) {
    const recovered = yield* test.survives([crash])
    for (const fault of everyFault(recovered, deaths, 2)) {
      yield* test.survives([crash, fault])
    }
  }
  return test.report()
})

/**
 * Random schedules. A failing one is made smaller before it is reported.
 *
 * @category running
 * @since 0.1.0
 */
export const random: <A, E = never, R = never, RA = never, RE = never, RR = never>(
  options: Server<RA, RE, RR> & Options<A, E, R> & {
    /** Default 200. */
    readonly runs?: number | undefined
    /** Default: another each time; the failure tells what to replay. */
    readonly seed?: number | string | undefined
    /** Most faults of one run. Default 6. */
    readonly max?: number | undefined
    /** Kinds of faults. Default: all. */
    readonly kinds?: ReadonlyArray<Schedule.Kind> | undefined
  }
) => Effect.Effect<Report, CrashTestError, R | Services<RR>> = Effect.fnUntraced(function*(options) {
  const test = yield* make(options)
  const checked = yield* Arbitrary.checkEffect(
    Schedule.arbitrary({ max: options.max, kinds: options.kinds }),
    (schedule) => Effect.as(test.survives(schedule), true),
    { runs: options.runs ?? 200, maxShrinks: 200, ...options.seed === undefined ? {} : { seed: options.seed } }
  )
  if (checked._tag === "Falsified" && checked.failure._tag === "PropertyError") {
    const { message, timeline, token, violations } = checked.failure.error
    return yield* new CrashTestError({ message, timeline, token, violations, runs: checked.runs })
  }
  return test.report()
})

/**
 * Runs one schedule, as a failure named it. Fails also where not all of it comes
 * about any more.
 *
 * @category running
 * @since 0.1.0
 */
export const replay: <A, E = never, R = never, RA = never, RE = never, RR = never>(
  options: Server<RA, RE, RR> & Options<A, E, R>,
  token: string
) => Effect.Effect<Run<A>, CrashTestError, R | Services<RR>> = (options, token) =>
  Effect.tap(run({ ...options, crashes: token }), (run) =>
    run.assert({
      satisfies: ({ schedule }) =>
        schedule.length === Schedule.decode(token)?.length
          ? []
          : [`only ${run.token} of ${token} came about: is the token of another program?`]
    }))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const scheduleOf = (crashes: Schedule.Schedule | string): Effect.Effect<Schedule.Schedule> => {
  const schedule = typeof crashes === "string" ? Schedule.decode(crashes) : crashes
  return schedule === undefined ? Effect.die(new Error(`Not a schedule: ${crashes}`)) : Effect.succeed(schedule)
}

const programOf = (
  options: Server<any, any, any> & Options<any, any, any>
): Simulation.Program<any, any, any> => {
  const path = options.registrations === undefined ? options.path ?? "/mcp" : "/mcp"
  return {
    app: options.app ?? DurableMcp.layerHttp({
      name: "crash-test",
      version: "1.0.0",
      path: "/mcp",
      registrations: options.registrations
    }),
    path,
    script: options.script,
    answer: options.answer,
    capabilities: options.capabilities
  }
}

/** Runs the program without faults, as what the others are held to. */
const make = Effect.fnUntraced(function*(options: Server<any, any, any> & Options<any, any, any>) {
  const program = programOf(options)
  const disk = options.disk ?? Disk.memory
  const faults = new Map<Schedule.Kind, number>()
  let runs = 0
  let crashes = 0
  let attempts = 0
  let repeated = 0
  let slowest = { token: "none", milliseconds: 0 }

  const failure = ({ schedule, timeline }: Simulation.Result<any, any>, violations: ReadonlyArray<string>) => {
    const token = Schedule.encode(schedule)
    return Failure.make({
      title: `Schedule ${token} (to replay: CrashTest.replay(options, "${token}"))`,
      token,
      violations,
      details: options.timeline === undefined
        ? []
        : [TimelineFile.write(options.timeline, Timeline.toHtml(timeline, { token, violations }))],
      timeline
    })
  }

  /** The test's word counts; without one, what the run itself shows to be the reason. */
  const isAllowed = (run: Run<any>): boolean =>
    options.allowed === undefined ? run.excuses.length > 0 : options.allowed(run.value, run)

  const survives = Effect.fnUntraced(function*(
    schedule: Schedule.Schedule,
    baseline: Baseline,
    expected: Simulation.Result<any, any> | undefined
  ) {
    const began = performance.now()
    const result = yield* Simulation.run(program, disk, schedule, baseline)
    const otherwise = expected === undefined ? [] : Rest.difference(result.circumstances, expected.circumstances)
    const givenUp = expected === undefined ? result.excuses : [...result.excuses, ...expected.excuses]
    const excuses = Array.from(new Set([...givenUp, ...otherwise]))
    const token = Schedule.encode(result.schedule)
    const run: Run<any> = {
      value: result.exit !== undefined && Exit.isSuccess(result.exit) ? result.exit.value : undefined,
      schedule: result.schedule,
      token,
      crashes: result.crashes,
      world: { effects: result.effects, attempts: result.attempts },
      repeated: result.repeated,
      excuses,
      operations: result.operations,
      duration: result.duration,
      timeline: result.timeline,
      assert: (expectations) =>
        Effect.suspend(() => {
          const unmet = unmetBy(run, expectations)
          return unmet.length === 0 ? Effect.void : Effect.fail(failure(result, unmet))
        })
    }
    const violations = [
      ...result.violations,
      ...failureOf(result),
      ...expected === undefined
        ? []
        : !isAllowed(run)
        ? ResultChecks.differences(result, expected)
        // The script has given up some of its calls, and nothing else is otherwise.
        : options.allowed === undefined && otherwise.length === 0 && failureOf(result).length === 0
        ? ResultChecks.unexcused(result, expected)
        : [],
      ...options.expect === undefined ? [] : unmetBy(run, options.expect)
    ]
    if (violations.length > 0) {
      return yield* failure(result, violations)
    }
    const milliseconds = performance.now() - began
    if (milliseconds > slowest.milliseconds) {
      slowest = { token, milliseconds }
    }
    runs++
    crashes += result.crashes
    attempts += result.attempts
    repeated += result.repeated
    for (const { _tag } of result.schedule) {
      faults.set(_tag, (faults.get(_tag) ?? 0) + 1)
    }
    return { run, result }
  })

  const { result: ofBaseline } = yield* survives(
    [],
    { operations: 0, steps: 0, duration: 0 },
    undefined
  )
  const baseline: Baseline = {
    operations: ofBaseline.processes[0]?.operations.length ?? 0,
    steps: ofBaseline.steps,
    duration: ofBaseline.duration
  }

  return {
    withoutFaults: ofBaseline,
    survives: (schedule: Schedule.Schedule) =>
      Effect.map(survives(schedule, baseline, ofBaseline), ({ result, run }) => ({ run, processes: result.processes })),
    report: (): Report => ({
      runs,
      crashes,
      faults,
      attempts,
      repeated,
      operations: baseline.operations,
      slowest
    })
  }
})

/** A script that fails is wrong whatever excuses its result. */
const failureOf = ({ exit }: Simulation.Result<unknown, unknown>): ReadonlyArray<string> =>
  exit !== undefined && Exit.isFailure(exit) ? [`the script fails: ${Cause.pretty(exit.cause)}`] : []

const countsOf = (asked: ReadonlyArray<string> | ReadonlyMap<string, number>, run: Pick<Run<unknown>, "world">) =>
  asked instanceof Map
    ? Array.from(asked as ReadonlyMap<string, number>)
    : (asked as ReadonlyArray<string>).map((name) => [name, run.world.effects.get(name) ?? 0] as const)

const unmetBy = <A>(run: Run<A>, expectations: Expectations<A>): ReadonlyArray<string> => {
  const { atMostOnce, exactlyOnce, satisfies, value } = expectations
  const wanted = JSON.stringify(value)
  return [
    ...countsOf(exactlyOnce ?? [], run).flatMap(([name, count]) =>
      count === 1 ? [] : [`${name} took place ${count} times and not exactly once`]
    ),
    ...countsOf(atMostOnce ?? [], run).flatMap(([name, count]) =>
      count <= 1 ? [] : [`${name} took place ${count} times and not at most once`]
    ),
    ...value === undefined || wanted === JSON.stringify(run.value)
      ? []
      : [`the result is ${JSON.stringify(run.value)} and not ${wanted}`],
    ...satisfies?.(run) ?? []
  ]
}
