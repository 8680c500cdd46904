import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect } from "effect"
import { Schedule } from "effect-durable-mcp/testing"

describe("Schedule", () => {
  it.effect.prop("a token gives its schedule back", [Schedule.arbitrary()], ([schedule]) =>
    Effect.sync(() => {
      assert.isAtLeast(schedule.length, 1)
      assert.isAtMost(schedule.length, 6)
      assert.deepStrictEqual(Schedule.decode(Schedule.encode(schedule)), schedule)
    }))

  it("reads what people write, and no schedule into other words", () => {
    assert.deepStrictEqual(Schedule.decode("none"), [])
    assert.deepStrictEqual(
      Schedule.decode("crash@17/2,torn@3,crash@500ms,crash@after:outer%2Finner%232:1,jump@4/-60"),
      [
        { _tag: "Crash", at: 17, applied: 2 },
        { _tag: "TornCommit", at: 3 },
        { _tag: "CrashAfter", ms: 500 },
        { _tag: "CrashInStep", step: "outer/inner#2", nth: 1, when: "after" },
        { _tag: "ClockJump", at: 4, ms: -60 }
      ]
    )
    for (
      const token of [
        "",
        "17",
        "crash@1",
        "crash@1/2,",
        "crash@-1/0",
        "crash@x/0",
        "crash@during::1",
        "crash@after:%:1"
      ]
    ) {
      assert.isUndefined(Schedule.decode(token), token)
    }
  })

  it.effect("draws every kind, anywhere in a run", () =>
    Effect.gen(function*() {
      const kinds = new Set<string>()
      const tenths = new Set<number>()
      yield* Arbitrary.checkEffect(Schedule.arbitrary(), (schedule) =>
        Effect.sync(() => {
          for (const fault of schedule) {
            kinds.add(fault._tag)
            if (fault._tag === "Crash") {
              tenths.add(Math.floor(fault.at * 10))
            }
          }
          return true
        }), { runs: 500, seed: 1 })
      assert.sameMembers(Array.from(kinds), Array.from(Schedule.kinds))
      assert.strictEqual(tenths.size, 10)
    }))

  it.effect("shrinks to the fewest faults that still fail", () =>
    Effect.gen(function*() {
      const checked = yield* Arbitrary.checkEffect(
        Schedule.arbitrary(),
        (schedule) => Effect.succeed(!schedule.some(({ _tag }) => _tag === "Crash")),
        { runs: 200, seed: 1, maxShrinks: 200 }
      )
      assert.strictEqual(checked._tag, "Falsified")
      if (checked._tag === "Falsified") {
        assert.deepStrictEqual(checked.shrunkInput.map(({ _tag }) => _tag), ["Crash"])
      }
    }))
})
