/**
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Backoff } from "../StoreLimits.ts"

/**
 * The wait in milliseconds after the n-th failure in a row, from 1.
 *
 * @internal
 */
export const delayMillis = (backoff: typeof Backoff["Service"], failures: number): number => {
  const maximum = Duration.toMillis(backoff.maximum)
  return Math.min(Duration.toMillis(backoff.initial) * 2 ** (failures - 1), maximum)
}
