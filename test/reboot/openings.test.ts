/** Stores of processes that die, one after the other on an application that goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Latch, Scope } from "effect"
import type { Application } from "../../src/reboot/internal/Application.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { describeWithReboot } from "./installed.ts"
import * as Openings from "./Openings.ts"
import * as Simulated from "./SimulatedApplication.ts"
import * as Started from "./Started.ts"

const start = (application: Application, id: string, now = 1) =>
  application.write("Call", id, {
    writes: [{ _tag: "StartExecution", id, workflow: "w", payload: "{}" }],
    now,
    boot: "boot"
  })

/** A process: it serves until it is closed. */
const open = Effect.fnUntraced(function*(namespace: Openings.Namespace) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const application = yield* Scope.provide(namespace.open, scope)
  const begun: Array<string> = []
  const changed = Latch.makeUnsafe(false)
  const done = Deferred.makeUnsafe<void>()
  yield* Scope.provide(
    application.serve((type, id) =>
      Effect.suspend(() => {
        begun.push(`${type} ${id}`)
        changed.openUnsafe()
        return Deferred.await(done)
      })
    ),
    scope
  )
  return {
    application,
    begun,
    /** Returns when a task was begun. */
    taken: changed.await,
    /** Ends the tasks. */
    end: Deferred.succeed(done, undefined),
    close: Scope.close(scope, Exit.void)
  }
})

const tests = (application: Effect.Effect<Application, StoreError, Scope.Scope>) => {
  it.live("a task goes on with the next process, until one has ended it", () =>
    Effect.gen(function*() {
      const namespace = yield* (yield* Openings.make(yield* application))("a")
      const first = yield* open(namespace)
      yield* start(first.application, "e1")
      yield* first.taken
      namespace.fence()
      const { reason } = yield* Effect.flip(start(first.application, "e2"))
      assert.strictEqual(reason, "Fenced")

      const second = yield* open(namespace)
      yield* second.taken
      assert.deepStrictEqual([first.begun, second.begun], [["Call e1"], ["Call e1"]])
      assert.strictEqual((yield* second.application.read("Call", "e2")).version, 0)
      yield* second.end
      yield* second.close

      const third = yield* open(namespace)
      yield* start(third.application, "e3")
      yield* third.taken
      assert.deepStrictEqual(third.begun, ["Call e3"])
    }).pipe(Effect.scoped), 60_000)

  it.live("namespaces do not see each other", () =>
    Effect.gen(function*() {
      const namespaces = yield* Openings.make(yield* application)
      const [a, b] = [yield* open(yield* namespaces("a")), yield* open(yield* namespaces("b"))]
      yield* start(a.application, "same", 1)
      yield* start(b.application, "same", 2)
      yield* a.taken
      yield* b.taken
      assert.deepStrictEqual([a.begun, b.begun], [["Call same"], ["Call same"]])
      yield* a.close
      assert.isAbove((yield* b.application.read("Call", "same")).version, 0)
      assert.strictEqual((yield* b.application.read("Call", "other")).version, 0)
    }).pipe(Effect.scoped), 60_000)
}

describe("on a simulated Reboot", () => {
  tests(Effect.suspend(() => Effect.map(Simulated.open(new Simulated.Disk()), ({ application }) => application)))
})

describeWithReboot("on Reboot", () => {
  tests(Started.make)
})
