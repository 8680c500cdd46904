import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/session/Limits.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import {
  call,
  connect,
  followed,
  get,
  notification,
  open,
  outline,
  post,
  process,
  readAll,
  remove,
  request,
  World
} from "./era.ts"

/** Limits that a test can wait for, one sweep every ten minutes. */
const limits = Layer.mergeAll(
  Layer.succeed(Limits.IdleTimeout, "8 hours"),
  Layer.succeed(Limits.CallRetention, "1 hour"),
  Layer.succeed(Limits.CacheTimeout, "10 minutes"),
  Layer.succeed(Limits.SweepInterval, "10 minutes")
)

const server = (disk?: MemoryStore.Disk) => process({ disk }).pipe(Layer.provide(limits))

const ping = (headers: Readonly<Record<string, string>>) => post(headers, request(1, "ping"))
const alive = [200, { jsonrpc: "2.0", id: 1, result: {} }]
const gone = [404, -32600, 1]

const recordOf = (headers: Readonly<Record<string, string>>) =>
  Effect.flatMap(Store, (store) => store.session(headers["mcp-session-id"]!))

describe("retention", () => {
  it.effect("a session that nobody uses ends, for ever, and is forgotten (S-S5, S-S6)", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      yield* TestClock.adjust("8 hours") // not before the timeout
      assert.deepStrictEqual(outline(yield* ping(headers)), alive)
      yield* TestClock.adjust("8 hours")
      assert.deepStrictEqual(outline(yield* ping(headers)), alive)
      yield* TestClock.adjust("12 hours")
      assert.deepStrictEqual(outline(yield* ping(headers)), gone)
      assert.isTrue(Option.isNone(yield* recordOf(headers)))
      assert.deepStrictEqual(outline(yield* ping(headers)), gone)
    }).pipe(Effect.provide(server())))

  it.effect("one that is used from time to time lives on, also over restarts", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const headers = yield* connect().pipe(Effect.provide(server(disk)))
      for (let day = 0; day < 3; day++) {
        yield* Effect.gen(function*() {
          for (let i = 0; i < 4; i++) {
            yield* TestClock.adjust("7 hours")
            assert.deepStrictEqual(outline(yield* ping(headers)), alive)
          }
        }).pipe(Effect.provide(server(disk)))
      }
    }))

  it.effect("an open call keeps its session, and a session that ends makes room for another", () =>
    Effect.gen(function*() {
      const world = yield* World
      const gate = yield* Deferred.make<void>()
      world.wait = Deferred.await(gate)
      const headers = yield* connect()
      const reply = yield* post(headers, call(1, "wait"))
      yield* TestClock.adjust("2 days")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* readAll(reply)).length, 1)
      assert.deepStrictEqual(outline(yield* ping(headers)), alive)
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(outline(yield* ping(headers)), gone)
      yield* connect()
    }).pipe(Effect.provide(server().pipe(Layer.provide(Layer.succeed(Limits.OpenSessions, 1))))))

  it.effect("an open GET keeps its session, a closed one does not", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const follower = yield* Effect.flatMap(get(headers), open)
      yield* TestClock.adjust("2 days")
      assert.deepStrictEqual(outline(yield* ping(headers)), alive)
      follower.close()
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(outline(yield* ping(headers)), gone)
    }).pipe(Effect.scoped, Effect.provide(server())))

  it.effect("a finished call can be replayed for an hour; then a repeat is refused and never run again (S-R9, S-P10)", () =>
    Effect.gen(function*() {
      const world = yield* World
      const headers = yield* connect()
      const echo = call("e", "echo", { text: "a" })
      const reply = followed(yield* post(headers, echo))
      const messages = yield* readAll(reply)
      const again = get({ ...headers, "last-event-id": `${reply.token}:0` })
      yield* TestClock.adjust("55 minutes")
      assert.deepStrictEqual(yield* readAll(yield* again), messages)
      assert.deepStrictEqual(yield* readAll(yield* post(headers, echo)), messages)
      yield* TestClock.adjust("20 minutes")
      assert.deepStrictEqual(outline(yield* again), [400, -32600])
      assert.deepStrictEqual(outline(yield* post(headers, echo)), [400, -32600, "e"])
      assert.deepStrictEqual(world.ran, ["echo"])
    }).pipe(Effect.provide(server())))

  it.effect("an open call is kept whole for as long as it lasts", () =>
    Effect.gen(function*() {
      const headers = yield* connect()
      const reply = followed(yield* post(headers, call(1, "wait")))
      yield* TestClock.adjust("1 day")
      const resumed = yield* get({ ...headers, "last-event-id": `${reply.token}:0` })
      yield* post(headers, notification("notifications/cancelled", { requestId: 1 }))
      assert.deepStrictEqual(yield* readAll(resumed), [])
    }).pipe(Effect.provide(server())))

  it.effect("an ended session leaves nothing behind", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const headers = yield* connect()
      yield* get(headers)
      yield* readAll(yield* post(headers, call(1, "echo", { text: "a" })))
      yield* post(headers, call(2, "wait"))
      yield* remove(headers)
      yield* TestClock.adjust("20 minutes")
      assert.isTrue(Option.isNone(yield* recordOf(headers)))
      assert.deepStrictEqual(yield* Stream.runCollect(store.streams({})), [])
      assert.deepStrictEqual(yield* Stream.runCollect(store.list({})), [])
      assert.deepStrictEqual(outline(yield* ping(headers)), gone)
    }).pipe(Effect.provide(server())))

  it.effect("what fell due while the server was down falls due at its start", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const headers = yield* connect().pipe(Effect.provide(server(disk)))
      yield* TestClock.adjust("2 days")
      yield* Effect.gen(function*() {
        while (Option.isSome(yield* recordOf(headers))) yield* Effect.yieldNow
        assert.deepStrictEqual(outline(yield* ping(headers)), gone)
      }).pipe(Effect.provide(server(disk)))
    }))
})
