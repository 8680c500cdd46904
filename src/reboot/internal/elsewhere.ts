/**
 * States of other processes that this one may remember: it is told when they
 * change. Where it may not have been told, all of them have changed.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { StateType } from "./Application.ts"

/** @internal */
export interface Elsewhere {
  /** `Application.watch`. */
  readonly watch: (changed: (type: StateType, id: string) => void) => Effect.Effect<void, never, Scope.Scope>
  /** It is read or written, and may be remembered from now on. */
  readonly seen: (type: StateType, id: string) => void
  readonly changed: (type: StateType, id: string) => void
  /** Nobody knows what has changed. */
  readonly missed: () => void
}

/** Of what is not followed any more, nothing may be remembered. */
const kept = 16_384

/** @internal */
export const make = (): Elsewhere => {
  const watchers = new Set<(type: StateType, id: string) => void>()
  const seen = newest<readonly [StateType, string]>(kept)

  const changed = (type: StateType, id: string): void => {
    for (const watcher of watchers) watcher(type, id)
  }

  return {
    watch: (watcher) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => watchers.add(watcher)),
        () => Effect.sync(() => watchers.delete(watcher))
      )),
    seen: (type, id) => {
      const gone = seen.set(`${type}/${id}`, [type, id])
      if (gone !== undefined) changed(...gone)
    },
    changed,
    missed: () => {
      for (const state of seen.clear()) changed(...state)
    }
  }
}

/** Keeps the newest entries. @internal */
export interface Newest<A> {
  readonly get: (key: string) => A | undefined
  readonly take: (key: string) => A | undefined
  /** Returns what had to go. */
  readonly set: (key: string, value: A) => A | undefined
  /** Returns what was there. */
  readonly clear: () => ReadonlyArray<A>
}

/** @internal */
export const newest = <A>(limit: number): Newest<A> => {
  const entries = new Map<string, A>()
  return {
    get: (key) => entries.get(key),
    take: (key) => {
      const value = entries.get(key)
      entries.delete(key)
      return value
    },
    set: (key, value) => {
      entries.delete(key)
      entries.set(key, value)
      if (entries.size <= limit) return undefined
      const [oldest, gone] = entries.entries().next().value!
      entries.delete(oldest)
      return gone
    },
    clear: () => {
      const all = Array.from(entries.values())
      entries.clear()
      return all
    }
  }
}
