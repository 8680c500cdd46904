import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { EventLog, type Follower } from "../../src/session/EventLog.ts"
import * as Limits from "../../src/session/Limits.ts"
import { Outbox } from "../../src/session/Outbox.ts"
import { type Session, Sessions } from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { everyCrash, Faults, openSession, process } from "./harness.ts"

/** An open GET. */
interface Get {
  readonly stream: string
  readonly follower: Follower
}

const get = Effect.fnUntraced(function*(session: Session): Effect.fn.Return<Get, unknown, Outbox | EventLog> {
  const { stream } = yield* Effect.flatMap(Outbox, (outbox) => outbox.open(session))
  return { stream, follower: yield* follow(session, stream, 0) }
})

const follow = (session: Session, stream: string, afterSeq: number) =>
  Effect.flatMap(EventLog, (log) => log.follow({ stream, afterSeq, session: session.id }))

const raise = (session: Session, topic: string) =>
  Effect.flatMap(Outbox, (outbox) => outbox.raise(session.id, topic, JSON.stringify(topic)))

const polled = ({ follower }: Get) =>
  Effect.map(follower.poll, (page) => page.events.map((event) => JSON.parse(event.data!) as string))

describe("Outbox", () => {
  it.effect("messages wait while no GET is open, also over a restart", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const session = yield* Effect.gen(function*() {
        const session = yield* openSession
        yield* raise(session, "tools")
        yield* raise(session, "prompts")
        return session
      }).pipe(Effect.provide(process(disk)))
      yield* Effect.gen(function*() {
        yield* raise(session, "resources")
        assert.deepStrictEqual(yield* polled(yield* get(session)), ["tools", "prompts", "resources"])
      }).pipe(Effect.provide(process(disk)))
    }))

  it.effect("an open GET gets a message when it is raised", () =>
    Effect.gen(function*() {
      const session = yield* openSession
      const { follower } = yield* get(session)
      const next = yield* Effect.forkChild(follower.next)
      yield* Effect.yieldNow
      assert.isUndefined(next.pollUnsafe())
      yield* raise(session, "tools")
      const page = yield* Fiber.join(next)
      assert.deepStrictEqual(page.events.map((event) => [event.seq, event.data]), [[1, "\"tools\""]])
    }).pipe(Effect.provide(process())))

  it.effect("a topic that is queued already is not queued again; one that was moved is", () =>
    Effect.gen(function*() {
      const session = yield* openSession
      yield* raise(session, "tools")
      yield* raise(session, "tools")
      const a = yield* get(session)
      assert.deepStrictEqual(yield* polled(a), ["tools"])
      yield* raise(session, "tools")
      yield* raise(session, "tools")
      assert.deepStrictEqual(yield* polled(a), ["tools"])
    }).pipe(Effect.provide(process())))

  it.effect("with several GETs open exactly one gets a message, the newest (S-P18, A11)", () =>
    Effect.gen(function*() {
      const session = yield* openSession
      const a = yield* get(session)
      yield* raise(session, "1")
      assert.deepStrictEqual(yield* polled(a), ["1"])
      const b = yield* get(session)
      yield* raise(session, "2")
      assert.deepStrictEqual(yield* polled(a), [])
      assert.deepStrictEqual(yield* polled(b), ["2"])
      b.follower.close()
      yield* raise(session, "3")
      assert.deepStrictEqual(yield* polled(a), ["3"])
    }).pipe(Effect.provide(process())))

  it.effect("an older GET takes over what the newest left when it closed", () =>
    Effect.gen(function*() {
      const session = yield* openSession
      const a = yield* get(session)
      const waiting = yield* Effect.forkChild(a.follower.next)
      yield* Effect.yieldNow
      const b = yield* get(session)
      yield* raise(session, "1")
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      b.follower.close()
      const page = yield* Fiber.join(waiting)
      assert.deepStrictEqual(page.events.map((event) => event.data), ["\"1\""])
    }).pipe(Effect.provide(process())))

  it.effect("what a stream has is replayed on that stream only (S-R7)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const [session, a, b] = yield* Effect.gen(function*() {
        const session = yield* openSession
        const a = yield* get(session)
        yield* raise(session, "1")
        yield* polled(a)
        const b = yield* get(session)
        yield* raise(session, "2")
        yield* polled(b)
        return [session, a, b] as const
      }).pipe(Effect.provide(process(disk)))
      yield* Effect.gen(function*() {
        const again = { stream: a.stream, follower: yield* follow(session, a.stream, 0) }
        assert.deepStrictEqual(yield* polled(again), ["1"])
        again.follower.close()
        assert.deepStrictEqual(yield* polled({ ...b, follower: yield* follow(session, b.stream, 0) }), ["2"])
        const after = { ...b, follower: yield* follow(session, b.stream, 1) }
        assert.deepStrictEqual(yield* polled(after), [])
        yield* raise(session, "3")
        assert.deepStrictEqual(yield* polled(after), ["3"])
      }).pipe(Effect.provide(process(disk)))
    }))

  it.effect("the end of the session ends its GETs, and they get nothing more (S-S8)", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const outbox = yield* Outbox
      const session = yield* openSession
      const a = yield* get(session)
      const b = yield* get(session)
      const pages = yield* Effect.forkChild(
        Effect.all([
          Effect.ensuring(a.follower.next, Effect.sync(a.follower.close)),
          Effect.ensuring(b.follower.next, Effect.sync(b.follower.close))
        ], { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      yield* sessions.end(session.id)
      yield* raise(session, "late")
      yield* outbox.end(session.id)
      assert.deepStrictEqual(yield* Fiber.join(pages), [{ events: [], closed: true }, { events: [], closed: true }])
      const late = yield* follow(session, a.stream, 0)
      assert.deepStrictEqual(yield* late.next, { events: [], closed: true })
    }).pipe(Effect.provide(process())))

  it.effect("keeps a number of standalone streams, and never forgets one that is followed", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const session = yield* openSession
      const first = yield* get(session)
      const gets: Array<Get> = []
      for (let i = 0; i < 4; i++) {
        const next = yield* get(session)
        next.follower.close()
        gets.push(next)
      }
      const forgotten = ({ stream }: Get) =>
        Effect.map(store.stream({ id: stream }), (record) => record._tag === "None" || record.value.forgotten)
      assert.isFalse(yield* forgotten(first))
      assert.isTrue(yield* forgotten(gets[0]!))
      assert.isFalse(yield* forgotten(gets[2]!))
      yield* raise(session, "1")
      assert.deepStrictEqual(yield* polled(first), ["1"])
    }).pipe(Effect.provide(process().pipe(Layer.provide(Layer.succeed(Limits.StandaloneStreams, 2))))))

  it.effect("a crash at any operation loses no message and puts none on two streams", () =>
    Effect.gen(function*() {
      const crashes = yield* everyCrash(Effect.fnUntraced(function*(nth, applied) {
        const where = `crash at operation ${nth} after ${applied} writes`
        const disk = MemoryStore.makeDisk()
        const session = yield* openSession.pipe(Effect.provide(process(disk)))
        const streams: Array<string> = []
        const script = Effect.gen(function*() {
          yield* raise(session, "a")
          yield* raise(session, "b")
          const one = yield* get(session)
          streams.push(one.stream)
          yield* polled(one)
          yield* raise(session, "c")
          yield* polled(one)
          const two = yield* get(session)
          streams.push(two.stream)
          yield* raise(session, "d")
          yield* polled(two)
        })
        const operation = yield* Effect.gen(function*() {
          const faults = yield* Faults
          faults.dieAt(nth, applied)
          yield* Effect.exit(script)
          return faults.diedAt()
        }).pipe(Effect.provide(process(disk)))
        if (operation === undefined) return undefined
        yield* Effect.gen(function*() {
          const store = yield* Store
          // Whoever raised them does so again, as after any crash.
          for (const topic of ["a", "b", "c", "d"]) yield* raise(session, topic)
          const last = yield* get(session)
          streams.push(last.stream)
          yield* polled(last)
          const pages = yield* Effect.forEach(new Set(streams), (stream) => store.events(stream, 0, 100))
          const events = pages.flatMap((page) => page.events)
          const seen = new Set(events.map(({ data }) => JSON.parse(data!) as string))
          assert.deepStrictEqual([...seen].toSorted(), ["a", "b", "c", "d"], where)
          // A message is raised twice at most, and then it is two messages of one queue, not one on two streams.
          assert.strictEqual(new Set(events.map(({ key }) => key)).size, events.length, where)
        }).pipe(Effect.provide(process(disk)))
        return operation
      }))
      assert.isAtLeast(crashes, 40)
    }))
})
