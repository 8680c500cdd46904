/**
 * One run of a program over the processes of a schedule: on one disk, in one
 * world, with one client, in virtual time. Whatever happens, it happens again
 * for the same schedule.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as References from "effect/References"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Ids from "../../session/Ids.ts"
import { Store } from "../../store/Store.ts"
import * as Client from "../Client.ts"
import type { Disk } from "../Disk.ts"
import * as FaultStore from "../FaultStore.ts"
import type { Fault, Schedule } from "../Schedule.ts"
import type { Timeline } from "../Timeline.ts"
import { World } from "../World.ts"
import * as Director from "./director.ts"
import * as Observer from "./observer.ts"
import { seededBytes } from "./seededBytes.ts"
import * as VirtualClock from "./virtualClock.ts"

/** What is simulated. @internal */
export interface Program<A, E, R> {
  /** The server. Built anew for each process; what it does outside goes through `World`. */
  readonly app: Layer.Layer<never, unknown, Store | World | HttpRouter.HttpRouter | R>
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
  readonly excuses: ReadonlyArray<string>
  readonly violations: ReadonlyArray<string>
  readonly timeline: Timeline
}

/** A run in which nothing has come of anything for this long, in virtual time, is stuck. */
const patience = Duration.toMillis("26 hours")

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
    const observer = Observer.make({ now: time.now, onActivity })

    const simulation = Effect.gen(function*() {
      const instance = yield* disk.make
      let connection = Deferred.makeUnsafe<Client.Connection>()
      let process: FaultStore.FaultStore | undefined
      let boot = 0
      /** No process comes after this one. */
      let over = false

      const director = Director.make(schedule, baseline, {
        now: time.now,
        at: time.at,
        kill: () => void Effect.runSync(process?.kill ?? Effect.void),
        cutConnections: () => {},
        repeatPosts: () => {},
        jump: time.jump,
        startSecondProcess: () => {},
        happened: (fault) => {
          happened.push(fault)
          observer.fault(fault)
        }
      })

      /** One process, from its start to its death. */
      const live = Effect.gen(function*() {
        observer.boot(boot++)
        director.processStarted()
        const scope = yield* Scope.make()
        const inner = yield* Layer.buildWithMemoMap(instance.layer, Layer.makeMemoMapUnsafe(), scope)
        const fault = yield* FaultStore.make(Context.get(inner, Store), {
          decide: (operation) => {
            observer.operation(operation)
            return director.operation(operation)
          },
          tear: instance.tear,
          onSettled: observer.settled
        })
        process = fault
        const app = program.app.pipe(
          Layer.provideMerge(HttpRouter.layer),
          Layer.provide(Ids.layerWith(seededBytes(boot))),
          Layer.provide(
            Layer.succeed(World)({
              effect: (name, options) => observer.effect(name, options?.key, fault.isDead)
            })
          ),
          Layer.provide(Layer.succeed(Store)(fault.store))
        )
        const built = yield* Effect.raceFirst(
          Effect.exit(Layer.buildWithMemoMap(app, Layer.makeMemoMapUnsafe(), scope)),
          Effect.as(fault.died, undefined)
        )
        if (built !== undefined && Exit.isSuccess(built)) {
          const router = Context.get(built.value, HttpRouter.HttpRouter)
          const fetch = HttpEffect.toWebHandlerWith<never, Scope.Scope | HttpServerRequest.HttpServerRequest>(
            yield* Effect.context<never>()
          )(router.asHttpEffect())
          yield* Deferred.succeed(connection, { fetch, died: fault.died, isDead: fault.isDead })
          yield* fault.died
          connection = Deferred.makeUnsafe()
        } else if (built !== undefined && !fault.isDead()) {
          observer.violation(`the process did not start: ${Cause.pretty(built.cause)}`)
          return yield* Effect.never
        }
        yield* Scope.close(scope, Exit.void)
      })

      /** Time passes when everything has come to rest; ends when that is of no use any more. */
      const clockwork = Effect.gen(function*() {
        let seen = activity
        for (let quiet = 0;; quiet = activity === seen ? quiet + 1 : 0) {
          seen = activity
          yield* turn
          if (quiet >= quietTurns) {
            quiet = 0
            if (!time.advance() || time.now() - observer.movedAt() > patience) {
              return
            }
          }
        }
      })

      const script = Effect.gen(function*() {
        const client = yield* Client.make({
          url: new URL(program.path, "http://127.0.0.1").href,
          connect: Effect.suspend(() => Deferred.await(connection)),
          answer: program.answer,
          capabilities: program.capabilities ?? { elicitation: {}, sampling: {}, roots: {} },
          onEventId: observer.eventId,
          onReceived: observer.received,
          onAnswered: observer.answered,
          onAct: (text) => observer.say("client", text),
          onViolation: observer.violation
        })
        const exit = yield* Effect.exit(program.script(client))
        yield* client.settled
        director.stop()
        observer.ended()
        yield* process?.kill ?? Effect.void
        yield* Effect.sleep("1 minute")
        for (const [call, firstEventId] of observer.streams()) {
          const messages = yield* client.replay(firstEventId)
          if (messages !== undefined) {
            observer.replayed(call, messages)
          }
        }
        return exit
      })

      const ticking = yield* Effect.forkScoped(clockwork)
      const processes = yield* Effect.forkScoped(
        Effect.whileLoop({ while: () => !over, body: () => live, step: () => {} })
      )
      const exit = yield* Effect.raceFirst(
        script,
        Effect.map(Effect.raceFirst(Fiber.await(ticking), Fiber.await(processes)), (exit) => {
          observer.violation(
            Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "nothing moves any more, and the script has not ended"
          )
          return undefined
        })
      )
      over = true
      yield* process?.kill ?? Effect.void
      // a dead process' finalizers may still wait for time to pass
      yield* Effect.raceFirst(Fiber.await(processes), Fiber.await(ticking))
      return exit
    })

    const exit = yield* simulation.pipe(
      Effect.scoped,
      Effect.provideService(Clock.Clock, time.clock),
      Effect.provideService(References.MinimumLogLevel, "None"),
      Random.withSeed("simulation")
    )
    const attempts = Array.from(observer.attempts().values())
    const result: Result<A, E> = {
      schedule: happened,
      exit,
      crashes: happened.filter(isDeath).length,
      operations: observer.operations(),
      steps: observer.steps(),
      duration: time.now() - start,
      attempts: attempts.reduce((sum, n) => sum + n, 0),
      repeated: attempts.filter((n) => n > 1).length,
      effects: observer.effects(),
      messages: observer.messages(),
      excuses: observer.excuses(),
      violations: observer.violations(),
      timeline: observer.timeline()
    }
    return result
  }
)

const isDeath = ({ _tag }: Fault) =>
  _tag === "Crash" || _tag === "TornCommit" || _tag === "CrashAfter" || _tag === "CrashInStep"
