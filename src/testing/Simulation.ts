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
import * as Ids from "../session/Ids.ts"
import { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Client from "./Client.ts"
import * as FaultStore from "./FaultStore.ts"
import * as Observer from "./internal/observer.ts"
import { seededBytes } from "./internal/seededBytes.ts"
import * as VirtualClock from "./internal/virtualClock.ts"
import type { Schedule } from "./Schedule.ts"
import { World } from "./World.ts"

/**
 * What is simulated.
 *
 * @category models
 * @since 0.1.0
 */
export interface Program<A> {
  /** The server. Built anew for each process; what it does outside goes through `World`. */
  readonly app: Layer.Layer<never, unknown, Store | World | HttpRouter.HttpRouter>
  /** Where it serves. Default `/mcp`. */
  readonly path?: string | undefined
  /** What the client does; its value is the result of the run. */
  readonly script: (client: Client.Client) => Effect.Effect<A>
  /** What the user says to a question. Default: accepts without content. */
  readonly answer?: ((question: Client.Question) => Effect.Effect<Schema.Json>) | undefined
  /** Client capabilities. Default: elicitation, sampling and roots. */
  readonly capabilities?: Readonly<Record<string, Schema.Json>> | undefined
}

/**
 * Makes an empty disk, and gives the layer that opens it: built once for each
 * process, one after the other.
 *
 * @category models
 * @since 0.1.0
 */
export type Disk = Effect.Effect<Layer.Layer<Store, StoreError>, never, Scope.Scope>

/**
 * @category models
 * @since 0.1.0
 */
export interface Run<A> {
  readonly schedule: Schedule
  /** Undefined when the script did not end. */
  readonly value: A | undefined
  /** Processes that died as planned. */
  readonly crashes: number
  /** What each process did on its store. */
  readonly operations: ReadonlyArray<ReadonlyArray<FaultStore.Operation>>
  /** Attempts at the world. */
  readonly attempts: number
  /** Attempts of steps that were made more than once: they were cut off. */
  readonly repeated: number
  /** Messages of the server, per call, in order. */
  readonly messages: ReadonlyMap<string, ReadonlyArray<string>>
  readonly violations: ReadonlyArray<string>
  /** What happened, line by line. */
  readonly timeline: ReadonlyArray<string>
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
 * @category running
 * @since 0.1.0
 */
export const run: <A>(program: Program<A>, disk: Disk, schedule: Schedule) => Effect.Effect<Run<A>> = Effect.fnUntraced(
  function*<A>(program: Program<A>, disk: Disk, schedule: Schedule) {
    let activity = 0
    const onActivity = () => void activity++
    const time = VirtualClock.make(Date.UTC(2030, 0, 1), onActivity)
    const observer = Observer.make({ now: time.now, onActivity })

    const simulation = Effect.gen(function*() {
      const storeLayer = yield* disk
      let connection = Deferred.makeUnsafe<Client.Connection>()
      let process: FaultStore.FaultStore | undefined
      let boot = 0
      let crashes = 0
      /** The script has ended: the next process is there to show that nothing is left to do. */
      let finished = false
      /** No process comes after this one. */
      let over = false

      /** One process, from its start to its death. */
      const live = Effect.gen(function*() {
        const crash = finished ? undefined : schedule[boot]
        observer.boot(boot++)
        const scope = yield* Scope.make()
        const inner = yield* Layer.buildWithMemoMap(storeLayer, Layer.makeMemoMapUnsafe(), scope)
        const fault = yield* FaultStore.make(Context.get(inner, Store), {
          crash,
          onOperation: (operation, dies) => {
            crashes += dies ? 1 : 0
            observer.operation(operation, dies)
          },
          onApplied: observer.applied
        })
        process = fault
        const app = program.app.pipe(
          Layer.provideMerge(HttpRouter.layer),
          Layer.provide(Ids.layerWith(seededBytes(boot))),
          Layer.provide(Layer.succeed(World)({ attempt: (attempt) => observer.attempt(attempt, fault.isDead) })),
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
          url: new URL(program.path ?? "/mcp", "http://127.0.0.1").href,
          connect: Effect.suspend(() => Deferred.await(connection)),
          answer: program.answer,
          capabilities: program.capabilities ?? { elicitation: {}, sampling: {}, roots: {} },
          onEventId: observer.eventId,
          onReceived: observer.received,
          onAnswered: observer.answered,
          onRefused: (what) => observer.violation(`the server refused ${what}`)
        })
        const value = yield* program.script(client)
        yield* client.settled
        finished = true
        observer.ended()
        yield* process?.kill ?? Effect.void
        yield* Effect.sleep("1 minute")
        for (const [call, firstEventId] of observer.streams()) {
          observer.replayed(call, yield* client.replay(firstEventId))
        }
        return value
      })

      const ticking = yield* Effect.forkScoped(clockwork)
      const processes = yield* Effect.forkScoped(
        Effect.whileLoop({ while: () => !over, body: () => live, step: () => {} })
      )
      const value = yield* Effect.raceFirst(
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
      return { value, crashes }
    })

    const { crashes, value } = yield* simulation.pipe(
      Effect.scoped,
      Effect.provideService(Clock.Clock, time.clock),
      Effect.provideService(References.MinimumLogLevel, "None"),
      Random.withSeed("simulation")
    )
    const attempts = Array.from(observer.attempts().values())
    const result: Run<A> = {
      schedule,
      value,
      crashes,
      operations: observer.operations(),
      attempts: attempts.reduce((sum, n) => sum + n, 0),
      repeated: attempts.filter((n) => n > 1).length,
      messages: observer.messages(),
      violations: observer.violations(),
      timeline: observer.timeline()
    }
    return result
  }
)
