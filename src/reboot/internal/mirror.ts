/**
 * What this process remembers of states: those that it wrote or read last.
 *
 * The owner of all states trusts it; hosts and fronts do until they hear of a
 * change. Only what is durable comes in, and nothing older replaces what is newer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { StoreError } from "../../store/StoreError.ts"
import type { Application, States, StateType } from "./Application.ts"

/** @internal */
export interface Mirror {
  /** What is known without asking. */
  readonly get: <T extends StateType>(type: T, id: string) => States[T]["state"] | undefined
  readonly read: <T extends StateType>(type: T, id: string) => Effect.Effect<States[T]["state"], StoreError>
  /** The state after a write that is durable; `undefined` where it lives in another process. */
  readonly written: <T extends StateType>(type: T, id: string, state: States[T]["state"] | undefined) => void
  /** What is remembered is old; a read that is under way is not remembered. */
  readonly changed: (type: StateType, id: string) => void
}

interface Remembered {
  readonly state: States[StateType]["state"]
  readonly size: number
}

/** A read that is under way. */
interface Reading {
  old: boolean
}

/** What a state or an entry costs beside its text, roughly. */
const overhead = 64

const sizeOf = (state: States[StateType]["state"]): number => {
  let size = overhead
  for (const value of Object.values(state) as ReadonlyArray<string | number | ReadonlyArray<string>>) {
    if (typeof value === "string") {
      size += value.length
    } else if (typeof value === "object") {
      for (const entry of value) {
        size += entry.length + overhead
      }
    }
  }
  return size
}

/** @internal */
export const make = (application: Application, capacity: number): Mirror => {
  // in the order of their last use
  const states = new Map<string, Remembered>()
  const readings = new Map<string, Set<Reading>>()
  let size = 0

  const forget = (key: string): void => {
    const before = states.get(key)
    if (before !== undefined) {
      states.delete(key)
      size -= before.size
    }
  }

  const remember = (key: string, state: States[StateType]["state"]): void => {
    const before = states.get(key)
    if (before !== undefined && before.state.version > state.version) {
      return
    }
    forget(key)
    const remembered: Remembered = { state, size: sizeOf(state) + key.length }
    states.set(key, remembered)
    size += remembered.size
    for (const oldest of states.keys()) {
      if (size <= capacity) {
        break
      }
      forget(oldest)
    }
  }

  const outdate = (key: string): void => {
    forget(key)
    for (const reading of readings.get(key) ?? []) {
      reading.old = true
    }
  }

  const get = <T extends StateType>(type: T, id: string): States[T]["state"] | undefined => {
    const key = `${type}/${id}`
    const remembered = states.get(key)
    if (remembered === undefined) {
      return undefined
    }
    states.delete(key)
    states.set(key, remembered)
    return remembered.state as States[T]["state"]
  }

  const fetch = Effect.fnUntraced(function*<T extends StateType>(type: T, id: string) {
    const key = `${type}/${id}`
    const reading: Reading = { old: false }
    const others = readings.get(key) ?? new Set()
    readings.set(key, others.add(reading))
    const state = yield* application.read(type, id).pipe(Effect.ensuring(Effect.sync(() => {
      others.delete(reading)
      if (others.size === 0) {
        readings.delete(key)
      }
    })))
    if (!reading.old) {
      remember(key, state)
    }
    return state
  })

  return {
    get,
    read: (type, id) =>
      Effect.suspend(() => {
        const known = get(type, id)
        return known === undefined ? fetch(type, id) : Effect.succeed(known)
      }),
    written: (type, id, state) => {
      if (state === undefined) {
        outdate(`${type}/${id}`)
      } else {
        remember(`${type}/${id}`, state)
      }
    },
    changed: (type, id) => outdate(`${type}/${id}`)
  }
}
