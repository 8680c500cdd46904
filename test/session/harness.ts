/** The session layer over a memory disk, with a store that counts and can break. */
import { Context, Effect, Layer } from "effect"
import * as EventLog from "../../src/session/EventLog.ts"
import * as Ids from "../../src/session/Ids.ts"
import * as Outbox from "../../src/session/Outbox.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import * as FaultStore from "../../src/testing/FaultStore.ts"
import type { Operation } from "../../src/testing/FaultStore.ts"

/** What happens to the store of one process, and what has happened. */
export class Faults extends Context.Service<Faults, {
  /** In the order in which they began. */
  readonly operations: ReadonlyArray<Operation>
  /** The process dies at the n-th operation from now, with so many of its writes applied. */
  readonly dieAt: (nth: number, applied: number) => void
  /** Returns when the process has died. */
  readonly died: Effect.Effect<void>
  /** Where it has died. */
  readonly diedAt: () => Operation | undefined
  /** Runs before a read of a session returns. */
  beforeSession: Effect.Effect<void>
}>()("test/session/Faults") {}

const faulty = Layer.effectContext(Effect.gen(function*() {
  const inner = yield* Store
  const operations: Array<Operation> = []
  let crash = { index: 0, applied: 0 }
  let diedAt: Operation | undefined
  const { died, store } = yield* FaultStore.make({
    ...inner,
    // What is read is what stood before: a slow read is a stale one.
    session: (id) => Effect.tap(inner.session(id), () => faults.beforeSession)
  }, {
    decide: (operation) => {
      operations.push(operation)
      if (operation.index !== crash.index) return undefined
      diedAt = operation
      return { _tag: "Crash", applied: crash.applied }
    }
  })
  const faults: Faults["Service"] = {
    operations,
    dieAt: (nth, applied) => {
      crash = { index: operations.length + nth, applied }
    },
    died,
    diedAt: () => diedAt,
    beforeSession: Effect.void
  }
  return Context.make(Store, store).pipe(Context.add(Faults, faults))
}))

/**
 * One crash at every operation of a script, with each number of its writes
 * applied; returns how many. `run` dies there, checks what is left, and returns
 * the operation: none when the script was over before.
 */
export const everyCrash = Effect.fnUntraced(function*<E, R>(
  run: (nth: number, applied: number) => Effect.Effect<Operation | undefined, E, R>
) {
  for (let nth = 1, crashes = 0;; nth++) {
    for (let applied = 0, writes = 0; applied <= writes; applied++) {
      const operation = yield* run(nth, applied)
      if (operation === undefined) return crashes
      writes = operation.writes.length
      crashes++
    }
  }
})

export type Services = Store | Ids.Ids | Sessions.Sessions | Outbox.Outbox | EventLog.EventLog | Faults

/** One process on a disk. */
export const process = (disk: MemoryStore.Disk = MemoryStore.makeDisk()): Layer.Layer<Services, StoreError> =>
  Layer.empty.pipe(
    Layer.provideMerge(EventLog.layer),
    Layer.provideMerge(Outbox.layer),
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(Ids.layer),
    Layer.provideMerge(faulty),
    Layer.provide(MemoryStore.layerWith({ disk }))
  )

export const negotiated: Sessions.Negotiated = {
  version: "2025-11-25",
  clientCapabilities: { elicitation: {} },
  clientInfo: { name: "test", version: "1" },
  initializeMeta: undefined,
  serverCapabilities: { tools: { listChanged: true } },
  lists: { tools: "a" }
}

export const openSession = Effect.flatMap(
  Sessions.Sessions,
  (sessions) => sessions.open({ principal: Sessions.anonymous, negotiated })
)
