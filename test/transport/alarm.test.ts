import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Alarm from "../../src/transport/internal/alarm.ts"

describe("alarm", () => {
  it.effect("rings who comes back for a time that has passed at the next tick, and not without end", () =>
    Effect.gen(function*() {
      const alarm = yield* Alarm.make(1_000)
      let rung = 0
      const ring = () => {
        // Without end where it rings at once.
        if (++rung < 100) alarm.set(500, ring)
      }
      alarm.set(500, ring)
      yield* Effect.yieldNow
      yield* TestClock.adjust("1 second")
      assert.strictEqual(rung, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(rung, 2)
    }))
})
