/**
 * The proof of `npm run crash`, as much of it as a test run has time for: of each
 * area some single faults and some schedules, the same each time.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CrashTest, Disk } from "effect-durable-mcp/testing"
import { areas, names } from "./areas/index.ts"

const seed = 4

describe.each([Disk.memory, Disk.sqlite()])("on $name", (disk) => {
  for (const name of names) {
    it.live(`${name} survives one fault of any kind, and several`, () =>
      Effect.gen(function*() {
        const program = { ...areas[name], disk }
        const one = yield* CrashTest.random({ ...program, seed, runs: 8, max: 1 })
        const several = yield* CrashTest.random({ ...program, seed, runs: 8 })
        assert.isAbove(one.crashes + several.crashes, 8)
      }), 60_000)
  }
})
