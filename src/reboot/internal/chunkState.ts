/**
 * A value that is written once: the first write wins.
 *
 * @internal
 */
import type { Machine, Versioned } from "./Application.ts"

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

/** @internal */
export const machine: Machine<"Chunk"> = {
  empty: { version: 0, value: "" },
  apply: (state, { value }) => {
    if (state.version > 0) {
      const { value: stands, version } = state
      return {
        state,
        response: { version, fresh: false, value: stands === value ? undefined : stands },
        task: false
      }
    }
    return { state: { version: 1, value }, response: { version: 1, fresh: true, value: undefined }, task: false }
  }
}
