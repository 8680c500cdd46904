/**
 * What a failed execution has to undo, in the order of the record: concurrent
 * steps may come in another order in a replay, and last first must not depend
 * on it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import type { Replay } from "./Replay.ts"

/** @internal */
export type Undo = (cause: Cause.Cause<unknown>) => Effect.Effect<void>

/** @internal */
export class Compensations {
  readonly #replay: Replay
  /** By the path of the step. */
  readonly #undos = new Map<string, Undo>()
  /** Paths in the order of their records; absent where steps have come since. */
  #order: Array<string> | undefined

  constructor(replay: Replay) {
    this.#replay = replay
  }

  /** False where the step is known already. */
  add(path: string, undo: Undo): boolean {
    if (this.#undos.has(path)) {
      return false
    }
    this.#undos.set(path, undo)
    this.#order = undefined
    return true
  }

  /** Takes that of the step which was recorded last. */
  take(): Undo | undefined {
    this.#order ??= Array.from(this.#replay.values(), ({ name }) => name).filter((name) => this.#undos.has(name))
    const path = this.#order.pop()
    const undo = path === undefined ? undefined : this.#undos.get(path)
    if (path !== undefined) {
      this.#undos.delete(path)
    }
    return undo
  }
}
