import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import { EventLog, type Page } from "../../src/session/EventLog.ts"
import { anonymous } from "../../src/session/Sessions.ts"
import { Store } from "../../src/store/Store.ts"
import { process } from "./harness.ts"

const openStream = (stream: string) =>
  Effect.flatMap(
    Store,
    (store) =>
      store.commit([{ _tag: "OpenStream", stream, principal: anonymous, requestDigest: "d", version: "2025-11-25" }])
  )

const append = (stream: string, key: number, last?: boolean) =>
  Effect.flatMap(
    Store,
    (store) => store.commit([{ _tag: "Append", stream, key: String(key), data: String(key), last }])
  )

const dataOf = (page: Page) => page.events.map((event) => event.data)

describe("EventLog", () => {
  it.effect("gives what is there, then waits for what comes, then ends (S-R8)", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      yield* openStream("s")
      yield* append("s", 1)
      yield* append("s", 2)
      const follower = yield* log.follow({ stream: "s", afterSeq: 0 })
      assert.deepStrictEqual(dataOf(yield* follower.next), ["1", "2"])
      const next = yield* Effect.forkChild(follower.next)
      yield* Effect.yieldNow
      assert.isUndefined(next.pollUnsafe())
      yield* append("s", 3)
      assert.deepStrictEqual(dataOf(yield* Fiber.join(next)), ["3"])
      yield* append("s", 4, true)
      const page = yield* follower.next
      assert.deepStrictEqual(dataOf(page), ["4"])
      assert.isTrue(page.closed)
      follower.close()
    }).pipe(Effect.provide(process())))

  it.effect("resumes after any event, and only on its own stream (S-R6, S-R7)", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      yield* openStream("s")
      yield* openStream("other")
      for (let i = 1; i <= 5; i++) {
        yield* append("s", i, i === 5)
        yield* append("other", i * 10)
      }
      for (let afterSeq = 0; afterSeq <= 5; afterSeq++) {
        const follower = yield* log.follow({ stream: "s", afterSeq })
        const page = yield* follower.next
        follower.close()
        assert.deepStrictEqual(dataOf(page), ["1", "2", "3", "4", "5"].slice(afterSeq))
        assert.isTrue(page.closed)
      }
    }).pipe(Effect.provide(process())))

  it.effect("reads a long stream in pages, so that a slow reader holds one page", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      yield* openStream("s")
      for (let i = 1; i <= 200; i++) yield* append("s", i, i === 200)
      const follower = yield* log.follow({ stream: "s", afterSeq: 0 })
      const seen: Array<number> = []
      while (true) {
        const page = yield* follower.next
        assert.isAtMost(page.events.length, 64)
        seen.push(...page.events.map((event) => event.seq))
        if (page.closed) break
      }
      assert.deepStrictEqual(seen, Array.from({ length: 200 }, (_, i) => i + 1))
    }).pipe(Effect.provide(process())))

  it.effect("polls without waiting", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      yield* openStream("s")
      const follower = yield* log.follow({ stream: "s", afterSeq: 0 })
      assert.deepStrictEqual(yield* follower.poll, { events: [], trimmed: false, closed: false } as Page)
      yield* append("s", 1, true)
      assert.isTrue((yield* follower.poll).closed)
      follower.close()
    }).pipe(Effect.provide(process())))

  it.effect("ends when what it would read next was removed under it", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      const store = yield* Store
      yield* openStream("s")
      for (let i = 1; i <= 100; i++) yield* append("s", i, i === 100)
      const follower = yield* log.follow({ stream: "s", afterSeq: 0 })
      yield* follower.next
      yield* store.commit([{ _tag: "Trim", stream: "s", beforeSeq: 90 }])
      assert.deepStrictEqual(yield* follower.next, { events: [], closed: true })
    }).pipe(Effect.provide(process())))

  it.effect("knows what is followed", () =>
    Effect.gen(function*() {
      const log = yield* EventLog
      yield* openStream("s")
      const a = yield* log.follow({ stream: "s", afterSeq: 0 })
      const b = yield* log.follow({ stream: "s", afterSeq: 0 })
      a.close()
      a.close()
      assert.isTrue(log.isFollowed("s"))
      b.close()
      assert.isFalse(log.isFollowed("s"))
    }).pipe(Effect.provide(process())))

  it.effect.prop(
    "each follower gets each event once and in order, whenever it begins and however the writer goes on",
    [
      Arbitrary.array(Arbitrary.schema(Schema.Literals(["commit", "submit", "yield", "burst"])), { maxLength: 60 }),
      Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))), {
        minLength: 1,
        maxLength: 4
      })
    ],
    ([script, starts]) =>
      Effect.gen(function*() {
        const log = yield* EventLog
        const store = yield* Store
        yield* openStream("s")
        let key = 0
        const event = (last = false) =>
          ({ _tag: "Append", stream: "s", key: String(++key), data: String(key), last }) as const
        const follow = Effect.fnUntraced(function*(afterSeq: number) {
          const follower = yield* log.follow({ stream: "s", afterSeq })
          const seen: Array<number> = []
          while (true) {
            const page = yield* follower.next
            seen.push(...page.events.map((event) => event.seq))
            if (page.closed) return seen
          }
        })
        const readers = yield* Effect.forEach(starts, (start) => Effect.forkChild(follow(start)))
        for (const step of script) {
          if (step === "commit") yield* store.commit([event()])
          if (step === "submit") yield* store.submit([event()])
          if (step === "burst") yield* store.submit(Array.from({ length: 70 }, () => event()) as never)
          if (step === "yield") yield* Effect.yieldNow
        }
        yield* store.commit([event(true)])
        for (const [index, reader] of readers.entries()) {
          const start = starts[index]!
          const expected = Array.from({ length: Math.max(0, key - start) }, (_, i) => start + i + 1)
          assert.deepStrictEqual(yield* Fiber.join(reader), expected)
        }
      }).pipe(Effect.provide(process())),
    { arbitrary: { runs: 200 } }
  )
})
