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
  /** Passes steadily. */
  readonly now: () => number
  /** What the processes take for the time: jumps. */
  readonly wall: () => number
  /** Calls back at a time, before those that sleep until then. */
  readonly at: (time: number, f: () => void) => void
  /** The wall clock jumps; sleepers do not notice. */
  readonly jump: (ms: number) => void
  /** Wakes the earliest sleepers. False when nobody sleeps, except for ever. */
  readonly advance: () => boolean
}

/** @internal */
export const make = (start: number, onSleep: () => void): VirtualClock => {
  let now = start
  /** By time of waking, ties in the order in which they fell asleep. */
  const sleepers: Array<Sleeper> = []

  /** By how much the wall clock is wrong. */
  let offset = 0

  const add = (sleeper: Sleeper, isFirst: boolean) => {
    const after = sleepers.findIndex((other) => isFirst ? other.at >= sleeper.at : other.at > sleeper.at)
    sleepers.splice(after === -1 ? sleepers.length : after, 0, sleeper)
    onSleep()
  }

  const wall = () => now + offset
  const nanos = (ms: number) => BigInt(ms) * 1_000_000n

  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: wall,
    currentTimeMillis: Effect.sync(wall),
    currentTimeNanosUnsafe: () => nanos(wall()),
    currentTimeNanos: Effect.sync(() => nanos(wall())),
    monotonicTimeNanosUnsafe: () => nanos(now),
    monotonicTimeNanos: Effect.sync(() => nanos(now)),
    sleep: (duration) =>
      Effect.callback((resume) => {
        // as of a real clock, times are whole milliseconds
        const sleeper = { at: now + Math.ceil(Duration.toMillis(duration)), wake: () => resume(Effect.void) }
        add(sleeper, false)
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
    wall,
    at: (time, f) => add({ at: time, wake: f }, true),
    jump: (ms) => {
      offset += ms
    },
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
