/** A process that takes calls, and another one that runs them. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { Durable } from "../../src/index.ts"
import type { Store } from "../../src/store/Store.ts"
import { answer, boot, callOf, type Handlers, keys } from "./harness.ts"

/** As a front of another process has it. */
const frontOf = (store: Store["Service"]): Store["Service"] => ({
  ...store,
  role: "front",
  drive: () => Effect.succeed({ adopt: () => false, release: () => Effect.void, stop: Effect.void })
})

/** A front runs none of these. */
const elsewhere: Handlers = { slow: () => Effect.die("A front runs no handlers") }

const processes = Effect.fnUntraced(function*(handlers: Handlers) {
  const host = yield* boot(handlers)
  const fronts = yield* Effect.all([1, 2].map(() => boot(elsewhere, { wrap: () => frontOf(host.store) })))
  return { host, first: fronts[0]!, second: fronts[1]! }
})

describe("a front", () => {
  it.effect("starts a call that the host runs", () =>
    Effect.gen(function*() {
      const { first, host } = yield* processes({ slow: () => Durable.step("a", () => Effect.succeed(1)) })
      const stream = yield* first.call("slow")
      assert.strictEqual(yield* answer(host, stream), 1)
      assert.deepStrictEqual(yield* keys(host, stream), ["result"])
    }))

  it.effect("joins a call that another front has started", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<number>()
      let runs = 0
      const { first, host, second } = yield* processes({
        slow: () =>
          Effect.suspend(() => {
            runs++
            return Deferred.await(done)
          })
      })
      const stream = yield* first.call("slow")
      assert.isTrue((yield* second.calls.start(callOf("slow"))).joined)
      yield* Deferred.succeed(done, 2)
      assert.strictEqual(yield* answer(host, stream), 2)
      assert.isTrue((yield* second.calls.start(callOf("slow"))).joined)
      assert.strictEqual(runs, 1)
    }))

  it.effect("refuses another request under an id that any front has used (S-P10)", () =>
    Effect.gen(function*() {
      const { first, second } = yield* processes({ slow: () => Effect.never })
      yield* first.call("slow")
      const error = yield* Effect.flip(second.calls.start(callOf("slow", { digest: "other" })))
      assert.strictEqual(error._tag === "CallRejected" && error.reason, "Conflict")
    }))

  it.effect("cancels a call that the host runs", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const { first } = yield* processes({
        slow: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, void 0))
      })
      const stream = yield* first.call("slow")
      yield* first.calls.cancel(stream)
      yield* Deferred.await(interrupted)
    }))
})
