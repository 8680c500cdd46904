/**
 * Backends that can be watched and made to fail.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import type { Backend } from "../../src/store/internal/Backend.ts"
import { fromBackend, type Options } from "../../src/store/internal/fromBackend.ts"
import * as memoryBackend from "../../src/store/internal/memoryBackend.ts"
import type { OpenStream, Store, Write } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"

export interface Harness {
  readonly disk: memoryBackend.Disk
  readonly store: Store["Service"]
  /** Every batch that was applied, with its commits. */
  readonly batches: Array<ReadonlyArray<ReadonlyArray<Write>>>
  /** What the next `apply`s and reads throw, until it is undefined again. */
  failWith: unknown
}

/** A store over a memory disk whose backend does as it is told. */
export const make = (
  options: Options & { readonly disk?: memoryBackend.Disk | undefined } = {}
): Effect.Effect<Harness, never, Scope.Scope> =>
  Effect.gen(function*() {
    const disk = options.disk ?? new memoryBackend.Disk()
    const inner = memoryBackend.make(disk)
    const batches: Harness["batches"] = []
    const guard = <Args extends Array<unknown>, A>(f: (...args: Args) => A) => (...args: Args): A => {
      if (harness.failWith !== undefined) {
        throw harness.failWith
      }
      return f(...args)
    }
    const backend: Backend = {
      apply: guard((commits, now) => {
        batches.push(commits)
        return inner.apply(commits, now)
      }),
      key: guard(inner.key),
      session: guard(inner.session),
      execution: guard(inner.execution),
      stream: guard(inner.stream),
      events: guard(inner.events),
      sessions: guard(inner.sessions),
      streams: guard(inner.streams),
      list: guard(inner.list),
      runnable: guard(inner.runnable),
      standing: guard(inner.standing),
      nextTimer: guard(inner.nextTimer),
      dueTimers: guard(inner.dueTimers)
    }
    const harness: Harness = {
      disk,
      batches,
      failWith: undefined,
      store: yield* fromBackend(backend, options)
    }
    return harness
  })

export const diskFull = new StoreError({ reason: "DiskFull", message: "No room" })

/** Lets everything run that can run without the clock. */
export const settle = Effect.gen(function*() {
  for (let i = 0; i < 20; i++) {
    yield* Effect.yieldNow
  }
})

export const openStream = (stream: string): OpenStream => ({
  _tag: "OpenStream",
  stream,
  principal: "anonymous",
  requestDigest: "d",
  version: "2025-11-25"
})

export const append = (stream: string, key: string): Write => ({
  _tag: "Append",
  stream,
  key,
  data: JSON.stringify(key)
})

export const start = (id: string, parent?: string): Write => ({
  _tag: "StartExecution",
  id,
  workflow: "ToolCall",
  payload: "{}",
  parent
})

export const park = (id: string, state: "waiting" | "stopped" | "stuck", seenSignals = 0): Write => ({
  _tag: "Park",
  id,
  seenSignals,
  seenCancel: false,
  state
})
