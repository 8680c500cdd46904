/**
 * One run of a program over the processes of a schedule: on one disk, in one
 * world, with one client, in virtual time. Whatever happens, it happens again
 * for the same schedule.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as References from "effect/References"
import type * as Schema from "effect/Schema"
import * as Client from "../Client.ts"
import type { Disk } from "../Disk.ts"
import type * as FaultStore from "../FaultStore.ts"
import { deaths, type Fault, type Schedule } from "../Schedule.ts"
import type { Timeline } from "../Timeline.ts"
import * as Director from "./director.ts"
import type * as Network from "./network.ts"
import * as Observer from "./observer.ts"
import * as Process from "./process.ts"
import * as VirtualClock from "./virtualClock.ts"

/** What is simulated. @internal */
export interface Program<A, E, R> {
  /** The server. Built anew for each process; what it does outside goes through `World`. */
  readonly app: Process.App<R>
  /** Where it serves. */
  readonly path: string
  /** What the client does; its value is the result of the run. */
  readonly script: (client: Client.Client) => Effect.Effect<A, E, R>
  readonly answer: Client.Options["answer"]
  readonly capabilities: Readonly<Record<string, Schema.Json>> | undefined
}

/** @internal */
export interface Result<A, E> {
  /** What has happened of the schedule, in absolute numbers. */
  readonly schedule: Schedule
  /** Undefined when the script did not end. */
  readonly exit: Exit.Exit<A, E> | undefined
  /** Processes that died as planned. */
  readonly crashes: number
  /** What each process did on its store. */
  readonly operations: ReadonlyArray<ReadonlyArray<FaultStore.Operation>>
  /** Where each process could have been hit. */
  readonly processes: ReadonlyArray<Points>
  /** Runs of step bodies. */
  readonly steps: number
  /** Milliseconds of virtual time. */
  readonly duration: number
  /** Attempts at the world. */
  readonly attempts: number
  /** Attempts that were repeated under their key: steps that were cut off. */
  readonly repeated: number
  /** What took place in the world, by name. */
  readonly effects: ReadonlyMap<string, number>
  /** Messages of the server, per call, in order. */
  readonly messages: ReadonlyMap<string, ReadonlyArray<string>>
  /** Names of calls of which the script wanted nothing any more. */
  readonly givenUp: ReadonlySet<string>
  /** Effects that took place again because they have no key. */
  readonly keyless: ReadonlySet<string>
  /** Keys of steps: by execution and path. */
  readonly keys: ReadonlyMap<string, string>
  /** What the script gave up: `Cancelled 2`. */
  readonly excuses: ReadonlyArray<string>
  /** What clock and crashes did to the executions: `TimedOut people`, `StepInterrupted mail`. */
  readonly circumstances: ReadonlyArray<string>
  readonly violations: ReadonlyArray<string>
  readonly timeline: Timeline
}

/** Where a process that had the disk can be hit, before the script has ended. @internal */
export interface Points {
  readonly operations: ReadonlyArray<FaultStore.Operation>
  /** Bodies of steps that were begun. */
  readonly bodies: number
  /** Milliseconds of virtual time since its start, at which something happened: ascending. */
  readonly instants: ReadonlyArray<number>
}

/** A process that got the disk. */
interface Had {
  readonly number: number
  readonly startedAt: number
  readonly operations: Array<FaultStore.Operation>
  bodies: number
}

/** A run in which nothing has come of anything for this long, in virtual time, is stuck. */
const patience = Duration.toMillis("26 hours")

/** A run in which this much happens at one instant will never come to rest. */
const restlessness = 50_000

/** How long a process goes on that has lost the disk to another one. */
const overlap = "1 minute"

/** Between two looks whether all has come to rest. */
const longestWait = Duration.toMillis("1 hour")

/** Turns of the event loop without any activity after which time passes. */
const quietTurns = 3

const turn = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/**
 * Runs the script over the processes of the schedule; then starts one more
 * process, to which nothing must be left to do.
 *
 * @internal
 */
export const run: <A, E, R>(
  program: Program<A, E, R>,
  disk: Disk,
  schedule: Schedule,
  baseline: Director.Baseline
) => Effect.Effect<Result<A, E>, never, R> = Effect.fnUntraced(
  function*<A, E, R>(program: Program<A, E, R>, disk: Disk, schedule: Schedule, baseline: Director.Baseline) {
    let activity = 0
    const onActivity = () => void activity++
    const start = Date.UTC(2030, 0, 1)
    const time = VirtualClock.make(start, onActivity)
    const happened: Array<Fault> = []
    /** When the script ended. */
    let ended: number | undefined
    const hadDisk: Array<Had> = []
    const observer = Observer.make({ now: time.now, wall: time.wall, onActivity })

    const simulation = Effect.gen(function*() {
      const instance = yield* disk.make
      const scope = yield* Effect.scope
      const runFork = Effect.runForkWith(yield* Effect.context<never>())
      const said = new Map<string, string>()
      const all: Array<Process.Process<R>> = []
      let opened = 0
      const closing: Array<Fiber.Fiber<void>> = []
      /** The process that has the disk: faults fall on it. */
      let holder: Process.Process<R> | undefined
      /** Where requests go. */
      let serving = Deferred.makeUnsafe<Network.Network>()
      let challenge = Deferred.makeUnsafe<void>()
      const stop = Deferred.makeUnsafe<void>()
      /** No process comes after this one. */
      let over = false
      /** The process in which the disk has failed, which may end it. */
      let failed: Process.Process<R> | undefined

      const director = Director.make(schedule, baseline, {
        now: time.now,
        at: time.at,
        kill: () => void Effect.runSync(holder?.kill ?? Effect.void),
        cutConnections: () => holder?.network()?.cut(),
        repeatPosts: () => holder?.network()?.repeatPosts(),
        jump: time.jump,
        startSecondProcess: () => void Deferred.doneUnsafe(challenge, Effect.void),
        happened: (fault) => {
          happened.push(fault)
          observer.fault(fault)
          if (fault._tag === "FailedOperation") {
            failed = holder
          }
        }
      })

      /** The next process opens the disk, or the store refuses it. */
      const open = Effect.suspend(() => {
        const number = ++opened
        const isHolder = () => holder?.number === number
        const had: Had = { number, startedAt: time.now(), operations: [], bodies: 0 }
        observer.starts(number)
        const process = Process.open<R>({
          number,
          instance,
          app: program.app,
          fork: (effect) => void runFork(Effect.forkIn(effect, scope)),
          said,
          violation: observer.violation,
          decide: (operation) => {
            observer.operation(number, operation)
            if (ended === undefined) {
              had.operations.push(operation)
            }
            return isHolder() ? director.operation(operation) : undefined
          },
          onSettled: (operation, settled) => observer.settled(number, operation, settled),
          onDeath: () => {
            observer.say("process", "dies", number)
            if (isHolder()) {
              instance.died?.()
            }
          },
          onStep: (attempt, when) => {
            had.bodies += when === "before" ? 1 : 0
            observer[when === "before" ? "stepBegins" : "stepEnded"](number, attempt)
            return isHolder() && director.step(attempt.path, when)
          },
          onEffect: (name, key) => observer.effect(number, name, key)
        })
        return Effect.tap(process, () => Effect.sync(() => hadDisk.push(had)))
      })

      /** Gives the process the disk and starts its server. */
      const start = Effect.fnUntraced(function*(process: Process.Process<R>) {
        all.push(process)
        holder = process
        observer.holds(process.number)
        instance.opened?.(() => Effect.runSync(process.kill))
        yield* Effect.orDie(observer.opened(process.store, instance.check))
        challenge = Deferred.makeUnsafe()
        director.processStarted()
        const cause = yield* process.start
        const network = process.network()
        if (network !== undefined) {
          yield* Deferred.succeed(serving, network)
        } else if (cause !== undefined && failed === process) {
          observer.say("process", "cannot start, since its disk has failed")
          yield* process.kill
        } else if (cause !== undefined) {
          observer.violation(`the process did not start: ${Cause.pretty(cause)}`)
          return yield* Effect.never
        }
      })

      const bury = Effect.fnUntraced(function*(process: Process.Process<R>) {
        // A disk that does not know of deaths is opened when the dead process has let go of it.
        if (instance.died === undefined) {
          yield* process.close
        } else {
          closing.push(yield* Effect.forkIn(process.close, scope))
        }
      })

      /** It goes on, and does not know that it has lost the disk, until somebody sees to it. */
      const outlive = Effect.fnUntraced(function*(process: Process.Process<R>) {
        yield* Effect.raceFirst(Effect.sleep(overlap), process.died)
        yield* process.kill
        yield* process.close
      })

      /** A second process opens the disk while the first one lives; the store says which of the two has it. */
      const replace = Effect.fnUntraced(function*(first: Process.Process<R>, network: Network.Network) {
        serving = Deferred.makeUnsafe()
        const second = yield* Effect.exit(open)
        if (Exit.isFailure(second)) {
          observer.say("process", `is refused: ${Cause.squash(second.cause)}`, opened)
          observer.holds(first.number)
          challenge = Deferred.makeUnsafe()
          director.processStarted()
          yield* Deferred.succeed(serving, network)
          return first
        }
        closing.push(yield* Effect.forkIn(outlive(first), scope))
        yield* start(second.value)
        return second.value
      })

      /** One process after the other, each from its start to its end. */
      const processes = Effect.gen(function*() {
        while (!over) {
          let process = yield* Effect.orDie(open)
          yield* start(process)
          for (;;) {
            const network = process.network()
            if (network === undefined || process.isDead()) {
              break
            }
            const next: "ends" | "is challenged" = yield* Effect.raceFirst(
              Effect.as(Effect.raceFirst(process.died, Deferred.await(stop)), "ends" as const),
              Effect.as(Deferred.await(challenge), "is challenged" as const)
            )
            if (next === "ends") {
              break
            }
            process = yield* replace(process, network)
          }
          if (process.network() !== undefined) {
            serving = Deferred.makeUnsafe()
          }
          yield* bury(process)
        }
      })

      /** Time passes when everything has come to rest; ends when that is of no use any more. */
      const clockwork = Effect.gen(function*() {
        let seen = activity
        let before = activity
        const isBusy = () => instance.isBusy?.() === true || all.some((process) => process.isBusy())
        for (let quiet = 0;; quiet = activity === seen && !isBusy() ? quiet + 1 : 0) {
          seen = activity
          yield* turn
          if (quiet >= quietTurns) {
            quiet = 0
            before = activity
            if (!time.advance() || time.now() - observer.movedAt() > patience) {
              return "nothing moves any more"
            }
          } else if (activity - before > restlessness) {
            return "everything moves, and no time passes"
          }
        }
      })

      /** What a client has given up goes on without it. */
      const rest = Effect.gen(function*() {
        for (let wait = 1000;; wait = Math.min(wait * 2, longestWait)) {
          const isAtRest = holder !== undefined &&
            (yield* Effect.orElseSucceed(observer.isAtRest(holder.store), () => false))
          if (isAtRest) {
            return
          }
          yield* Effect.sleep(wait)
        }
      })

      /** Retention has taken the stream, since the clock has jumped or the run was long. */
      const isForgotten = (eventId: string) =>
        Effect.suspend(() =>
          holder === undefined
            ? Effect.succeed(false)
            : Effect.match(holder.store.stream({ token: eventId.slice(0, eventId.lastIndexOf(":")) }), {
              onFailure: () => false,
              onSuccess: (stream) => Option.isNone(stream) || stream.value.forgotten
            })
        )

      const script = Effect.gen(function*() {
        const client = yield* Client.make({
          url: new URL(program.path, "http://127.0.0.1").href,
          connect: Effect.suspend(() => Effect.map(Deferred.await(serving), (network) => network.connection())),
          answer: program.answer,
          capabilities: program.capabilities ?? { elicitation: {}, sampling: {}, roots: {} },
          onEventId: observer.eventId,
          onReceived: observer.received,
          onAnswered: observer.answered,
          onAct: (text) => observer.say("client", text),
          onGivenUp: observer.gaveUp,
          onViolation: observer.violation
        })
        const exit = yield* Effect.exit(program.script(client))
        ended = time.now()
        yield* client.settled
        yield* rest
        director.stop()
        observer.ended()
        // What a handler has left running shows itself.
        yield* Effect.sleep("1 minute")
        yield* holder?.kill ?? Effect.void
        yield* Effect.sleep("1 minute")
        for (const [call, firstEventId] of observer.streams()) {
          const replayed = (yield* isForgotten(firstEventId)) ? undefined : yield* client.replay(firstEventId)
          if (replayed !== undefined) {
            observer.replayed(call, replayed)
          }
        }
        yield* Effect.orDie(holder === undefined ? Effect.void : observer.atRest(holder.store, instance.check))
        return exit
      })

      const ticking = yield* Effect.forkScoped(clockwork)
      const supervisor = yield* Effect.forkScoped(processes)
      const exit = yield* Effect.raceFirst(
        script,
        Effect.map(
          Effect.raceFirst(Fiber.await(ticking), Fiber.await(supervisor)),
          (exit: Exit.Exit<string | void>) => {
            observer.violation(
              Exit.isFailure(exit)
                ? Cause.pretty(exit.cause)
                : `${exit.value ?? "there is no process any more"}, and the script has not ended`
            )
            return undefined
          }
        )
      )
      over = true
      // The last one ends in order, unless something is wrong.
      yield* exit === undefined ? holder?.kill ?? Effect.void : Deferred.succeed(stop, undefined)
      // finalizers may wait for time to pass
      yield* Effect.raceFirst(
        Effect.andThen(Fiber.await(supervisor), Effect.suspend(() => Fiber.awaitAll(closing))),
        Fiber.await(ticking)
      )
      if (exit !== undefined) {
        yield* Effect.repeat(turn, { times: quietTurns })
        for (const process of all) {
          for (const leak of process.leaks()) {
            observer.violation(`process ${process.number} left ${leak} behind`)
          }
        }
        for (const file of yield* instance.openFiles ?? Effect.succeed([])) {
          observer.violation(`${file} is still open`)
        }
      }
      return exit
    })

    const exit = yield* simulation.pipe(
      Effect.scoped,
      Effect.provideService(Clock.Clock, time.clock),
      Effect.provideService(References.MinimumLogLevel, "None"),
      Random.withSeed("simulation")
    )
    const duration = (ended ?? time.now()) - start
    const attempts = Array.from(observer.attempts().values())
    const result: Result<A, E> = {
      schedule: happened,
      exit,
      crashes: happened.filter(({ _tag }) => deaths.includes(_tag)).length,
      operations: observer.operations(),
      processes: hadDisk.map(({ bodies, number, operations, startedAt }) => ({
        operations,
        bodies,
        instants: instantsOf(observer.timeline(), number, startedAt - start, duration)
      })),
      steps: observer.steps(),
      duration,
      attempts: attempts.reduce((sum, n) => sum + n, 0),
      repeated: attempts.filter((n) => n > 1).length,
      effects: observer.effects(),
      messages: observer.messages(),
      givenUp: observer.givenUp(),
      keyless: observer.keyless(),
      keys: observer.keys(),
      excuses: observer.excuses(),
      circumstances: observer.circumstances(),
      violations: observer.violations(),
      timeline: observer.timeline()
    }
    return result
  }
)

/** When something happened in a process, from its start to its end or that of the script. */
const instantsOf = (
  timeline: Timeline,
  process: number,
  startedAt: number,
  scriptEndedAt: number
): ReadonlyArray<number> => {
  const instants = new Set<number>()
  for (const { at, process: of } of timeline) {
    if (of === process && at > startedAt && at <= scriptEndedAt) {
      instants.add(at - startedAt)
    }
  }
  return Array.from(instants)
}
