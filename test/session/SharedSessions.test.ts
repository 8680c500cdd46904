/** Sessions of one store in several processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Facts from "../../src/session/Facts.ts"
import * as Ids from "../../src/session/Ids.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { negotiated } from "./harness.ts"

const processes = Effect.gen(function*() {
  const store: Store["Service"] = { ...(yield* MemoryStore.make()), role: "front" }
  const sessions = Sessions.make.pipe(
    Effect.provide(Ids.layer.pipe(Layer.provideMerge(Layer.succeed(Store)(store))))
  )
  return [yield* sessions, yield* sessions] as const
})

const open = (sessions: Sessions.Sessions["Service"]) => sessions.open({ principal: Sessions.anonymous, negotiated })

describe("Sessions of a shared store", () => {
  it.effect("sees what another process has set", () =>
    Effect.gen(function*() {
      const [a, b] = yield* processes
      const { id } = yield* open(a)
      assert.isDefined(yield* b.find(id, Sessions.anonymous))
      const initialized = yield* Effect.forkChild(b.initialized(id))
      yield* a.update(id, Facts.initialized, () => "true")
      yield* Fiber.join(initialized)
      assert.strictEqual(yield* b.fact(id, Facts.initialized), "true")
    }))

  it.effect("does not know a session any more that another process has ended (S-S5)", () =>
    Effect.gen(function*() {
      const [a, b] = yield* processes
      const { id } = yield* open(a)
      assert.isDefined(yield* b.find(id, Sessions.anonymous))
      assert.isTrue(yield* a.end(id))
      assert.isUndefined(yield* b.find(id, Sessions.anonymous))
      assert.isFalse(yield* b.end(id))
    }))

  it.effect("finds who has subscribed in another process", () =>
    Effect.gen(function*() {
      const [a, b] = yield* processes
      const { id } = yield* open(a)
      yield* a.update(id, Facts.subscriptions, () => JSON.stringify(["file:///a"]))
      assert.deepStrictEqual(yield* b.subscribers("file:///a"), [id])
    }))
})
