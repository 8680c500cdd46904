import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { TestClock } from "effect/testing"
import { fromBackend } from "../../src/store/internal/fromBackend.ts"
import * as memoryBackend from "../../src/store/internal/memoryBackend.ts"
import type { Write } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import * as Harness from "./harness.ts"

const { append, diskFull, openStream, settle } = Harness

const keysOf = Effect.fnUntraced(function*(harness: Harness.Harness, stream = "a") {
  const page = yield* harness.store.events(stream, 0, 10_000)
  return page.events.map(({ key }) => key)
})

const makeOpen = Effect.fnUntraced(function*(options?: Parameters<typeof Harness.make>[0]) {
  const harness = yield* Harness.make(options)
  yield* Effect.forkChild(harness.store.commit([openStream("a")]), { startImmediately: true })
  return harness
})

describe("commitQueue", () => {
  it.effect("commits that come in one turn share one transaction", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      const outcomes = yield* Effect.forEach(
        ["a", "b", "a"],
        (stream) => harness.store.commit([openStream(stream)]),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(outcomes.map(([outcome]) => outcome?._tag === "Opened" && outcome.fresh), [
        true,
        true,
        false
      ])
      assert.strictEqual(harness.batches.length, 1)
    }))

  it.effect("submits and commits keep the order in which they were made", () =>
    Effect.gen(function*() {
      const harness = yield* makeOpen()
      for (let i = 0; i < 10; i++) {
        yield* harness.store.submit([append("a", `submit/${i}`)])
      }
      yield* harness.store.commit([append("a", "commit")])
      assert.deepStrictEqual(yield* keysOf(harness), [...Array.from({ length: 10 }, (_, i) => `submit/${i}`), "commit"])
    }))

  const invalid: ReadonlyArray<readonly [string, Write, StoreError["reason"]]> = [
    ["an empty id", append("", "k"), "InvalidText"],
    ["NUL in a key", append("a", "k\0"), "InvalidText"],
    ["a lone surrogate in a key", append("a", "k\ud800"), "InvalidText"],
    ["a long key", append("a", "k".repeat(1025)), "InvalidText"],
    ["NUL in a payload", { ...append("a", "k"), data: "\"\0\"" } as Write, "InvalidText"],
    ["a payload of too many bytes", { ...append("a", "k"), data: `"${"é".repeat(600)}"` } as Write, "PayloadTooLarge"],
    ["a time that is none", { _tag: "ArmTimer", id: "a", name: "n", at: NaN, exit: "1" }, "InvalidText"]
  ]
  for (const [name, write, reason] of invalid) {
    it.effect(`${name} fails alone`, () =>
      Effect.gen(function*() {
        const harness = yield* makeOpen({ maxPayloadBytes: 1_000 })
        const [before, bad, submitted, after] = yield* Effect.all([
          Effect.result(harness.store.commit([append("a", "before")])),
          Effect.result(harness.store.commit([append("a", "with bad"), write])),
          Effect.result(Effect.as(harness.store.submit([write]), [])),
          Effect.result(harness.store.commit([append("a", "after")]))
        ], { concurrency: "unbounded" })
        assert.isTrue(Result.isSuccess(before) && Result.isSuccess(after))
        for (const result of [bad, submitted]) {
          assert.isTrue(Result.isFailure(result) && result.failure.reason === reason && result.failure.isInvalidWrite)
        }
        assert.deepStrictEqual(yield* keysOf(harness), ["before", "after"])
      }))
  }

  it.effect("1,000 bytes of UTF-8 are 1,000 bytes", () =>
    Effect.gen(function*() {
      const harness = yield* makeOpen({ maxPayloadBytes: 1_000 })
      yield* harness.store.commit([{ ...append("a", "k"), data: `"${"é".repeat(499)}"` } as Write])
    }))

  it.effect("a commit whose fiber was interrupted is still written", () =>
    Effect.gen(function*() {
      const harness = yield* makeOpen()
      const fiber = yield* Effect.forkChild(harness.store.commit([append("a", "k")]), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* settle
      assert.deepStrictEqual(yield* keysOf(harness), ["k"])
    }))

  it.effect("submit waits while the backlog is too long, and only then", () =>
    Effect.gen(function*() {
      const flushes: Array<() => void> = []
      const harness = yield* makeOpen({ gather: (flush) => void flushes.push(flush) })
      const submit = (i: number) => harness.store.submit([append("a", `k${i}`)])
      // 999 and the OpenStream
      yield* Effect.forEach(Array.from({ length: 999 }, (_, i) => i), submit, { discard: true })
      const fiber = yield* Effect.forkChild(submit(999), { startImmediately: true })
      yield* settle
      assert.isUndefined(fiber.pollUnsafe(), "the 1,001st write waits")
      flushes.splice(0).forEach((flush) => flush())
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* keysOf(harness)).length, 1_000)
    }))

  it.effect("submit waits while more than 1 MiB is pending", () =>
    Effect.gen(function*() {
      const flushes: Array<() => void> = []
      const harness = yield* makeOpen({ gather: (flush) => void flushes.push(flush) })
      const submit = (i: number) =>
        harness.store.submit([{ ...append("a", `k${i}`), data: `"${"x".repeat(400_000)}"` } as Write])
      yield* submit(1)
      yield* submit(2)
      const fiber = yield* Effect.forkChild(submit(3), { startImmediately: true })
      yield* settle
      assert.isUndefined(fiber.pollUnsafe())
      flushes.splice(0).forEach((flush) => flush())
      yield* Fiber.join(fiber)
    }))

  it.effect("a list of 10,000 writes of one turn is split into transactions", () =>
    Effect.gen(function*() {
      const harness = yield* makeOpen()
      yield* Effect.forEach(
        Array.from({ length: 10_000 }, (_, i) => i),
        (i) => harness.store.commit([append("a", `k${i}`)]),
        { concurrency: "unbounded", discard: true }
      )
      assert.isAbove(harness.batches.length, 2)
      assert.deepStrictEqual(yield* keysOf(harness), Array.from({ length: 10_000 }, (_, i) => `k${i}`))
    }))
})

describe("commitQueue on a disk that fails", () => {
  it.effect("fails every commit of the batch, acknowledges nothing, and goes on when there is room", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      yield* harness.store.commit([openStream("a"), append("a", "before")])
      harness.failWith = diskFull
      const results = yield* Effect.forEach(
        ["x", "y"],
        (key) => Effect.result(harness.store.commit([append("a", key)])),
        {
          concurrency: "unbounded"
        }
      )
      assert.isTrue(results.every((result) => Result.isFailure(result) && result.failure === diskFull))
      harness.failWith = undefined
      yield* harness.store.commit([append("a", "after")])
      assert.deepStrictEqual(yield* keysOf(harness), ["before", "after"])
    }))

  it.effect("a backend that throws anything else fails with Io", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      harness.failWith = new TypeError("bug")
      const error = yield* Effect.flip(harness.store.commit([openStream("a")]))
      assert.strictEqual(error.reason, "Io")
      assert.strictEqual((yield* Effect.flip(harness.store.execution("a"))).reason, "Io")
    }))

  it.effect("no commit succeeds before what was submitted before it is stored", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      yield* harness.store.commit([openStream("a")])
      harness.failWith = diskFull
      yield* harness.store.submit([append("a", "event")])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(harness.store.commit([append("a", "lost")]))))
      harness.failWith = undefined
      yield* harness.store.commit([append("a", "result")])
      assert.deepStrictEqual(yield* keysOf(harness), ["event", "result"])
    }))

  it.effect("what was submitted is tried again without another commit", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      yield* harness.store.commit([openStream("a")])
      harness.failWith = diskFull
      yield* harness.store.submit([append("a", "event")])
      yield* settle
      harness.failWith = undefined
      assert.deepStrictEqual(yield* keysOf(harness), [])
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.deepStrictEqual(yield* keysOf(harness), ["event"])
    }))

  it.effect("submits do not pile up: beyond the backlog they fail", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      yield* harness.store.commit([openStream("a")])
      harness.failWith = diskFull
      const results = yield* Effect.forEach(Array.from({ length: 5_000 }, (_, i) => i), (i) =>
        Effect.result(harness.store.submit([append("a", `k${i}`)])))
      assert.isAtMost(results.filter(Result.isSuccess).length, 1_001)
      assert.isTrue(Result.isFailure(results.at(-1)!))
      harness.failWith = undefined
      yield* harness.store.commit([append("a", "last")])
      const keys = yield* keysOf(harness)
      assert.isAtMost(keys.length, 1_003)
      assert.strictEqual(keys.at(-1), "last")
    }))

  it.effect("a fenced store fails everything and hangs nobody", () =>
    Effect.gen(function*() {
      const disk = new memoryBackend.Disk()
      const old = yield* makeOpen({ disk })
      yield* settle
      // a submit that waits for room when the fence comes down
      const waiting = yield* Effect.forkChild(
        old.store.submit(
          Array.from({ length: 1_001 }, (_, i) => append("a", `k${i}`)) as unknown as NonEmptyReadonlyArray<Write>
        ),
        { startImmediately: true }
      )
      const now = yield* Harness.make({ disk })
      const reasons = yield* Effect.all([
        Fiber.join(waiting),
        old.store.commit([append("a", "k")]),
        old.store.submit([append("a", "k")]),
        old.store.execution("a"),
        old.store.events("a", 0, 1)
      ].map((effect) => Effect.map(Effect.flip(effect as Effect.Effect<unknown, StoreError>), ({ reason }) => reason)))
      assert.deepStrictEqual(reasons, Array.from({ length: 5 }, () => "Fenced"))
      assert.deepStrictEqual(yield* keysOf(now), [])
    }))
})

describe("commitQueue with a commit that takes its time", () => {
  it.effect("gathers the next batch meanwhile, and closes when the last is through", () =>
    Effect.gen(function*() {
      const inner = memoryBackend.make(new memoryBackend.Disk())
      const underWay: Array<() => void> = []
      const sizes: Array<number> = []
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(
        fromBackend(inner, {
          commit: (batch, now, done) => {
            sizes.push(batch.length)
            underWay.push(() => done(Result.succeed(inner.apply(batch, now))))
          }
        }),
        scope
      )
      const first = yield* Effect.forkChild(store.commit([openStream("a")]), { startImmediately: true })
      yield* settle
      const rest = yield* Effect.forEach(
        ["x", "y", "z"],
        (key) => Effect.forkChild(store.commit([append("a", key)]), { startImmediately: true })
      )
      yield* settle
      assert.deepStrictEqual(sizes, [1])
      underWay.shift()!()
      yield* Fiber.join(first)
      yield* store.submit([append("a", "last")])
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* settle
      assert.isUndefined(closing.pollUnsafe())
      underWay.shift()!()
      yield* settle
      underWay.shift()?.()
      yield* Fiber.joinAll(rest)
      yield* Fiber.join(closing)
      assert.strictEqual(sizes.reduce((a, b) => a + b), 5)
      assert.strictEqual(inner.stream({ id: "a" })?.lastSeq, 4)
    }))

  it.effect("closing writes what is queued; what comes after fails", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const harness = yield* Scope.provide(makeOpen(), scope)
      yield* harness.store.submit([append("a", "k")])
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(harness.store.commit([append("a", "late")]))).reason, "Fenced")
      assert.strictEqual((yield* Effect.flip(harness.store.submit([append("a", "late")]))).reason, "Fenced")
      const next = yield* Harness.make({ disk: harness.disk })
      assert.deepStrictEqual(yield* keysOf(next), ["k"])
    }))
})
