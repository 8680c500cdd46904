/**
 * A wheel of timers: what is armed, for the calls that fall to it. Its calls
 * decide; the wheel only remembers when to look at them, since Reboot counts at
 * most 1,024 tasks a type and one task a wheel is enough.
 *
 * @internal
 */
import type { Versioned } from "./Application.ts"
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
  /** Fired, or no longer armed. */
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
