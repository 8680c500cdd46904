/**
 * The timers of the store: wheels in Reboot, which outlive the process, and in
 * memory the timers that this process looks after. A wheel does not fire by
 * itself: its task only says that it is to be loaded, and the store's driver asks
 * what is due.
 *
 * A timer that fires again after a crash, or that nobody disarmed, does no harm:
 * the call takes the first signal of a name.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../store/StoreError.ts"
import type { Application } from "./Application.ts"
import * as gathered from "./gathered.ts"
import * as holdBack from "./holdBack.ts"
import { timersOf, type TimersState, type WheelTimer } from "./timersState.ts"

/** @internal */
export interface Wheels {
  /** The timers are in their wheels, durable. One that is armed again replaces the one before. */
  readonly arm: (timers: ReadonlyArray<WheelTimer>) => Effect.Effect<void, StoreError>
  /**
   * A signal of that name came, whatever became of it; without a name: the
   * execution has ended. Costs nothing where no timer is known. Memory forgets it
   * at once, the wheel a while later.
   */
  readonly disarm: (id: string, name?: string) => void
  /** `disarm`, durable when it returns: before the id of an execution may be used anew. */
  readonly forget: (ids: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  /**
   * The task of a wheel: it is loaded, and looked after until it is empty. Tries
   * again for as long as the store is ours; after that it only waits for its
   * interruption, which leaves the task to the next process.
   */
  readonly task: (wheelId: string) => Effect.Effect<void>
  /** Another process may have written the wheel. */
  readonly changed: (wheelId: string) => void
  /** Time of the earliest timer here. */
  readonly nextTimer: Effect.Effect<number | undefined, StoreError>
  /** Timers due at `now`, earliest first. They are to be signalled, and are due until they are disarmed. */
  readonly due: (now: number, limit: number) => Effect.Effect<ReadonlyArray<WheelTimer>, StoreError>
}

/** A timer in memory. */
interface Known {
  readonly timer: WheelTimer
  /** Removed since `inOrder` was made. */
  gone: boolean
}

interface Wheel {
  /** One write of it: arms these, and removes what is to be removed. */
  readonly write: (arm: ReadonlyArray<WheelTimer>) => Effect.Effect<void, StoreError>
  /** Timers by the text of their key. */
  timers: Map<string, Known>
  /** The same in order of time. */
  inOrder: ReadonlyArray<Known>
  /** Names by execution, also of what was armed here when another process looks after the wheel. */
  names: Map<string, Set<string>>
  /** Version of the state that was seen last. */
  version: number
  /** What waits to be removed. */
  readonly removals: Map<string, Pick<WheelTimer, "id" | "name">>
  /** Opened when the state is found empty. */
  readonly drained: Latch.Latch
}

const keyOf = ({ id, name }: Pick<WheelTimer, "id" | "name">): string => JSON.stringify([id, name])

/** FNV-1a: the same in every version of this package. */
const hash = (text: string): number => {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  }
  return h >>> 0
}

const addName = (names: Wheel["names"], { id, name }: WheelTimer): void => {
  const ofId = names.get(id)
  if (ofId === undefined) {
    names.set(id, new Set([name]))
  } else {
    ofId.add(name)
  }
}

const earliest = (wheel: Wheel): number => wheel.inOrder.find(({ gone }) => !gone)?.timer.at ?? Infinity

/** Memory holds what the state says, without what waits to be removed. */
const publish = (wheel: Wheel, state: TimersState): void => {
  if (state.version < wheel.version) {
    return
  }
  wheel.version = state.version
  wheel.timers = new Map()
  wheel.names = new Map()
  for (const timer of timersOf(state)) {
    const key = keyOf(timer)
    if (!wheel.removals.has(key)) {
      wheel.timers.set(key, { timer, gone: false })
      addName(wheel.names, timer)
    }
  }
  wheel.inOrder = Array.from(wheel.timers.values()).sort((a, b) => a.timer.at - b.timer.at)
  if (state.timers.length === 0) {
    wheel.drained.openUnsafe()
  }
}

/** Whether there was something to remove. */
const remove = (wheel: Wheel, id: string, name: string): boolean => {
  const key = keyOf({ id, name })
  const known = wheel.timers.get(key)
  const names = wheel.names.get(id)
  const isNamed = names?.delete(name) === true
  if (!isNamed && known?.gone !== false) {
    return false
  }
  if (names?.size === 0) {
    wheel.names.delete(id)
  }
  if (known !== undefined) {
    known.gone = true
  }
  wheel.removals.set(key, { id, name })
  return true
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  application: Pick<Application, "read" | "write">,
  options: {
    /** Default 32. A write rewrites one of them. */
    readonly count?: number | undefined
    /** A timer has been found that is earlier than all before it. */
    readonly armed?: ((at: number) => void) | undefined
  } = {}
): Effect.fn.Return<Wheels, never, Scope.Scope> {
  const { armed, count = 32 } = options
  const scope = yield* Effect.scope
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const wheels = new Map<string, Wheel>()

  const wheelIdOf = ({ id }: Pick<WheelTimer, "id">): string => String(hash(id) % count)

  const wheelOf = (wheelId: string): Wheel => {
    let wheel = wheels.get(wheelId)
    if (wheel === undefined) {
      wheel = {
        write: gathered.make<ReadonlyArray<WheelTimer>>((batch) => write(wheelId, batch.flat())),
        timers: new Map(),
        inOrder: [],
        names: new Map(),
        version: -1,
        removals: new Map(),
        drained: Latch.makeUnsafe(false)
      }
      wheels.set(wheelId, wheel)
    }
    return wheel
  }

  const write = (wheelId: string, arm: ReadonlyArray<WheelTimer>): Effect.Effect<void, StoreError> =>
    Effect.suspend(() => {
      const wheel = wheelOf(wheelId)
      const last = new Map(arm.map((timer) => [keyOf(timer), timer]))
      const removals = Array.from(wheel.removals).filter(([key]) => !last.has(key))
      if (last.size === 0 && removals.length === 0) {
        return Effect.void
      }
      const request = { arm: Array.from(last.values()), remove: removals.map(([, removal]) => removal) }
      return Effect.map(application.write("Timers", wheelId, request), ({ state }) => {
        for (const [key, removal] of removals) {
          // not one that was asked for since
          if (wheel.removals.get(key) === removal) {
            wheel.removals.delete(key)
          }
        }
        if (state !== undefined) {
          see(wheel, state)
        }
      })
    })

  const see = (wheel: Wheel, state: TimersState): void => {
    const before = earliest(wheel)
    publish(wheel, state)
    if (earliest(wheel) < before) {
      armed?.(earliest(wheel))
    }
  }

  const load = (wheelId: string): Effect.Effect<void, StoreError> =>
    holdBack.persist(
      "A wheel of timers was not read",
      Effect.map(application.read("Timers", wheelId), (state) => see(wheelOf(wheelId), state))
    )

  /** The wheels that had something to remove: one, unless their number has changed between versions. */
  const removeFrom = (id: string, name: string | undefined): ReadonlyArray<Wheel> =>
    Array.from(wheels.values()).filter((wheel) =>
      (name === undefined ? Array.from(wheel.names.get(id) ?? []) : [name])
        .filter((each) => remove(wheel, id, each)).length > 0
    )

  const writeAll = (some: Iterable<Wheel>): Effect.Effect<void, StoreError> =>
    Effect.forEach(some, (wheel) => wheel.write([]), { concurrency: "unbounded", discard: true })

  const removing = yield* holdBack.make(
    "Timers that are no longer armed were not removed",
    Effect.suspend(() => writeAll(Array.from(wheels.values()))),
    8
  )

  return {
    arm: (timers) =>
      Effect.suspend(() => {
        for (const timer of timers) {
          const wheel = wheelOf(wheelIdOf(timer))
          // of the one before
          wheel.removals.delete(keyOf(timer))
          addName(wheel.names, timer)
        }
        return Effect.forEach(Map.groupBy(timers, wheelIdOf), ([wheelId, some]) => wheelOf(wheelId).write(some), {
          concurrency: "unbounded",
          discard: true
        })
      }),
    disarm: (id, name) => {
      if (removeFrom(id, name).length > 0) {
        removing.later()
      }
    },
    forget: (ids) => Effect.suspend(() => writeAll(new Set(ids.flatMap((id) => removeFrom(id, undefined))))),
    task: (wheelId) =>
      Effect.suspend(() => {
        const { drained } = wheelOf(wheelId)
        drained.closeUnsafe()
        return Effect.matchEffect(load(wheelId), { onSuccess: () => drained.await, onFailure: () => Effect.never })
      }),
    changed: (wheelId) => {
      const wheel = wheels.get(wheelId)
      if (wheel !== undefined && wheel.version >= 0) {
        runFork(Effect.forkIn(Effect.ignore(load(wheelId)), scope))
      }
    },
    nextTimer: Effect.sync(() => {
      let at = Infinity
      for (const wheel of wheels.values()) {
        at = Math.min(at, earliest(wheel))
      }
      return at === Infinity ? undefined : at
    }),
    due: (now, limit) =>
      Effect.sync(() => {
        const due: Array<Known> = []
        for (const { inOrder } of wheels.values()) {
          for (const known of inOrder) {
            if (known.timer.at > now) {
              break
            }
            if (!known.gone) {
              due.push(known)
            }
          }
        }
        return due.sort((a, b) => a.timer.at - b.timer.at).slice(0, limit).map(({ timer }) => timer)
      })
  }
})
