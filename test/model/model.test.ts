/**
 * Random programs of everything that a handler can do durably, with random
 * crashes: what comes of them is what they mean.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { modelChecking } from "./modelChecking.ts"

describe("random programs", () => {
  it.live("come to what they mean, whatever happens to the process", () =>
    Effect.gen(function*() {
      const report = yield* modelChecking({ programs: 150, seed: 1 })
      assert.isAbove(report.crashes, 150)
    }), 120_000)
})
