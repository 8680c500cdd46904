/** The session layer over a memory disk, with a store that counts and can break. */
import { Array, Context, Effect, Latch, Layer } from "effect"
import * as EventLog from "../../src/session/EventLog.ts"
import * as Ids from "../../src/session/Ids.ts"
import * as Outbox from "../../src/session/Outbox.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"

/** What happens to the store of one process. */
export class Faults extends Context.Service<Faults, {
  commits: number
  reads: number
  /** At this commit (from 1) only so many writes are applied, and everything fails from then on. */
  crashAt: { readonly commit: number; readonly applied: number } | undefined
  crashed: boolean
  /** Opens with the crash. */
  readonly death: Latch.Latch
  /** Runs before each read of a session. */
  beforeSession: Effect.Effect<void>
}>()("test/session/Faults") {}

const makeFaults = (): Faults["Service"] => ({
  commits: 0,
  reads: 0,
  crashAt: undefined,
  crashed: false,
  death: Latch.makeUnsafe(),
  beforeSession: Effect.void
})

const dead = new StoreError({ reason: "Fenced", message: "the process is dead" })

const faulty = Layer.effect(Store)(Effect.gen(function*() {
  const store = yield* Store
  const faults = yield* Faults
  const alive = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => faults.crashed ? Effect.fail(dead) : effect)
  return Store.of({
    ...store,
    commit: (writes) =>
      alive(Effect.suspend(() => {
        faults.commits++
        if (faults.crashAt?.commit !== faults.commits) return store.commit(writes)
        faults.crashed = true
        faults.death.openUnsafe()
        const applied = writes.slice(0, faults.crashAt.applied)
        return Array.isReadonlyArrayNonEmpty(applied)
          ? Effect.andThen(store.commit(applied), Effect.fail(dead))
          : Effect.fail(dead)
      })),
    submit: (writes) => alive(Effect.suspend(() => store.submit(writes))),
    events: (stream, afterSeq, limit) => alive(store.events(stream, afterSeq, limit)),
    session: (id) =>
      alive(Effect.suspend(() => {
        faults.reads++
        // What is read is what stood before: a slow read is a stale one.
        return Effect.tap(store.session(id), () => faults.beforeSession)
      }))
  })
}))

export type Services = Store | Ids.Ids | Sessions.Sessions | Outbox.Outbox | EventLog.EventLog | Faults

/** One process on a disk. */
export const process = (disk: MemoryStore.Disk = MemoryStore.makeDisk()): Layer.Layer<Services, StoreError> =>
  Layer.empty.pipe(
    Layer.provideMerge(EventLog.layer),
    Layer.provideMerge(Outbox.layer),
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(Ids.layer),
    Layer.provideMerge(faulty),
    Layer.provideMerge(MemoryStore.layerWith({ disk })),
    Layer.provideMerge(Layer.sync(Faults, makeFaults))
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
