/**
 * Wake-ups by topic. Costs one map entry for each topic that is watched now.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { Topic, Watch } from "../Store.ts"

/** @internal */
export interface Watches {
  readonly watch: (topic: Topic) => Watch
  readonly notify: (tag: Topic["_tag"], id: string) => void
  /** Number of open watches. */
  readonly size: () => number
}

const idOf = (topic: Topic): string => topic._tag === "Stream" ? topic.stream : topic.id

/** @internal */
export const make = (): Watches => {
  const topics = {
    Stream: new Map<string, Set<Latch.Latch>>(),
    Execution: new Map<string, Set<Latch.Latch>>(),
    Session: new Map<string, Set<Latch.Latch>>()
  }
  return {
    watch: (topic) => {
      const id = idOf(topic)
      const byId = topics[topic._tag]
      const latch = Latch.makeUnsafe(false)
      let latches = byId.get(id)
      if (latches === undefined) {
        latches = new Set()
        byId.set(id, latches)
      }
      latches.add(latch)
      return {
        // The latch is closed by the fiber that goes on, not by what opens it: a
        // `next` that loses a race in the same turn leaves the change for the next one.
        next: Effect.flatMap(latch.await, () => latch.close).pipe(Effect.asVoid),
        wake: () => latch.openUnsafe(),
        close: () => {
          const open = byId.get(id)
          if (open !== undefined && open.delete(latch) && open.size === 0) {
            byId.delete(id)
          }
        }
      }
    },
    notify: (tag, id) => {
      const latches = topics[tag].get(id)
      if (latches === undefined) {
        return
      }
      // a copy: who is woken may watch the same topic again at once
      for (const latch of Array.from(latches)) {
        latch.openUnsafe()
      }
    },
    size: () => {
      let size = 0
      for (const byId of Object.values(topics)) {
        for (const latches of byId.values()) {
          size += latches.size
        }
      }
      return size
    }
  }
}
