/**
 * What the store may do a little later, many at once.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { delayMillis } from "../../store/internal/backoff.ts"
import { StoreError } from "../../store/StoreError.ts"
import { Backoff } from "../../store/StoreLimits.ts"

/**
 * How long entries of the directory wait for others to be written with them; the
 * task of what they are of waits too, so that none is lost. Timers that are no
 * longer armed, for which nobody waits, are held back eight times as long.
 * Default 250 ms.
 *
 * @internal
 */
export const HoldBack: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/reboot/HoldBack",
  { defaultValue: () => "250 millis" }
)

/**
 * Tries again for as long as the store is ours.
 *
 * @internal
 */
export const persist = Effect.fnUntraced(function*<A>(
  what: string,
  effect: Effect.Effect<A, StoreError>
): Effect.fn.Return<A, StoreError> {
  const backoff = yield* Backoff
  for (let failures = 1;; failures++) {
    const exit = yield* Effect.result(effect)
    if (exit._tag === "Success") {
      return exit.success
    }
    if (exit.failure.reason === "Fenced") {
      return yield* exit.failure
    }
    yield* Effect.logWarning(`${what}: Reboot cannot be used, trying again`, exit.failure)
    yield* Effect.sleep(delayMillis(backoff, failures))
  }
})

/** @internal */
export interface HeldBack {
  readonly later: () => void
}

/**
 * Runs `flush` a while after `later` was called, once for any number of calls,
 * and again where it fails, also with a defect: others wait for it. Nothing is
 * run after the scope has closed.
 *
 * @param times how many times `HoldBack` it waits
 * @internal
 */
export const make = Effect.fnUntraced(function*(
  what: string,
  flush: Effect.Effect<void, StoreError>,
  times = 1
): Effect.fn.Return<HeldBack, never, Scope.Scope> {
  const wait = Duration.times(Duration.fromInputUnsafe(yield* HoldBack), times)
  const wanted = Latch.makeUnsafe(false)
  const whole = Effect.catchDefect(
    flush,
    (cause) => Effect.fail(new StoreError({ reason: "Io", message: what, cause }))
  )
  yield* wanted.await.pipe(
    Effect.andThen(Effect.sleep(wait)),
    Effect.andThen(wanted.close),
    Effect.andThen(persist(what, whole)),
    Effect.forever,
    Effect.ignore,
    Effect.forkScoped
  )
  return { later: () => wanted.openUnsafe() }
})
