/**
 * The simulation keeps Reboot's promises; what is proved on it is proved of
 * Reboot as far as these hold.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import type { CallWrite } from "../../src/reboot/internal/callState.ts"
import * as Simulated from "./SimulatedApplication.ts"

const start = (id: string): CallWrite => ({ _tag: "StartExecution", id, workflow: "w", payload: "{}" })
const wait: CallWrite = { _tag: "Park", id: "e", seenSignals: 9, seenCancel: false, state: "waiting" }
const request = (...writes: ReadonlyArray<CallWrite>) => ({ writes, now: 0, boot: "b" })

const until = (condition: () => boolean) =>
  Effect.gen(function*() {
    for (let turns = 0; !condition(); turns++) {
      assert.isBelow(turns, 10_000, "it never comes")
      yield* Effect.yieldNow
    }
  })

describe("SimulatedApplication", () => {
  it.effect("what was written is read by the next opening; the one before is fenced", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application: first } = yield* Simulated.open(disk)
      yield* first.write("Chunk", "a", { value: "1" })
      const { application: second } = yield* Simulated.open(disk)
      const state = yield* second.read("Chunk", "a")
      assert.deepStrictEqual(state, { version: 1, value: "1" })
      assert.strictEqual((yield* Effect.flip(first.write("Chunk", "b", { value: "1" }))).reason, "Fenced")
      assert.strictEqual((yield* Effect.flip(first.read("Chunk", "a"))).reason, "Fenced")
      assert.deepStrictEqual(disk.ids("Chunk"), ["a"])
    }))

  it.effect("a write that is on its way when its process dies is never found", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application } = yield* Simulated.open(disk)
      const write = yield* Effect.forkChild(application.write("Chunk", "a", { value: "1" }), { startImmediately: true })
      disk.fence()
      assert.isTrue(Exit.isFailure(yield* Fiber.await(write)))
      assert.deepStrictEqual(disk.log, [])
    }))

  it.effect("dies before or after the n-th write", () =>
    Effect.gen(function*() {
      for (const half of ["before", "after"] as const) {
        const disk = new Simulated.Disk()
        const opening = yield* Simulated.open(disk, Simulated.dieAt(2, half))
        yield* opening.application.write("Chunk", "a", { value: "1" })
        yield* Effect.forkChild(opening.application.write("Chunk", "b", { value: "1" }))
        yield* until(() => disk.live.size === 0)
        assert.deepStrictEqual(disk.ids("Chunk"), half === "before" ? ["a"] : ["a", "b"])
      }
    }))

  it.effect("a task is begun in the step that makes it, one at a time, and again until it has ended", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const begun: Array<string> = []
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(Simulated.open(disk), scope)
      yield* first.application.write("Call", "e", request(start("e")))
      assert.strictEqual(disk.incomplete("Call"), 1, "before anybody serves")
      yield* Scope.provide(
        first.application.serve((type, id) =>
          Effect.sync(() => begun.push(`${type} ${id}`)).pipe(Effect.andThen(Effect.never))
        ),
        scope
      )
      yield* until(() => begun.length === 1)
      yield* first.application.write("Call", "e", request(wait))
      yield* first.application.write("Call", "e", request({ _tag: "Signal", id: "e", name: "s", exit: "1" }))
      assert.strictEqual(disk.incomplete("Call"), 2, "the one before has not ended")
      assert.strictEqual(begun.length, 1, "and the next one waits for it")
      yield* Scope.close(scope, Exit.void)

      const second = yield* Simulated.open(disk)
      const gate = yield* Deferred.make<void>()
      let running = 0
      yield* second.application.serve((type, id) =>
        Effect.gen(function*() {
          begun.push(`again ${type} ${id}`)
          assert.strictEqual(++running, 1)
          yield* Deferred.await(gate)
          running--
        })
      )
      yield* until(() => begun.length === 2)
      yield* Deferred.succeed(gate, undefined)
      yield* Simulated.settled(disk)
      assert.deepStrictEqual(begun, ["Call e", "again Call e", "again Call e"])
      assert.strictEqual(second.counts.tasks.Call, 2)
    }))

  it.effect("more tasks than Reboot takes are refused with their write", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application } = yield* Simulated.open(disk, { turns: 0 })
      for (let i = 0; i < Simulated.maxTasks; i++) {
        yield* application.write("Call", `e${i}`, request(start(`e${i}`)))
      }
      const error = yield* Effect.flip(application.write("Call", "more", request(start("more"))))
      assert.strictEqual(error.message, "Too many tasks")
      assert.strictEqual((yield* application.read("Call", "more")).version, 0)
    }))

  it.effect("hosts share tasks, take over those of one that is gone, and hear what others write", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const ids = Array.from({ length: 20 }, (_, i) => `e${i}`)
      const begun: Array<readonly [number, string]> = []
      const [a, b] = [
        yield* Simulated.open(disk, { role: "host", boot: "a" }),
        yield* Simulated.open(disk, { role: "host", boot: "b" })
      ]
      const front = yield* Simulated.open(disk, { role: "front" })
      for (const host of [a, b]) {
        yield* host.application.serve((_, id) =>
          Effect.sync(() => begun.push([host.number, id])).pipe(Effect.andThen(Effect.never))
        )
      }
      const heard: Array<string> = []
      yield* a.application.watch((type, id) => heard.push(`${type} ${id}`))
      for (const id of ids) {
        const written = yield* front.application.write("Call", id, { writes: [start(id)], now: 0, boot: undefined })
        assert.isUndefined(written.state)
      }
      yield* until(() => begun.length === 20)
      assert.strictEqual(new Set(begun.map(([host]) => host)).size, 2)
      assert.deepStrictEqual(heard, ids.map((id) => `Call ${id}`))
      for (const [host, id] of begun) {
        assert.include(disk.stateOf("Call", id).execution, `"boot":"${host === a.number ? "a" : "b"}"`)
      }
      const left = begun.filter(([host]) => host === a.number).map(([, id]) => id)
      begun.length = 0
      a.die()
      yield* until(() => begun.length === left.length)
      assert.sameDeepMembers(begun, left.map((id) => [b.number, id] as const))
    }))
})
