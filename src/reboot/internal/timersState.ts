/**
 * A wheel of timers: what is armed, for the calls that fall to it. Its calls
 * decide; the wheel only remembers when to look at them, since Reboot counts at
 * most 1,024 tasks a type and one task a wheel is enough.
 *
 * @internal
 */
import type { Machine, Versioned } from "./Application.ts"
import type { Value } from "./value.ts"

/** @internal */
export interface WheelTimer {
  /** Id of the execution. */
  readonly id: string
  readonly name: string
  readonly at: number
  readonly exit: Value
}

/** @internal */
export interface TimersRequest {
  readonly arm: ReadonlyArray<WheelTimer>
  /** Fired, or no longer armed. They go before others are armed. */
  readonly remove: ReadonlyArray<{ readonly id: string; readonly name: string }>
}

/** @internal */
export interface TimersResponse {
  readonly version: number
}

/** @internal */
export interface TimersState extends Versioned {
  /** JSON of `WheelTimer`. */
  readonly timers: ReadonlyArray<string>
}

/** Begins the text of the timer of this key. */
const keyText = (id: string, name: string): string => JSON.stringify({ id, name }).slice(0, -1)

/**
 * The timers of a wheel.
 *
 * @internal
 */
export const timersOf = (state: TimersState): ReadonlyArray<WheelTimer> =>
  state.timers.map((text): WheelTimer => JSON.parse(text))

/**
 * A timer that is armed again replaces the one before: what is armed is what its
 * call says last.
 *
 * @internal
 */
export const machine: Machine<"Timers"> = {
  empty: { version: 0, timers: [] },
  apply: (state, { arm, remove }) => {
    const timers = Array.from(state.timers)
    let changed = false
    const placeOf = (id: string, name: string): number => {
      const key = keyText(id, name)
      return timers.findIndex((text) => text.startsWith(key))
    }
    for (const { id, name } of remove) {
      const place = placeOf(id, name)
      if (place >= 0) {
        timers.splice(place, 1)
        changed = true
      }
    }
    for (const { at, exit, id, name } of arm) {
      const text = JSON.stringify({ id, name, at, exit })
      const place = placeOf(id, name)
      if (place < 0) {
        timers.push(text)
        changed = true
      } else if (timers[place] !== text) {
        timers[place] = text
        changed = true
      }
    }
    const after = changed ? { version: state.version + 1, timers } : state
    return {
      state: after,
      response: { version: after.version },
      task: state.timers.length === 0 && after.timers.length > 0
    }
  }
}
