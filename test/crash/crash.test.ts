/**
 * The proof of `npm run crash`, as much of it as a test run has time for: some
 * schedules of each area, the same each time.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CrashTest, Disk } from "effect-durable-mcp/testing"
import { areas, names } from "./areas/index.ts"

describe.each([
  { disk: Disk.memory, runs: 6 },
  { disk: Disk.sqlite(), runs: 3 }
])("on $disk.name", ({ disk, runs }) => {
  for (const name of names) {
    it.live(`${name} survives`, () =>
      Effect.gen(function*() {
        // each area other faults than the one before
        const report = yield* CrashTest.random({ ...areas[name], disk, runs, seed: name, max: 4 })
        assert.strictEqual(report.runs, runs + 1)
      }), 60_000)
  }
})
