import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type { Store, Write } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import * as FaultStore from "../../src/testing/FaultStore.ts"

const open = (stream: string): Write => ({
  _tag: "OpenStream",
  stream,
  principal: "anonymous",
  requestDigest: "digest",
  version: "2025-11-25"
})
const append = (stream: string, key: string): Write => ({ _tag: "Append", stream, key, data: "{}" })

/** A process on a disk that outlives it. */
const processOn = (disk: MemoryStore.Disk, crash?: { readonly at: number; readonly applied: number }) =>
  Effect.flatMap(MemoryStore.make({ disk }), (store) =>
    FaultStore.make(store, {
      decide: ({ index }) => index === crash?.at ? { _tag: "Crash", applied: crash.applied } : undefined
    }))

const keys = (store: Store["Service"]) =>
  Effect.map(store.events("s", 0, 100), ({ events }) => events.map(({ key }) => key))

/** What the next process finds. */
const survivors = (disk: MemoryStore.Disk) => Effect.flatMap(processOn(disk), ({ store }) => keys(store))

const reason = <A>(effect: Effect.Effect<A, StoreError>) =>
  Effect.match(effect, { onFailure: ({ reason }) => reason, onSuccess: () => "lives" as const })

describe("FaultStore", () => {
  it.effect("applies the first writes of the commit at which the process dies", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [number, ReadonlyArray<string>]> = [
        [0, ["a"]],
        [1, ["a", "b"]],
        [2, ["a", "b", "c"]],
        [9, ["a", "b", "c"]]
      ]
      for (const [applied, expected] of cases) {
        const disk = MemoryStore.makeDisk()
        const { isDead, store } = yield* processOn(disk, { at: 2, applied })
        yield* store.commit([open("s"), append("s", "a")])
        assert.strictEqual(yield* reason(store.commit([append("s", "b"), append("s", "c")])), "Fenced")
        assert.isTrue(isDead())
        assert.deepStrictEqual<ReadonlyArray<string>>(yield* survivors(disk), expected)
      }
    }))

  it.effect("keeps what was submitted before the death, and nothing of what comes after", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const { store } = yield* processOn(disk, { at: 3, applied: 1 })
      yield* store.commit([open("s")])
      yield* store.submit([append("s", "a")])
      assert.strictEqual(yield* reason(store.submit([append("s", "b"), append("s", "c")])), "Fenced")
      assert.strictEqual(yield* reason(store.submit([append("s", "d")])), "Fenced")
      assert.deepStrictEqual(yield* survivors(disk), ["a", "b"])
    }))

  it.effect("dies at a read", () =>
    Effect.gen(function*() {
      const { died, store } = yield* processOn(MemoryStore.makeDisk(), { at: 1, applied: 0 })
      assert.strictEqual(yield* reason(store.session("s")), "Fenced")
      yield* died
    }))

  it.effect("fails every operation of a dead process, and hangs in none", () =>
    Effect.gen(function*() {
      const { kill, store } = yield* processOn(MemoryStore.makeDisk())
      yield* kill
      const operations: ReadonlyArray<Effect.Effect<unknown, StoreError>> = [
        store.commit([open("s")]),
        store.submit([open("s")]),
        store.key("k"),
        store.session("s"),
        store.execution("e"),
        store.stream({ id: "s" }),
        store.stream({ token: "1" }),
        store.events("s", 0, 1),
        Stream.runCollect(store.sessions({})),
        Stream.runCollect(store.streams({})),
        Stream.runCollect(store.list({})),
        Effect.scoped(store.drive(() => Effect.void))
      ]
      for (const operation of operations) {
        assert.strictEqual(yield* reason(operation), "Fenced")
      }
    }))

  it.effect("does not acknowledge what was under way when the process died", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const { kill, store } = yield* processOn(disk)
      yield* store.commit([open("s")])
      const commit = yield* Effect.forkChild(reason(store.commit([append("s", "a")])), { startImmediately: true })
      yield* kill
      assert.strictEqual(yield* Fiber.join(commit), "Fenced")
    }))

  it.effect("counts runs of the driver as operations", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const before = yield* processOn(disk)
      yield* before.store.commit([{ _tag: "StartExecution", id: "e", workflow: "w", payload: "{}" }])

      const runs: Array<string> = []
      const { died, store } = yield* processOn(disk, { at: 2, applied: 0 })
      yield* store.drive((id) => Effect.sync(() => runs.push(id)))
      yield* died
      assert.deepStrictEqual(runs, [])
    }))
})
