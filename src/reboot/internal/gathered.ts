/**
 * Group commit of one state: what comes while a write is under way goes with the
 * next one.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { StoreError } from "../../store/StoreError.ts"

interface Batch<A> {
  readonly items: Array<A>
  /** Absent before its write has ended, also when who wrote it was interrupted. */
  exit: Exit.Exit<void, StoreError> | undefined
}

/**
 * Waits until the write that takes the item along has returned. Writes do not
 * overlap, and items are in the order in which they came. An item is written
 * twice where its writer was interrupted and others wait for the same write.
 *
 * @internal
 */
export const make = <A>(
  write: (items: ReadonlyArray<A>) => Effect.Effect<void, StoreError>
): (item: A) => Effect.Effect<void, StoreError> => {
  const lock = Semaphore.makeUnsafe(1)
  let open: Batch<A> = { items: [], exit: undefined }

  const writeBatch = (batch: Batch<A>): Effect.Effect<void, StoreError> =>
    Effect.suspend(() => {
      if (batch.exit !== undefined) {
        return batch.exit
      }
      if (batch === open) {
        open = { items: [], exit: undefined }
      }
      return Effect.onExit(write(batch.items), (exit) =>
        Effect.sync(() => {
          if (!Exit.hasInterrupts(exit)) {
            batch.exit = exit
          }
        }))
    })

  return (item) =>
    Effect.suspend(() => {
      const batch = open
      batch.items.push(item)
      return lock.withPermit(writeBatch(batch))
    })
}
