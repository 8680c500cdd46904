import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as store from "../../src/reboot/internal/store.ts"
import type { Write } from "../../src/store/Store.ts"
import { append, openStream, settle, start } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

describe("store on Reboot", () => {
  it.effect("drives a call from its start to its result", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const opening = yield* Simulated.open(disk)
      const made = yield* store.make(opening.application)
      const runs: Array<string> = []
      yield* made.drive((id, { cutOff }) =>
        Effect.gen(function*() {
          runs.push(`${id} ${cutOff}`)
          const end: Write = { ...append(id, "end"), last: true } as Write
          yield* made.commit([end, { _tag: "Complete", id, result: "1" }])
        }).pipe(Effect.orDie)
      )
      yield* made.commit([openStream("a"), start("a")])
      yield* settle
      assert.deepStrictEqual(runs, ["a false"])
      assert.strictEqual(Option.getOrThrow(yield* made.execution("a")).result, "1")
      assert.isTrue((yield* made.events("a", 0, 10)).closed)
      assert.deepStrictEqual(opening.counts.writes.Call, 2)
    }))
})
