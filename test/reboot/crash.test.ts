/**
 * The proof of `npm run crash -- --store reboot-simulated`, as much of it as a
 * test run has time for, and a little of `--store reboot`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CrashTest } from "effect-durable-mcp/testing"
import { areas, names } from "../crash/areas/index.ts"
import * as RebootDisk from "./disk.ts"
import { describeWithReboot } from "./installed.ts"

describe("on a simulated Reboot", () => {
  for (const name of names) {
    it.live(`${name} survives`, () =>
      Effect.gen(function*() {
        // each area other faults than the one before
        const report = yield* CrashTest.random({
          ...areas[name],
          disk: RebootDisk.simulated(),
          runs: 3,
          seed: name,
          max: 4
        })
        assert.strictEqual(report.runs, 4)
      }), 60_000)
  }

  it.live("prompts survive a death before and after each write of Reboot's", () =>
    Effect.gen(function*() {
      const report = yield* RebootDisk.atEveryWrite(areas.prompts)
      assert.isAbove(report.crashes, 20)
    }), 60_000)
})

describeWithReboot("on Reboot, which goes on while processes die on it", () => {
  it.live("steps and questions survive", () =>
    Effect.gen(function*() {
      const disk = yield* RebootDisk.embedded
      for (const name of ["steps", "questions"] as const) {
        const report = yield* CrashTest.random({ ...areas[name], disk, runs: 3, seed: name, max: 4 })
        assert.strictEqual(report.runs, 4)
      }
    }).pipe(Effect.scoped), 120_000)
})
