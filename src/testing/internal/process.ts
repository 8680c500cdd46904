/**
 * One process of a simulated server, from its start on a disk to the last of its
 * finalizers.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import { DrainTimeout } from "../../engine/Limits.ts"
import * as StepProbe from "../../engine/StepProbe.ts"
import * as Ids from "../../session/Ids.ts"
import { Store } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { Instance } from "../Disk.ts"
import * as FaultStore from "../FaultStore.ts"
import { World } from "../World.ts"
import * as Fibers from "./fibers.ts"
import * as Network from "./network.ts"
import { seededBytes } from "./seededBytes.ts"

/** A server, built anew for each process. @internal */
export type App<R> = Layer.Layer<never, unknown, Store | World | HttpRouter.HttpRouter | R>

/** @internal */
export interface Options<R> {
  /** From 1. */
  readonly number: number
  readonly instance: Instance
  readonly app: App<R>
  readonly fork: (effect: Effect.Effect<void>) => void
  /** What events said, see `Network.Options`. */
  readonly said: Map<string, string>
  readonly violation: (text: string) => void
  readonly decide: (operation: FaultStore.Operation) => FaultStore.Decision | undefined
  readonly onSettled: (operation: FaultStore.Operation, settled: FaultStore.Settled) => void
  /** Told in the moment of death. */
  readonly onDeath: () => void
  /** A step's body is about to run, or has ended: whether the process dies there. */
  readonly onStep: (attempt: StepProbe.Attempt, when: "before" | "after") => boolean
  readonly onEffect: (name: string, key: string | undefined) => number
}

/** @internal */
export interface Process<R> {
  readonly number: number
  /** The store as it is, for those who check it. */
  readonly store: Store["Service"]
  readonly died: Effect.Effect<void>
  readonly isDead: () => boolean
  /** The disk is at work. */
  readonly isBusy: () => boolean
  readonly kill: Effect.Effect<void>
  /** Starts the server: what it failed with, or nothing when it serves or has died. */
  readonly start: Effect.Effect<Cause.Cause<unknown> | undefined, never, R>
  /** Defined when it serves. */
  readonly network: () => Network.Network | undefined
  /** Ends it in order, or cleans up after it. Returns when its finalizers have. */
  readonly close: Effect.Effect<void>
  /** What it has left behind, when it was closed. */
  readonly leaks: () => ReadonlyArray<string>
}

/** Opens the disk for a process. Fails where the store refuses it. @internal */
export const open: <R>(options: Options<R>) => Effect.Effect<Process<R>, StoreError> = Effect.fnUntraced(
  function*<R>(options: Options<R>) {
    const { instance, number } = options
    const scope = Scope.makeUnsafe()
    const fibers = Fibers.make()
    let network: Network.Network | undefined

    const opened = yield* Layer.buildWithMemoMap(instance.layer, Layer.makeMemoMapUnsafe(), scope).pipe(
      Effect.provideService(Metric.FiberRuntimeMetrics, fibers.service),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    const store = Context.get(opened, Store)
    const fault = yield* FaultStore.make(store, {
      decide: options.decide,
      tear: instance.tear,
      onSettled: options.onSettled,
      onDeath: () => {
        options.onDeath()
        network?.cut()
      }
    })

    /** From its death on, nothing of a process goes on. */
    const reach = (attempt: StepProbe.Attempt, when: "before" | "after") =>
      Effect.suspend(() => {
        if (fault.isDead()) {
          return nothing
        }
        return options.onStep(attempt, when) ? Effect.andThen(fault.kill, nothing) : Effect.void
      })

    const probe: StepProbe.Probe = {
      begins: (attempt) => reach(attempt, "before"),
      ended: (attempt, exit) => Exit.hasInterrupts(exit) ? Effect.void : reach(attempt, "after")
    }

    const world = World.of({
      effect: (name, { key } = {}) =>
        Effect.suspend(() =>
          fault.isDead()
            ? Effect.die(new Error("This process has died"))
            : Effect.succeed(options.onEffect(name, key))
        )
    })

    const app = options.app.pipe(
      Layer.provideMerge(HttpRouter.layer),
      Layer.provide(Ids.layerWith(seededBytes(number))),
      Layer.provide(Layer.mergeAll(Layer.succeed(World)(world), Layer.succeed(Store)(fault.store)))
    )

    const build = Effect.gen(function*() {
      const built = yield* Effect.raceFirst(
        Effect.exit(Layer.buildWithMemoMap(app, Layer.makeMemoMapUnsafe(), scope)),
        Effect.as(fault.died, undefined)
      )
      if (built === undefined || fault.isDead()) {
        return undefined
      }
      if (Exit.isFailure(built)) {
        return built.cause
      }
      const serve = HttpEffect.toWebHandlerWith<never, Scope.Scope | HttpServerRequest.HttpServerRequest>(
        yield* Effect.context<never>()
      )
      network = Network.make({
        fetch: serve(Context.get(built.value, HttpRouter.HttpRouter).asHttpEffect()),
        isDead: fault.isDead,
        fork: options.fork,
        said: options.said,
        violation: options.violation
      })
      return undefined
    })

    return {
      number,
      store,
      died: fault.died,
      isDead: fault.isDead,
      isBusy: fault.isBusy,
      kill: fault.kill,
      start: build.pipe(
        Effect.provideService(Metric.FiberRuntimeMetrics, fibers.service),
        Effect.provideService(StepProbe.StepProbe, probe),
        // Who is killed lets nothing finish.
        Effect.provideService(DrainTimeout, 0)
      ),
      network: () => network,
      close: Effect.andThen(Scope.close(scope, Exit.void), Effect.sync(() => network?.cut())),
      leaks: () => [
        ...count(fibers.alive(), "fiber"),
        ...count(network?.open() ?? 0, "response")
      ]
    }
  }
)

const nothing: Effect.Effect<never> = Effect.interruptible(Effect.never)

const count = (n: number, what: string): ReadonlyArray<string> => n === 0 ? [] : [`${n} ${what}${n === 1 ? "" : "s"}`]
