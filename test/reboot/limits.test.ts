import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { within } from "../../src/reboot/internal/limits.ts"
import { StoreError } from "../../src/store/StoreError.ts"

const limit = { what: "write Call c1", duration: "20 millis", advice: "The write may be repeated." } as const

const never = () => new Promise<never>(() => {})

describe("the time limit round a call of Reboot", () => {
  it.effect("ends what hangs, by the time of the machine and not by that of a test", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(within(limit, never))
      assert.strictEqual(error.reason, "Io")
      assert.strictEqual(error.message, "Reboot did not write Call c1 within 20ms. The write may be repeated.")
    }))

  it.effect("lets pass what comes in time", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* within(limit, () => Promise.resolve(1)), 1)
    }))

  it.effect("says what went wrong, and what to do", () =>
    Effect.gen(function*() {
      for (
        const fail of [() => Promise.reject(new Error("Too many tasks")), () => {
          throw new Error("Too many tasks")
        }]
      ) {
        const error = yield* Effect.flip(within<never>(limit, fail))
        assert.isTrue(StoreError.is(error))
        assert.strictEqual(
          error.message,
          "Reboot could not write Call c1: Too many tasks. The write may be repeated."
        )
      }
    }))

  it.effect("knows a full disk", () =>
    Effect.gen(function*() {
      const full = new Error("Failed: Failed to store: IO error: No space left on device: While appending to file: x")
      const error = yield* Effect.flip(within<never>(limit, () => Promise.reject(full)))
      assert.strictEqual(error.reason, "DiskFull")
      assert.include(error.message, "restart this process")
    }))

  it.effect("can be interrupted", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(within({ ...limit, duration: "1 hour" }, never))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
    }))
})
