/** The same schedule is the same run: on memory to the byte, on a file by its verdict. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect } from "effect"
import { CrashTest, Disk, Schedule, Timeline } from "effect-durable-mcp/testing"
import { booking } from "./booking.ts"

/** Some of each kind, and some of all kinds together. */
const drawn = Effect.gen(function*() {
  const found: Array<Schedule.Schedule> = []
  const draw = (runs: number, seed: number, kinds?: ReadonlyArray<Schedule.Kind>) =>
    Arbitrary.checkEffect(Schedule.arbitrary({ max: 4, kinds }), (schedule) =>
      Effect.sync(() => {
        found.push(schedule)
        return true
      }), { runs, seed })
  for (const kind of Schedule.kinds) {
    yield* draw(3, 1, [kind])
  }
  yield* draw(30, 2)
  return found
})

/** Passed or failed, all that is known of the run. */
const outcome = (disk: Disk.Disk, schedule: Schedule.Schedule) =>
  Effect.match(CrashTest.run({ ...booking, disk, crashes: schedule }), {
    onFailure: ({ timeline, token, violations }) => ({ verdict: violations.join("\n"), token, timeline }),
    onSuccess: ({ timeline, token, value }) => ({ verdict: JSON.stringify(value), token, timeline })
  })

describe("determinism", () => {
  it.live("gives the same timeline for the same schedule on memory", () =>
    Effect.gen(function*() {
      const schedules = yield* drawn
      assert.isAtLeast(schedules.length, 50)
      const happened = new Set<Schedule.Kind>()
      for (const schedule of schedules) {
        const [first, second] = [yield* outcome(Disk.memory, schedule), yield* outcome(Disk.memory, schedule)]
        assert.strictEqual(Timeline.toText(second.timeline), Timeline.toText(first.timeline))
        assert.deepStrictEqual(second, first)
        // what has happened, in absolute numbers, is the same run again
        const replayed = yield* outcome(Disk.memory, Schedule.decode(first.token) ?? [])
        assert.strictEqual(Timeline.toText(replayed.timeline), Timeline.toText(first.timeline))
        for (const { _tag } of Schedule.decode(first.token) ?? []) {
          happened.add(_tag)
        }
      }
      assert.deepStrictEqual(Schedule.kinds.filter((kind) => !happened.has(kind)), [])
    }), 120_000)

  it.live("gives the same schedule and the same verdict on a SQLite file", () =>
    Effect.gen(function*() {
      for (const schedule of (yield* drawn).filter((_, i) => i % 3 === 0)) {
        const [first, second] = [yield* outcome(Disk.sqlite(), schedule), yield* outcome(Disk.sqlite(), schedule)]
        assert.strictEqual(second.token, first.token)
        assert.strictEqual(second.verdict, first.verdict)
      }
    }), 120_000)
})
