/**
 * Kills a server's real process with SIGKILL, at random moments, while a client
 * works with it over real HTTP; and looks whether the client can tell.
 *
 * What `CrashTest` simulates happens here: slower, in real time, and with all
 * that a simulation leaves out: the file system, sockets, the start of the
 * program itself.
 *
 * **Example** (A server under SIGKILL)
 *
 * ```ts
 * it.live("survives kill -9", () =>
 *   KillProcess.run({
 *     command: "node",
 *     args: ["server.ts"],
 *     url: "http://127.0.0.1:3000/mcp",
 *     script: (client) => client.callTool("book_trip", { city: "Oslo" }),
 *     kills: 20
 *   }).pipe(Effect.provide(NodeServices.layer)))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Random from "effect/Random"
import type * as Client from "./Client.ts"
import type { CrashTestError } from "./CrashTestError.ts"
import * as ResultChecks from "./internal/checksResult.ts"
import * as Failure from "./internal/failure.ts"
import * as KilledRun from "./internal/killedRun.ts"
import { seededBytes } from "./internal/seededBytes.ts"
import * as ServerProcess from "./internal/serverProcess.ts"
import * as Schedule from "./Schedule.ts"
import type * as Timeline from "./Timeline.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options<A, E = never, R = never> {
  /** The program that serves; what it starts dies with it. It must keep its data and its port over a restart. */
  readonly command: string
  readonly args?: ReadonlyArray<string> | undefined
  /** Added to the environment of the test. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  /** Where it serves; nobody else may answer there before. */
  readonly url: string
  /** What the client does, in each run again, as in `CrashTest`. */
  readonly script: (client: Client.Client) => Effect.Effect<A, E, R>
  /** As in `CrashTest`. Default: accepts without content. */
  readonly answer?: Client.Options["answer"]
  /** Client capabilities. Default: elicitation, sampling and roots. */
  readonly capabilities?: Client.Options["capabilities"] | undefined
  /** How often it is killed, over as many runs of the script as that takes. */
  readonly kills: number
  /** Most kills of one run; then it may come to its end. Default 5. */
  readonly killsPerRun?: number | undefined
  /**
   * How long a process lives at least and at most before it is killed, from when
   * it listens; but one in four dies while it starts. Default: from nothing to as
   * long as a run without kills takes.
   */
  readonly every?: readonly [minimum: Duration.Input, maximum: Duration.Input] | undefined
  /** Of the moments. Default: another each time; the failure tells which. */
  readonly seed?: number | undefined
  /** Returns when the server listens. Default: when the URL answers anything. */
  readonly ready?: Effect.Effect<void> | undefined
  /** How long a start may take until it listens. Default 30 seconds. */
  readonly startTimeout?: Duration.Input | undefined
  /** How long nothing may come of anything before a run is given up as stuck. Default 1 minute. */
  readonly patience?: Duration.Input | undefined
  /**
   * The file of a `SqliteStore`, as seen from the test and not from `cwd`. It is
   * read after each kill with code that is not the store's, once it is there.
   */
  readonly database?: string | undefined
  /** Asked after each run: what is wrong in the world outside. */
  readonly check?: Effect.Effect<ReadonlyArray<string>, never, R> | undefined
  /**
   * Whether a run may differ from the one without kills, by its value: say here
   * what may come of an at-most-once step that is cut off. Default: where the
   * script gives answers up (cancels, ends, vanishes).
   */
  readonly allowed?: ((value: A) => boolean) | undefined
}

/**
 * What was survived.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report<A> {
  /** Of the run without kills. */
  readonly value: A
  /** Of the run without kills, in milliseconds. */
  readonly duration: number
  /** With kills. */
  readonly runs: number
  readonly kills: number
  /** Calls that were answered, and questions that were asked, in runs with kills. */
  readonly calls: number
  readonly questions: number
  /** From a start until the server listened, the longest, in milliseconds. */
  readonly slowestStart: number
  readonly seed: number
  /** Of the last run. */
  readonly timeline: Timeline.Timeline
}

/**
 * One run of the script without kills, to know what is right; then one after
 * the other with kills, on the same data, until there were enough.
 *
 * **Details**
 *
 * Checked without being asked for: the result is that of the run without kills,
 * and so is what the server said before; each event came once and in order,
 * each question once, and nothing after the answer; no answer, repeat or resume
 * was refused; a replay gives what was seen; the server comes back, and ends
 * only when it is killed.
 *
 * **Gotchas**
 *
 * Real time does not repeat itself: the same seed kills after the same times,
 * but not at the same operations. The token of a failure says when that was;
 * `CrashTest` finds the operation.
 *
 * @category running
 * @since 0.1.0
 */
export const run: <A, E = never, R = never>(
  options: Options<A, E, R>
) => Effect.Effect<
  Report<A>,
  CrashTestError,
  R | ChildProcessSpawner.ChildProcessSpawner
> = Effect.fnUntraced(
  function*<A, E, R>(options: Options<A, E, R>) {
    const seed = options.seed ?? (yield* Random.nextIntBetween(0, 2 ** 31))
    const draw = fractions(seed)
    const server = yield* ServerProcess.make({
      command: options.command,
      args: options.args ?? [],
      env: options.env ?? {},
      cwd: options.cwd,
      url: options.url,
      ready: options.ready,
      startTimeout: options.startTimeout ?? "30 seconds"
    })
    let runs = 0
    let kills = 0
    let calls = 0
    let questions = 0

    const survive = Effect.fnUntraced(function*(
      lifetimes: ReadonlyArray<KilledRun.Lifetime>,
      expected?: KilledRun.Result<A, E>
    ) {
      const result = yield* KilledRun.play(server, options, lifetimes)
      const differs = expected === undefined || isAllowed(options, result)
        ? failureOf(result)
        : ResultChecks.differences(result, expected)
      const violations = [...result.violations, ...differs, ...yield* options.check ?? Effect.succeed([])]
      if (violations.length > 0) {
        return yield* failure({
          seed,
          // the run without kills is no run with them
          run: expected === undefined ? 0 : runs + 1,
          result,
          violations,
          output: server.output()
        })
      }
      return result
    })

    const expected = yield* survive([])
    if (expected.exit === undefined || Exit.isFailure(expected.exit)) {
      return yield* Effect.die(new Error("A run that fails has violations"))
    }
    const [minimum, maximum] = (options.every ?? [0, expected.duration]).map(Duration.toMillis) as [number, number]

    let last = expected
    for (let idle = 0; kills < options.kills;) {
      const most = Math.min(options.killsPerRun ?? 5, options.kills - kills)
      last = yield* survive(
        Array.from({ length: most }, (_, i) => lifetime(draw, minimum, maximum, i === 0 ? 0 : server.slowestStart())),
        expected
      )
      idle = last.kills.length === 0 ? idle + 1 : 0
      if (idle === mostIdle) {
        return yield* Effect.die(new Error(`The script ended before the first kill, ${idle} times in a row`))
      }
      runs++
      kills += last.kills.length
      calls += last.calls
      questions += last.questions
    }

    const report: Report<A> = {
      value: expected.exit.value,
      duration: expected.duration,
      runs,
      kills,
      calls,
      questions,
      slowestStart: server.slowestStart(),
      seed,
      timeline: last.timeline
    }
    return report
  },
  Effect.scoped,
  // also where a test has a clock of its own: the server has not
  Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())
)

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** Runs in a row that may end before they are killed. */
const mostIdle = 100

/** Numbers from 0 to 1 that are the same for the same seed. */
const fractions = (seed: number): () => number => {
  const bytes = seededBytes(seed)
  return () => new DataView(bytes(4).buffer).getUint32(0) / 2 ** 32
}

/**
 * Recoveries begin before a server listens, so it must die there too.
 *
 * @param start How long a start takes; 0 for a process that listens already.
 */
const lifetime = (draw: () => number, minimum: number, maximum: number, start: number): KilledRun.Lifetime =>
  draw() < 0.25 && start > 0
    ? { from: "start", ms: Math.round(draw() * start) }
    : { from: "listening", ms: Math.round(minimum + draw() * (maximum - minimum)) }

const isAllowed = <A, E, R>(options: Options<A, E, R>, { exit, givenUp }: KilledRun.Result<A, E>): boolean =>
  exit !== undefined && Exit.isSuccess(exit) && (options.allowed?.(exit.value) ?? givenUp)

const failureOf = ({ exit }: KilledRun.Result<unknown, unknown>): ReadonlyArray<string> =>
  exit !== undefined && Exit.isFailure(exit) ? [ResultChecks.scriptFails(exit.cause)] : []

const failure = ({ output, result, run, seed, violations }: {
  readonly seed: number
  readonly run: number
  readonly result: KilledRun.Result<unknown, unknown>
  readonly violations: ReadonlyArray<string>
  readonly output: string
}): CrashTestError => {
  const token = Schedule.encode(result.kills)
  return Failure.make({
    title: run === 0 ? "The run without kills" : `Run ${run} of seed ${seed}, killed by ${token}`,
    token,
    violations,
    details: output === "" ? [] : ["What the server wrote last:", output.trimEnd().replaceAll(/^/gm, "  ")],
    timeline: result.timeline
  })
}
