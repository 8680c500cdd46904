/**
 * One timer for all followers: thousands of silent responses cost one wake-up a
 * second, not a timer each.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

interface Entry {
  readonly at: number
  readonly ring: () => void
}

/** Calls `ring` once, at `at` (as `time` tells it) or up to `resolution` later; or when all are rung. */
export interface Alarm {
  readonly set: (at: number, ring: () => void) => () => void
  readonly ringAll: () => void
}

/** Milliseconds by a clock that nobody sets: silence is broken in time, whatever becomes of the wall clock. */
export const time = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** Runs until the scope closes. `resolution` in ms. */
export const make = Effect.fnUntraced(function*(
  resolution: number
): Effect.fn.Return<Alarm, never, Scope.Scope> {
  const entries = new Set<Entry>()
  const ringUntil = (now: number) => {
    // Not those that are set meanwhile: they have the next tick.
    for (const entry of Array.from(entries)) {
      if (entry.at <= now) {
        entries.delete(entry)
        entry.ring()
      }
    }
  }
  yield* Effect.sleep(resolution).pipe(
    Effect.andThen(Clock.clockWith((clock) => Effect.sync(() => ringUntil(time(clock))))),
    Effect.forever,
    Effect.forkScoped
  )
  return {
    set: (at, ring) => {
      const entry = { at, ring }
      entries.add(entry)
      return () => {
        entries.delete(entry)
      }
    },
    ringAll: () => ringUntil(Infinity)
  }
})
