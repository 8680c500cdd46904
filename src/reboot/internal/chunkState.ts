/**
 * A value that is written once: the first write wins.
 *
 * @internal
 */
import type { Versioned } from "./Application.ts"

/** @internal */
export interface ChunkRequest {
  readonly value: string
}

/** @internal */
export interface ChunkResponse {
  readonly version: number
  readonly fresh: boolean
  /** What stands, where it is another one. */
  readonly value: string | undefined
}

/** @internal */
export interface ChunkState extends Versioned {
  readonly value: string
}
