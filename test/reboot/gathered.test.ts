import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as gathered from "../../src/reboot/internal/gathered.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import { settle } from "../store/harness.ts"

/** Writes that end when they are told to. */
const make = () => {
  const batches: Array<{ readonly items: ReadonlyArray<string>; readonly done: Deferred.Deferred<void, StoreError> }> =
    []
  const add = gathered.make<string>((items) =>
    Effect.suspend(() => {
      const done = Deferred.makeUnsafe<void, StoreError>()
      batches.push({ items: Array.from(items), done })
      return Deferred.await(done)
    })
  )
  return { batches, add, items: () => batches.map(({ items }) => items.join("")) }
}

describe("gathered", () => {
  it.effect("what comes while a write is under way goes with the next one", () =>
    Effect.gen(function*() {
      const { add, batches, items } = make()
      const first = yield* Effect.forkChild(add("a"))
      yield* settle
      const others = yield* Effect.forEach(["b", "c", "d"], (item) => Effect.forkChild(add(item)))
      yield* settle
      assert.deepStrictEqual(items(), ["a"])
      yield* Deferred.succeed(batches[0]!.done, undefined)
      yield* Fiber.join(first)
      yield* settle
      assert.deepStrictEqual(items(), ["a", "bcd"])
      assert.isUndefined(others[2]!.pollUnsafe())
      yield* Deferred.succeed(batches[1]!.done, undefined)
      yield* Effect.forEach(others, (fiber) => Fiber.join(fiber))
      assert.deepStrictEqual(items(), ["a", "bcd"])
    }))

  it.effect("all who wait for a write get its error, and who comes later does not", () =>
    Effect.gen(function*() {
      const { add, batches, items } = make()
      const first = yield* Effect.forkChild(add("a"))
      yield* settle
      const others = yield* Effect.forEach(["b", "c"], (item) => Effect.forkChild(add(item)))
      yield* settle
      yield* Deferred.succeed(batches[0]!.done, undefined)
      yield* Fiber.join(first)
      yield* settle
      yield* Deferred.fail(batches[1]!.done, new StoreError({ reason: "Io", message: "no answer" }))
      for (const fiber of others) {
        assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      }
      const later = yield* Effect.forkChild(add("d"))
      yield* settle
      yield* Deferred.succeed(batches[2]!.done, undefined)
      yield* Fiber.join(later)
      assert.deepStrictEqual(items(), ["a", "bc", "d"])
    }))

  it.effect("a write whose writer is interrupted is made again for those who wait with it", () =>
    Effect.gen(function*() {
      const { add, batches, items } = make()
      const first = yield* Effect.forkChild(add("a"))
      yield* settle
      const [second, third] = yield* Effect.forEach(["b", "c"], (item) => Effect.forkChild(add(item)))
      yield* settle
      yield* Deferred.succeed(batches[0]!.done, undefined)
      yield* Fiber.join(first)
      yield* settle
      assert.deepStrictEqual(items(), ["a", "bc"])
      yield* Fiber.interrupt(second!)
      yield* settle
      assert.deepStrictEqual(items(), ["a", "bc", "bc"])
      yield* Deferred.succeed(batches[2]!.done, undefined)
      yield* Fiber.join(third!)
    }))
})
