import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope } from "effect"
import { fromBackend } from "../../src/store/internal/fromBackend.ts"
import * as SqliteBackend from "../../src/store/internal/sqliteBackend.ts"
import * as SqliteCommit from "../../src/store/internal/sqliteCommit.ts"
import * as File from "../../src/store/internal/sqliteFile.ts"
import { migrations } from "../../src/store/internal/sqliteSchema.ts"

/** A store whose disk confirms when the test says so. */
const make = Effect.gen(function*() {
  const file = yield* Effect.acquireRelease(
    Effect.sync(() => File.open({ filename: ":memory:", synchronous: "FULL", maxPageCount: undefined, migrations })),
    (file) => Effect.sync(file.close)
  )
  const syncs: Array<(error: Error | null) => void> = []
  const backend = SqliteBackend.make(file)
  const synced = Deferred.makeUnsafe<void>()
  const store = yield* fromBackend(backend, {
    commit: SqliteCommit.make(backend, "the-file.db", {
      sync: (done) => {
        syncs.push(done)
        Deferred.doneUnsafe(synced, Exit.void)
      },
      close: () => {}
    })
  })
  return { store, syncs, synced: Deferred.await(synced) }
})

const key = { _tag: "PutKey", name: "name", value: "value" } as const

describe("what is committed and not yet on disk", () => {
  it.effect("is acknowledged when the disk has confirmed it", () =>
    Effect.gen(function*() {
      const { store, synced, syncs } = yield* make
      const commit = yield* Effect.forkChild(store.commit([key]), { startImmediately: true })
      yield* synced
      yield* Effect.yieldNow
      assert.isUndefined(commit.pollUnsafe())
      syncs.shift()!(null)
      assert.deepStrictEqual(yield* Fiber.join(commit), [{ _tag: "Stands", fresh: true, value: "value" }])
    }))

  it.effect("is not read before", () =>
    Effect.gen(function*() {
      const { store, synced, syncs } = yield* make
      yield* Effect.forkChild(store.commit([key]), { startImmediately: true })
      yield* synced
      const read = yield* Effect.forkChild(store.key("name"), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(read.pollUnsafe())
      // of what is not there, nobody has to wait for a confirmation
      assert.isTrue(Option.isNone(yield* store.key("another")))
      syncs.shift()!(null)
      assert.isTrue(Option.isSome(yield* Fiber.join(read)))
    }))

  it.effect("shares its disk with all that comes meanwhile", () =>
    Effect.gen(function*() {
      const { store, synced, syncs } = yield* make
      const first = yield* Effect.forkChild(store.commit([key]), { startImmediately: true })
      yield* synced
      const more = yield* Effect.forEach(
        [1, 2, 3],
        (n) => Effect.forkChild(store.commit([{ ...key, name: `key-${n}` }]), { startImmediately: true })
      )
      yield* Effect.yieldNow
      assert.strictEqual(syncs.length, 1)
      syncs.shift()!(null)
      yield* Fiber.join(first)
      while (syncs.length === 0) yield* Effect.yieldNow
      syncs.shift()!(null)
      yield* Effect.forEach(more, Fiber.join)
      assert.strictEqual(syncs.length, 0)
    }))

  it.effect("closes the store when the disk does not confirm it", () =>
    Effect.gen(function*() {
      const { store, synced, syncs } = yield* make
      const commit = yield* Effect.forkChild(Effect.flip(store.commit([key])), { startImmediately: true })
      yield* synced
      const read = yield* Effect.forkChild(Effect.flip(store.key("name")), { startImmediately: true })
      syncs.shift()!(new Error("EIO"))
      for (const error of [yield* Fiber.join(commit), yield* Fiber.join(read)]) {
        assert.strictEqual(error.reason, "Fenced")
        assert.include(error.message, "the-file.db")
      }
      assert.strictEqual((yield* Effect.flip(store.commit([key]))).reason, "Fenced")
    }))

  it.effect("is waited for when the store closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { store, synced, syncs } = yield* Scope.provide(make, scope)
      const commit = yield* Effect.forkChild(store.commit([key]), { startImmediately: true })
      yield* synced
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(closing.pollUnsafe())
      syncs.shift()!(null)
      yield* Fiber.join(closing)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(commit)))
    }))
})
