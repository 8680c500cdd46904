/**
 * What all runs of an engine share.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Ids } from "../../session/Ids.ts"
import type { Store } from "../../store/Store.ts"
import type { Probe } from "../StepProbe.ts"

/** @internal */
export interface Environment {
  readonly store: Store["Service"]
  readonly ids: Ids["Service"]
  readonly clock: Clock.Clock
  /** What a body's fiber starts with, besides what is the run's own. */
  readonly context: Context.Context<never>
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** Limits, in milliseconds where they are times. */
  readonly idleDelay: number
  readonly questionLifetime: number
  readonly stepLimit: number
  readonly eventLimit: number
  readonly version: string
  readonly probe: Probe | undefined
  /** No new step may start. */
  readonly isStopping: () => boolean
  /** From before the execution is on disk, nobody else may run it. */
  readonly adopt: (id: string) => void
}

/**
 * Ends the calling fiber as an interruption from outside does: it runs no
 * handlers any more, not even those that catch interruption.
 *
 * @internal
 */
export const halt: Effect.Effect<never> = Effect.interruptible(Effect.callback<never>(() => {
  const fiber = Fiber.getCurrent()
  fiber?.interruptUnsafe(fiber.id)
}))
