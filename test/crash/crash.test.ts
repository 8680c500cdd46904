/**
 * The proof of `npm run crash`, as much of it as a test run has time for.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import * as Disk from "../../src/testing/Disk.ts"
import { program } from "./program.ts"

describe("a handler with loops, concurrent steps, retries, questions, a sleep, compensations", () => {
  it.live("survives one crash at every point of its operations on the store", () =>
    Effect.gen(function*() {
      const report = yield* CrashTest.exhaustive(program)
      assert.isAbove(report.crashes, 100)
      assert.isAbove(report.repeated, 0)
    }), 120_000)

  it.live("survives several crashes, also during recovery", () =>
    Effect.gen(function*() {
      const report = yield* CrashTest.random({ ...program, runs: 60 })
      assert.isAbove(report.crashes, 60)
    }), 120_000)

  it.live("survives them on SQLite", () =>
    Effect.gen(function*() {
      const report = yield* CrashTest.random({ ...program, disk: Disk.sqlite(), runs: 15 })
      assert.isAbove(report.crashes, 15)
    }), 120_000)

  it.live("does the same for the same schedule", () =>
    Effect.gen(function*() {
      const [first, second] = [
        yield* CrashTest.replay(program, "crash@31/1,crash@7/0,crash@12/2"),
        yield* CrashTest.replay(program, "crash@31/1,crash@7/0,crash@12/2")
      ]
      assert.deepStrictEqual(first.timeline, second.timeline)
    }))
})
