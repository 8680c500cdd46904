import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as watches from "../../src/store/internal/watches.ts"
import type { Topic, Watch, Write } from "../../src/store/Store.ts"
import * as Harness from "./harness.ts"

const { append, openStream, settle, start } = Harness

const isChanged = Effect.fnUntraced(function*(watch: Watch) {
  const fiber = yield* Effect.forkChild(watch.next, { startImmediately: true })
  yield* settle
  const changed = fiber.pollUnsafe() !== undefined
  yield* Fiber.interrupt(fiber)
  return changed
})

describe("watches", () => {
  it.effect("a change before `next` is not missed, and many count once", () =>
    Effect.gen(function*() {
      const { notify, watch } = watches.make()
      const stream = watch({ _tag: "Stream", stream: "a" })
      assert.isFalse(yield* isChanged(stream))
      notify("Stream", "a")
      notify("Stream", "a")
      assert.isTrue(yield* isChanged(stream))
      assert.isFalse(yield* isChanged(stream))
      notify("Stream", "b")
      notify("Execution", "a")
      assert.isFalse(yield* isChanged(stream))
    }))

  it.effect("a `next` that is interrupted in the turn of the change leaves it for the next one", () =>
    Effect.gen(function*() {
      const { notify, watch } = watches.make()
      const stream = watch({ _tag: "Stream", stream: "a" })
      const other = watch({ _tag: "Stream", stream: "b" })
      // `b` is told first and ends the race: `a` loses it with its change
      const race = yield* Effect.forkChild(Effect.raceFirst(other.next, stream.next), { startImmediately: true })
      notify("Stream", "b")
      notify("Stream", "a")
      yield* Fiber.join(race)
      assert.isTrue(yield* isChanged(stream))
    }))

  it.effect("who is woken may watch the same topic again at once", () =>
    Effect.gen(function*() {
      const { notify, size, watch } = watches.make()
      let wakes = 0
      const follow = Effect.gen(function*() {
        while (true) {
          const stream = watch({ _tag: "Stream", stream: "a" })
          yield* stream.next
          stream.close()
          wakes++
        }
      })
      const fiber = yield* Effect.forkChild(follow, { startImmediately: true })
      notify("Stream", "a")
      yield* settle
      assert.strictEqual(wakes, 1)
      assert.strictEqual(size(), 1)
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("nothing is kept of a closed watch", () =>
    Effect.gen(function*() {
      const { notify, size, watch } = watches.make()
      const open = Array.from({ length: 100 }, (_, i) => watch({ _tag: "Session", id: `s${i % 10}` }))
      assert.strictEqual(size(), 100)
      for (const one of open) {
        one.close()
        one.close()
      }
      assert.strictEqual(size(), 0)
      notify("Session", "s1")
      assert.isFalse(yield* isChanged(open[1]!))
    }))

  const changes: ReadonlyArray<readonly [Topic, Write]> = [
    [{ _tag: "Stream", stream: "e" }, append("e", "k")],
    [{ _tag: "Execution", id: "e" }, { _tag: "Signal", id: "e", name: "n", exit: "1" }],
    [{ _tag: "Execution", id: "e" }, { _tag: "RequestCancel", id: "e", mode: "now" }],
    [{ _tag: "Execution", id: "e" }, { _tag: "Resume", id: "e" }],
    [{ _tag: "Execution", id: "e" }, { _tag: "Complete", id: "e", result: "1" }],
    [{ _tag: "Execution", id: "e" }, { _tag: "Complete", id: "child", result: "1" }],
    [{ _tag: "Session", id: "s" }, { _tag: "SetSession", id: "s", name: "n", writeKey: "w", value: "1" }],
    [{ _tag: "Session", id: "s" }, { _tag: "EndSession", id: "s" }]
  ]
  for (const [topic, write] of changes) {
    const of = "id" in write && write.id === "child" ? " of a child" : ""
    it.effect(`${write._tag}${of} is a change of its ${topic._tag.toLowerCase()}, once it is durable and only when fresh`, () =>
      Effect.gen(function*() {
        const { store } = yield* Harness.make()
        yield* store.commit([
          { _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" },
          openStream("e"),
          start("e"),
          start("child", "e"),
          Harness.park("e", "stuck")
        ])
        const watch = store.watch(topic)
        const other = store.watch({ ...topic, [topic._tag === "Stream" ? "stream" : "id"]: "other" } as Topic)
        assert.isFalse(yield* isChanged(watch))
        yield* store.commit([write])
        assert.isTrue(yield* isChanged(watch))
        yield* store.commit([write])
        assert.isFalse(yield* isChanged(watch))
        assert.isFalse(yield* isChanged(other))
      }))
  }

  it.effect("a follower is woken once a batch, and then reads all of it", () =>
    Effect.gen(function*() {
      const { store } = yield* Harness.make()
      yield* store.commit([openStream("a")])
      const watch = store.watch({ _tag: "Stream", stream: "a" })
      const pages: Array<number> = []
      const fiber = yield* Effect.forkChild(
        Effect.gen(function*() {
          let after = 0
          while (true) {
            yield* watch.next
            const page = yield* store.events("a", after, 100)
            pages.push(page.events.length)
            after += page.events.length
          }
        }),
        { startImmediately: true }
      )
      yield* Effect.forEach([1, 2, 3], (i) => store.submit([append("a", `x${i}`), append("a", `y${i}`)]))
      yield* store.commit([append("a", "z")])
      yield* settle
      assert.deepStrictEqual(pages, [7])
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("a follower that registers before it reads sees every event, whatever comes between", () =>
    Effect.gen(function*() {
      const { store } = yield* Harness.make()
      yield* store.commit([openStream("a")])
      const follow = Effect.gen(function*() {
        const watch = store.watch({ _tag: "Stream", stream: "a" })
        const keys: Array<string> = []
        let after = 0
        while (true) {
          const page = yield* store.events("a", after, 3)
          keys.push(...page.events.map(({ key }) => key))
          after = page.events.at(-1)?.seq ?? after
          if (page.closed) {
            return keys
          }
          if (page.events.length === 0) {
            yield* watch.next
          }
        }
      })
      const followers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(follow, { startImmediately: true }))
      for (let i = 0; i < 50; i++) {
        yield* store.submit([append("a", `k${i}`)])
        if (i % 7 === 0) {
          yield* Effect.yieldNow
        }
      }
      yield* store.commit([{ ...append("a", "end"), last: true } as Write])
      const all = yield* Fiber.joinAll(followers)
      for (const keys of all) {
        assert.deepStrictEqual(keys, [...Array.from({ length: 50 }, (_, i) => `k${i}`), "end"])
      }
    }))
})
