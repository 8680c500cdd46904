import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import * as Facts from "../../src/session/Facts.ts"
import * as Limits from "../../src/session/Limits.ts"
import { anonymous, Sessions } from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { Faults, negotiated, openSession, process } from "./harness.ts"

const idle = Layer.succeed(Limits.IdleTimeout, "1 hour")

describe("Sessions", () => {
  it.effect("mints ids of visible ASCII that nobody can guess (S-S2, S-S3)", () =>
    Effect.gen(function*() {
      const ids = new Set<string>()
      const characters = new Map<string, number>()
      for (let i = 0; i < 1_000; i++) {
        const { id } = yield* openSession
        assert.match(id, /^[\x21-\x7e]{32}$/) // 192 bits
        ids.add(id)
        for (const character of id) characters.set(character, (characters.get(character) ?? 0) + 1)
      }
      assert.strictEqual(ids.size, 1_000)
      // 32,000 characters over an alphabet of 64: each about 500 times
      assert.strictEqual(characters.size, 64)
      for (const count of characters.values()) assert.isTrue(count > 350 && count < 650)
    }).pipe(Effect.provide(process())))

  it.effect("has a session on disk before its id leaves, and finds it after a restart (S-S1)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const session = yield* openSession.pipe(Effect.provide(process(disk)))
      const found = yield* Effect.flatMap(Sessions, (sessions) => sessions.find(session.id, anonymous)).pipe(
        Effect.provide(process(disk))
      )
      assert.deepStrictEqual(found?.negotiated, JSON.parse(JSON.stringify(negotiated)))
      assert.strictEqual(found?.principal, anonymous)
    }))

  it.effect("does not know ids that it never minted, and makes no session of them (S-S6)", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      for (const id of ["", "x", "ä", "a b", "\u0000", "\ud800", "x".repeat(5_000)]) {
        assert.isUndefined(yield* sessions.find(id, anonymous))
        assert.isUndefined(yield* sessions.find(id, anonymous))
      }
    }).pipe(Effect.provide(process())))

  it.effect("answers another principal as if there were no session (S-S9)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const session = yield* openSession.pipe(Effect.provide(process(disk)))
      yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        assert.isUndefined(yield* sessions.find(session.id, "mallory"))
        assert.isDefined(yield* sessions.find(session.id, anonymous))
        assert.isUndefined(yield* sessions.find(session.id, "mallory"))
      }).pipe(Effect.provide(process(disk)))
    }))

  it.effect("never finds an ended session again, in memory or after a restart (S-S5)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const id = yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        const { id } = yield* openSession
        assert.isTrue(yield* sessions.end(id))
        assert.isFalse(yield* sessions.end(id))
        assert.isUndefined(yield* sessions.find(id, anonymous))
        assert.isFalse(yield* sessions.update(id, Facts.initialized, () => "true"))
        assert.isUndefined(yield* sessions.fact(id, Facts.initialized))
        return id
      }).pipe(Effect.provide(process(disk)))
      yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        assert.isUndefined(yield* sessions.find(id, anonymous))
        assert.isFalse(yield* sessions.end(id))
      }).pipe(Effect.provide(process(disk)))
    }))

  it.effect("a read of the session that was under way when it ended does not bring it back", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const faults = yield* Faults
      const { id } = yield* openSession
      yield* TestClock.adjust("2 minutes") // out of memory
      const started = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      faults.beforeSession = Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(gate))
      const finding = yield* Effect.forkChild(sessions.find(id, anonymous))
      yield* Deferred.await(started)
      faults.beforeSession = Effect.void
      assert.isTrue(yield* sessions.end(id))
      yield* Deferred.succeed(gate, undefined)
      assert.isUndefined(yield* Fiber.join(finding))
      assert.isUndefined(yield* sessions.find(id, anonymous))
    }).pipe(Effect.provide(process())))

  it.effect("limits the open sessions of a principal, counting those of former processes", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const limit = Layer.succeed(Limits.OpenSessions, 3)
      const server = process(disk).pipe(Layer.provide(limit))
      const first = yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        const first = yield* openSession
        yield* openSession
        yield* openSession
        const error = yield* Effect.flip(openSession)
        assert.deepStrictEqual({ tag: error._tag, limit: "limit" in error && error.limit }, {
          tag: "TooManySessions",
          limit: 3
        })
        yield* sessions.open({ principal: "bob", negotiated })
        return first
      }).pipe(Effect.provide(server))
      yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        assert.strictEqual((yield* Effect.flip(openSession))._tag, "TooManySessions")
        yield* sessions.end(first.id)
        yield* openSession
        assert.strictEqual((yield* Effect.flip(openSession))._tag, "TooManySessions")
      }).pipe(Effect.provide(server))
    }))

  it.effect("a session that could not be stored does not count", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const tooLarge = { ...negotiated, clientInfo: { name: "x".repeat(5_000_000), version: "1" } }
      assert.strictEqual(
        (yield* Effect.flip(sessions.open({ principal: anonymous, negotiated: tooLarge })))._tag,
        "StoreError"
      )
      yield* openSession
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.OpenSessions, 1))))))

  it.effect("updates of a fact follow each other, and are on disk when they return", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const id = yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        const { id } = yield* openSession
        yield* Effect.forEach(
          Array.from({ length: 50 }),
          () => sessions.update(id, Facts.rootsGeneration, (value) => String(Number(value ?? 0) + 1)),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(yield* sessions.fact(id, Facts.rootsGeneration), "50")
        return id
      }).pipe(Effect.provide(process(disk)))
      const fact = Effect.flatMap(Sessions, (sessions) => sessions.fact(id, Facts.rootsGeneration))
      assert.strictEqual(yield* Effect.provide(fact, process(disk)), "50")
    }))

  it.effect("what is set and set back is what stands", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const id = yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        const { id } = yield* openSession
        for (const level of ["debug", "error", "debug"]) {
          yield* sessions.update(id, Facts.logLevel, () => JSON.stringify(level))
        }
        return id
      }).pipe(Effect.provide(process(disk)))
      const fact = Effect.flatMap(Sessions, (sessions) => sessions.fact(id, Facts.logLevel))
      assert.strictEqual(yield* Effect.provide(fact, process(disk)), "\"debug\"")
    }))

  it.effect("what is already so costs no commit", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const faults = yield* Faults
      const { id } = yield* openSession
      yield* sessions.update(id, Facts.initialized, () => "true")
      const before = faults.operations.length
      assert.isTrue(yield* sessions.update(id, Facts.initialized, () => "true"))
      assert.isTrue(yield* sessions.update(id, Facts.initialized, () => undefined))
      assert.deepStrictEqual(faults.operations.slice(before), [])
    }).pipe(Effect.provide(process())))

  it.effect("waits for `initialized` (S-L5)", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const { id } = yield* openSession
      const waiting = yield* Effect.forkChild(sessions.initialized(id))
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      yield* sessions.update(id, Facts.logLevel, () => "\"debug\"")
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      yield* sessions.update(id, Facts.initialized, () => "true")
      yield* Fiber.join(waiting)
      yield* sessions.initialized(id)
    }).pipe(Effect.provide(process())))

  it.effect("a session that nobody uses leaves memory, and is read once when it is used again", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const faults = yield* Faults
      const { id } = yield* openSession
      yield* sessions.find(id, anonymous)
      const reads = () => faults.operations.filter(({ what }) => what === "session").length
      assert.strictEqual(reads(), 0)
      yield* TestClock.adjust("2 minutes")
      for (let i = 0; i < 10; i++) yield* sessions.find(id, anonymous)
      assert.strictEqual(reads(), 1)
    }).pipe(Effect.provide(process())))

  it.effect("writes that a session is in use at most once in a quarter of the idle timeout", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const store = yield* Store
      const { id } = yield* openSession
      const touched = Effect.map(store.session(id), (record) => Option.getOrThrow(record).facts.get(Facts.touched))
      const times = new Set<string | undefined>()
      for (let minute = 0; minute < 120; minute++) {
        yield* sessions.find(id, anonymous)
        yield* TestClock.adjust("1 minute")
        times.add(yield* touched)
      }
      // never, then after 15, 30, …, 105 minutes
      assert.strictEqual(times.size, 8)
    }).pipe(Effect.provide(process().pipe(Layer.provide(idle)))))

  it.effect("writes that a session is in use also when the clock has been set back", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const store = yield* Store
      yield* TestClock.setTime(86_400_000)
      const { id } = yield* openSession
      yield* TestClock.setTime(0)
      yield* sessions.find(id, anonymous)
      yield* TestClock.adjust("20 minutes")
      yield* sessions.find(id, anonymous)
      yield* Effect.yieldNow
      const { facts } = Option.getOrThrow(yield* store.session(id))
      assert.strictEqual(facts.get(Facts.touched), "1200000")
    }).pipe(Effect.provide(process().pipe(Layer.provide(idle)))))

  it.effect("knows who is subscribed, also after a restart (S-RS4)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const [a, b] = yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        const a = yield* openSession
        const b = yield* openSession
        const c = yield* openSession
        const subscribe = (id: string, uris: ReadonlyArray<string>) =>
          sessions.update(id, Facts.subscriptions, () => JSON.stringify(uris))
        yield* subscribe(a.id, ["file://x", "file://y"])
        yield* subscribe(b.id, ["file://x"])
        yield* subscribe(c.id, ["file://x"])
        yield* subscribe(a.id, ["file://y"])
        yield* sessions.end(c.id)
        assert.deepStrictEqual(yield* sessions.subscribers("file://x"), [b.id])
        return [a, b] as const
      }).pipe(Effect.provide(process(disk)))
      yield* Effect.gen(function*() {
        const sessions = yield* Sessions
        assert.deepStrictEqual(yield* sessions.subscribers("file://x"), [b.id])
        assert.deepStrictEqual(yield* sessions.subscribers("file://y"), [a.id])
        yield* sessions.end(b.id)
        assert.deepStrictEqual(yield* sessions.subscribers("file://x"), [])
      }).pipe(Effect.provide(process(disk)))
    }))
})
