import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as store from "../../src/reboot/internal/store.ts"
import * as Simulated from "./SimulatedApplication.ts"

describe("the format of the states", () => {
  it.effect("is written once, and found again", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      for (let openings = 0; openings < 3; openings++) {
        yield* Effect.scoped(Effect.flatMap(Simulated.open(disk), ({ application }) => store.make(application)))
      }
      assert.strictEqual(disk.log.length, 1)
      assert.strictEqual(disk.stateOf("Chunk", "format").value, "1")
    }))

  it.effect("states of a newer version are left as they are", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application } = yield* Simulated.open(disk)
      yield* application.write("Chunk", "format", { value: "2" })
      const error = yield* Effect.flip(store.make(application))
      assert.strictEqual(error.reason, "NewerFormat")
      assert.include(error.message, "format 2")
      assert.strictEqual(disk.log.length, 1)
    }))
})
