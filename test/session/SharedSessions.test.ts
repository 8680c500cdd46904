/** Sessions of one store, and their messages, in several processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Facts from "../../src/session/Facts.ts"
import * as Ids from "../../src/session/Ids.ts"
import * as Outbox from "../../src/session/Outbox.ts"
import * as Sessions from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { negotiated } from "./harness.ts"

const SharedStore = Layer.effect(Store)(
  Effect.map(MemoryStore.make(), (store): Store["Service"] => ({ ...store, role: "front" }))
)

const IdsOfStore = Layer.fresh(Ids.layer)

/** Two that have the store. */
const processes = Effect.all([
  Effect.provide(Sessions.make, IdsOfStore),
  Effect.provide(Sessions.make, IdsOfStore)
])

const outbox = Effect.provide(Outbox.make, IdsOfStore)

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
    }).pipe(Effect.provide(SharedStore)))

  it.effect("does not know a session any more that another process has ended (S-S5)", () =>
    Effect.gen(function*() {
      const [a, b] = yield* processes
      const { id } = yield* open(a)
      assert.isDefined(yield* b.find(id, Sessions.anonymous))
      assert.isTrue(yield* a.end(id))
      assert.isUndefined(yield* b.find(id, Sessions.anonymous))
      assert.isFalse(yield* b.end(id))
    }).pipe(Effect.provide(SharedStore)))

  it.effect("gives each message to one stream, with a GET open in each process (S-P18)", () =>
    Effect.gen(function*() {
      const shared = yield* processes
      const session = yield* open(shared[0])
      const outboxes = yield* Effect.all(
        shared.map((sessions) => Effect.provideService(outbox, Sessions.Sessions, sessions))
      )
      const gets = yield* Effect.forEach(outboxes, (box) =>
        Effect.map(box.open(session), ({ stream }) => ({ stream, reader: box.read(session.id, stream) })), {
        concurrency: "unbounded"
      })
      assert.notStrictEqual(gets[0]!.stream, gets[1]!.stream)
      const raised: Array<string> = []
      for (let i = 0; i < 50; i++) {
        const message = String(i)
        raised.push(message)
        yield* outboxes[i % 2]!.raise(session.id, message, message)
        yield* Effect.forEach(gets, ({ reader }) =>
          reader.move, { concurrency: "unbounded" })
      }
      const store = yield* Store
      const pages = yield* Effect.forEach(gets, ({ stream }) =>
        store.events(stream, 0, 1_000))
      const received = pages.flatMap(({ events }) => events.map(({ data }) => data!))
      assert.deepStrictEqual(received.toSorted((a, b) => Number(a) - Number(b)), raised)
    }).pipe(Effect.provide(SharedStore)))

  it.effect("finds who has subscribed in another process", () =>
    Effect.gen(function*() {
      const [a, b] = yield* processes
      const { id } = yield* open(a)
      yield* a.update(id, Facts.subscriptions, () => JSON.stringify(["file:///a"]))
      assert.deepStrictEqual(yield* b.subscribers("file:///a"), [id])
    }).pipe(Effect.provide(SharedStore)))
})
