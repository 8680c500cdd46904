/**
 * Counts the fibers of a process: what its context reaches.
 *
 * @internal
 */
import type * as Metric from "effect/Metric"

/** @internal */
export interface Fibers {
  /** For `Metric.FiberRuntimeMetrics`. */
  readonly service: Metric.FiberRuntimeMetricsService
  /** Fibers that have started and not ended. */
  readonly alive: () => number
}

/** @internal */
export const make = (): Fibers => {
  let alive = 0
  return {
    service: {
      recordFiberStart: () => {
        alive++
      },
      recordFiberEnd: () => {
        alive--
      }
    },
    alive: () => alive
  }
}
