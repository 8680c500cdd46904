import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import * as memoryBackend from "../../src/store/internal/memoryBackend.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, type Write } from "../../src/store/Store.ts"
import { fromBackendOf, storeContract } from "./contract.ts"
import { append, openStream } from "./harness.ts"

storeContract(
  "MemoryStore",
  Effect.sync(() => {
    const disk = new memoryBackend.Disk()
    return { open: fromBackendOf(Effect.sync(() => memoryBackend.make(disk))) }
  })
)

describe("MemoryStore", () => {
  it.effect("two layers are two stores; one disk is one", () =>
    Effect.gen(function*() {
      const put: Write = { _tag: "PutKey", name: "k", value: "secret" }
      const write = Effect.flatMap(Store, (store) => store.commit([put]))
      const read = Effect.flatMap(Store, (store) => store.key("k"))
      yield* write.pipe(Effect.provide(MemoryStore.layer))
      assert.isTrue(Option.isNone(yield* read.pipe(Effect.provide(MemoryStore.layer))))
      const disk = MemoryStore.makeDisk()
      yield* write.pipe(Effect.provide(MemoryStore.layerWith({ disk })))
      const key = Option.getOrThrow(yield* read.pipe(Effect.provide(MemoryStore.layerWith({ disk }))))
      assert.strictEqual(Redacted.value(key), "secret")
      assert.notInclude(String(key), "secret")
    }))

  it.effect("a disk that is opened again fences the store before", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const old = yield* MemoryStore.make({ disk })
      yield* old.commit([openStream("a")])
      const now = yield* MemoryStore.make({ disk })
      const late = yield* Effect.flip(old.commit([append("a", "late")]))
      assert.strictEqual(late.reason, "Fenced")
      assert.strictEqual((yield* Effect.flip(old.events("a", 0, 1))).reason, "Fenced")
      assert.isTrue(Option.isSome(yield* now.stream({ id: "a" })))
    }))

  it.effect("takes values up to maxPayloadBytes", () =>
    Effect.gen(function*() {
      const store = yield* MemoryStore.make({ maxPayloadBytes: 10 })
      yield* store.commit([{ _tag: "PutKey", name: "k", value: "0123456789" }])
      const error = yield* Effect.flip(store.commit([{ _tag: "PutKey", name: "l", value: "01234567890" }]))
      assert.strictEqual(error.reason, "PayloadTooLarge")
    }))
})
