/**
 * Time that passes only when everything else has come to rest.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** @internal */
export interface VirtualClock {
  readonly clock: Clock.Clock
  readonly now: () => number
  /** Wakes the earliest sleepers. False when nobody sleeps, except for ever. */
  readonly advance: () => boolean
}

/** @internal */
export const make = (start: number, onSleep: () => void): VirtualClock => {
  let now = start
  /** By time of waking, ties in the order in which they fell asleep. */
  const sleepers: Array<Sleeper> = []

  const add = (sleeper: Sleeper) => {
    const after = sleepers.findIndex((other) => other.at > sleeper.at)
    sleepers.splice(after === -1 ? sleepers.length : after, 0, sleeper)
    onSleep()
  }

  const nanos = () => BigInt(now) * 1_000_000n

  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.callback((resume) => {
        // as of a real clock, times are whole milliseconds
        const sleeper = { at: now + Math.ceil(Duration.toMillis(duration)), wake: () => resume(Effect.void) }
        add(sleeper)
        return Effect.sync(() => {
          const at = sleepers.indexOf(sleeper)
          if (at !== -1) {
            sleepers.splice(at, 1)
          }
        })
      })
  }

  return {
    clock,
    now: () => now,
    advance: () => {
      const first = sleepers[0]
      if (first === undefined || first.at === Infinity) {
        return false
      }
      now = Math.max(now, first.at)
      while (sleepers[0] !== undefined && sleepers[0].at <= now) {
        sleepers.shift()?.wake()
      }
      return true
    }
  }
}
