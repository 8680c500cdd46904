/** Reboot's tasks, which must be there for as long as there is something to run. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as store from "../../src/reboot/internal/store.ts"
import * as Simulated from "./SimulatedApplication.ts"

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.sleep(5), until(condition)))

const turns = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

describe("a task", () => {
  it.live("is not ended by what was known of the state before the write that needs it", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application } = yield* Simulated.open(disk)
      const { commit, drive, execution } = yield* store.make(application)
      yield* drive(() => Effect.never)
      // from now on it is known that there is none
      yield* execution("e")
      yield* commit([{ _tag: "StartExecution", id: "e", workflow: "w", payload: "{}" }])
      yield* turns
      assert.strictEqual(disk.incomplete("Call"), 1, "it runs")

      yield* commit([{ _tag: "Park", id: "e", state: "waiting", seenSignals: 0, seenCancel: false }])
      // it waits, and listings know of it
      yield* until(() => disk.incomplete("Call") === 0)

      yield* commit([{ _tag: "Signal", id: "e", name: "s", exit: "1" }])
      yield* turns
      assert.strictEqual(disk.incomplete("Call"), 1, "it runs again")
    }).pipe(Effect.scoped))

  it.live("tells listings of a call that was cut off before they knew of it, while it runs", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* store.make((yield* Simulated.open(disk)).application)
      yield* first.commit([{ _tag: "StartExecution", id: "e", workflow: "w", payload: "{}" }])
      disk.fence()
      assert.deepStrictEqual(disk.ids("Directory"), [], "it was held back")

      const { drive, list } = yield* store.make((yield* Simulated.open(disk)).application)
      yield* drive(() => Effect.never)
      yield* turns
      const found = yield* Stream.runCollect(list({}))
      assert.deepStrictEqual(found.map(({ id, state }) => [id, state]), [["e", "running"]])
    }).pipe(Effect.scoped))
})
