/**
 * Timers through the whole store: armed by commits, fired by the driver.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as store from "../../src/reboot/internal/store.ts"
import { timersOf } from "../../src/reboot/internal/timersState.ts"
import { park, start } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

const executions = Array.from({ length: 50 }, (_, i) => `e${i}`)
const timers = Array.from({ length: 1_500 }, (_, i) => ({ id: `e${i % 50}`, name: `t${i}`, at: 100_000 - i }))

describe("timers", () => {
  it.effect("1,500, of 50 executions that wait, are due when the store is opened again: each becomes a signal, once", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* Scope.make()
      yield* Effect.gen(function*() {
        const { commit } = yield* store.make((yield* Simulated.open(disk)).application)
        yield* Effect.forEach(executions, (id) => commit([start(id), park(id, "waiting")]), { concurrency: 50 })
        yield* Effect.forEach(timers, (timer) => commit([{ _tag: "ArmTimer", ...timer, exit: "1" }]), {
          concurrency: 100
        })
      }).pipe(Scope.provide(first))
      yield* Scope.close(first, Exit.void)

      yield* TestClock.setTime(200_000)
      disk.log.length = 0
      const { application } = yield* Simulated.open(disk)
      const reopened = yield* store.make(application)
      yield* reopened.drive((id) =>
        Effect.gen(function*() {
          const { signals } = Option.getOrThrow(yield* reopened.execution(id))
          yield* reopened.commit([park(id, "waiting", signals.length)])
        }).pipe(Effect.orDie)
      )
      let isOver = false
      for (let turns = 0; !isOver; turns++) {
        assert.isBelow(turns, 1_000, `${disk.incomplete("Call")} executions run`)
        yield* TestClock.adjust("1 second")
        isOver = disk.incomplete("Call") + disk.incomplete("Timers") === 0
      }
      for (const id of executions) {
        const { signals, timers: armed } = Option.getOrThrow(yield* reopened.execution(id))
        const expected = timers.filter((timer) => timer.id === id).map(({ name }) => name)
        assert.deepStrictEqual(signals.map(({ name }) => name).toSorted(), expected.toSorted())
        assert.strictEqual(armed.size, 0)
      }
      assert.isTrue(disk.ids("Timers").every((wheel) => timersOf(disk.stateOf("Timers", wheel)).length === 0))
      const signalled = disk.log.filter(({ request }) =>
        "writes" in request && request.writes.some(({ _tag }) => _tag === "Signal")
      )
      assert.isAtMost(signalled.length, 750, "those of an execution that fire together are one write")
    }))
})
