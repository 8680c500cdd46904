import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect } from "effect"
import * as Schedule from "../../src/testing/Schedule.ts"

describe("Schedule", () => {
  it.effect.prop(
    "a token gives its schedule back",
    [Schedule.arbitrary({ operations: 90, writes: 5, maxCrashes: 6 })],
    ([schedule]) =>
      Effect.sync(() => {
        assert.isAtLeast(schedule.length, 1)
        assert.deepStrictEqual(Schedule.decode(Schedule.encode(schedule)), schedule)
      })
  )

  it("reads no schedule into other words", () => {
    assert.deepStrictEqual(Schedule.decode("none"), [])
    assert.deepStrictEqual(Schedule.decode("17.2-3.0"), [{ at: 17, applied: 2 }, { at: 3, applied: 0 }])
    for (const token of ["", "17", "17.2-", "-1.0", "a.b"]) {
      assert.isUndefined(Schedule.decode(token))
    }
  })

  it.effect("reaches every operation", () =>
    Effect.gen(function*() {
      const seen = new Set<number>()
      const arbitrary = Schedule.arbitrary({ operations: 20, writes: 3, maxCrashes: 4 })
      yield* Arbitrary.checkEffect(arbitrary, (schedule) =>
        Effect.sync(() => {
          seen.add(schedule[0]?.at ?? 0)
          return true
        }), { runs: 1000, seed: 1 })
      assert.deepStrictEqual(Array.from(seen).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1))
    }))
})
