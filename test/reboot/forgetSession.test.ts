/**
 * A session is forgotten whole, or it is still there and can be: whichever of
 * the many writes that takes is the last one of its process.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { entriesOf } from "../../src/reboot/internal/directoryState.ts"
import * as sessionState from "../../src/reboot/internal/sessionState.ts"
import * as store from "../../src/reboot/internal/store.ts"
import { timersOf } from "../../src/reboot/internal/timersState.ts"
import type { Outcome, Store, Write } from "../../src/store/Store.ts"
import { openStream, start } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

const forget: Write = { _tag: "ForgetSession", id: "s" }
const last = (stream: string): Write => ({ _tag: "Append", stream, key: "end", last: true })
const complete = (id: string): Write => ({ _tag: "Complete", id, result: "1" })

interface Opened {
  readonly opening: Simulated.Opening
  readonly store: Store["Service"]
  readonly close: Effect.Effect<void>
}

const open = Effect.fnUntraced(function*(disk: Simulated.Disk, hooks: Simulated.Hooks = {}) {
  const scope = yield* Scope.make()
  const opening = yield* Scope.provide(Simulated.open(disk, hooks), scope)
  const made = yield* Scope.provide(store.make(opening.application), scope)
  return { opening, store: made, close: Scope.close(scope, Exit.void) } satisfies Opened
})

/** Waits while its process lives. */
const outcomes = Effect.fnUntraced(function*(disk: Simulated.Disk, { store }: Opened, writes: readonly [Write]) {
  const fiber = yield* Effect.forkChild(store.commit(writes))
  for (let turns = 0; fiber.pollUnsafe() === undefined && disk.live.size > 0; turns++) {
    assert.isBelow(turns, 10_000, "it never ends")
    yield* TestClock.adjust("50 millis")
  }
  const exit = fiber.pollUnsafe()
  return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
})

/** A session with calls, their children, a stream of its own; and what is not of it. */
const fill = Effect.fnUntraced(function*(disk: Simulated.Disk) {
  const opened = yield* open(disk)
  yield* opened.store.commit([
    { _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" },
    { _tag: "OpenSession", id: "t", principal: "anonymous", data: "{}" },
    { ...openStream("get"), session: "s" },
    { ...openStream("call"), session: "s" },
    start("call"),
    { ...openStream("waiting"), session: "s" },
    start("waiting"),
    start("child", "call"),
    { ...openStream("grandchild"), session: "t" },
    start("grandchild", "child"),
    start("great-grandchild", "grandchild"),
    { ...openStream("other"), session: "t" },
    start("other")
  ])
  yield* opened.store.commit([
    { _tag: "ArmTimer", id: "call", name: "t", at: 1_000_000, exit: "1" },
    { _tag: "ArmTimer", id: "other", name: "t", at: 1_000_000, exit: "1" }
  ])
  yield* opened.store.commit([
    last("call"),
    complete("call"),
    complete("child"),
    complete("grandchild"),
    complete("great-grandchild"),
    last("waiting"),
    complete("waiting"),
    { _tag: "Forget", id: "waiting" }
  ])
  yield* opened.close
})

const ids = <A>(stream: Stream.Stream<A, unknown>, id: (a: A) => string) =>
  Effect.map(Stream.runCollect(stream), (all) => all.map(id))

const check = Effect.fnUntraced(function*({ store }: Opened) {
  assert.isTrue(Option.isNone(yield* store.session("s")))
  assert.deepStrictEqual(yield* ids(store.sessions({}), ({ id }) => id), ["t"])
  assert.deepStrictEqual(yield* ids(store.streams({}), ({ stream }) => stream), ["grandchild", "other"])
  assert.deepStrictEqual(yield* ids(store.list({}), ({ id }) => id), ["other"])
  for (const id of ["call", "waiting", "child", "grandchild", "great-grandchild"]) {
    assert.isTrue(Option.isNone(yield* store.execution(id)), id)
  }
  assert.isTrue(Option.isSome(yield* store.stream({ id: "grandchild" })), "it is of another session")
  // as if they had never been
  const again = yield* store.commit([{ ...openStream("call"), session: "t" }, start("call"), start("waiting")])
  assert.deepStrictEqual(again.map((outcome) => "fresh" in outcome && outcome.fresh), [true, true, true])
})

/** What is left of it in the directory, and in wheels. */
const leftovers = (disk: Simulated.Disk): ReadonlyArray<string> => [
  ...disk.ids("Directory").flatMap((page) =>
    entriesOf(disk.stateOf("Directory", page)).flatMap(({ _tag, id }) =>
      ["s", "get", "call", "waiting", "child", "great-grandchild"].includes(id) ? [`${_tag} ${id}`] : []
    )
  ),
  ...disk.ids("Timers").flatMap((wheel) =>
    timersOf(disk.stateOf("Timers", wheel)).flatMap(({ id }) => id === "other" ? [] : [`timer of ${id}`])
  )
]

describe("ForgetSession", () => {
  it.effect("is refused while the session is open, or a child of its calls runs", () =>
    Effect.gen(function*() {
      const { store } = yield* open(new Simulated.Disk())
      yield* store.commit([
        { _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" },
        { ...openStream("call"), session: "s" },
        start("call"),
        start("child", "call"),
        complete("call")
      ])
      const refused: ReadonlyArray<Outcome> = [{ _tag: "Made", fresh: false }]
      assert.deepStrictEqual(yield* store.commit([forget]), refused)
      yield* store.commit([{ _tag: "EndSession", id: "s" }])
      assert.deepStrictEqual(yield* store.commit([forget]), refused)
      yield* store.commit([complete("child")])
      assert.deepStrictEqual(yield* store.commit([forget]), [{ _tag: "Made", fresh: true }])
      assert.deepStrictEqual(yield* store.commit([forget]), [{ _tag: "Missing" }])
    }).pipe(Effect.scoped))

  it.effect(
    "is done, or done again by the next process, after a death at any of its writes",
    () =>
      Effect.gen(function*() {
        let deaths = 0
        for (const half of ["before", "after"] as const) {
          for (let n = 1, died = true; died; n++) {
            const disk = new Simulated.Disk()
            yield* fill(disk)
            const ended = yield* open(disk)
            yield* ended.store.commit([{ _tag: "EndSession", id: "s" }])
            yield* ended.close

            const first = yield* open(disk, Simulated.dieAt(n, half))
            const done = yield* outcomes(disk, first, [forget])
            died = disk.live.size === 0
            deaths += died ? 1 : 0
            if (!died) {
              assert.deepStrictEqual(done, [{ _tag: "Made", fresh: true }])
              yield* first.close
            }
            const isGone = sessionState.record(disk.stateOf("Session", "s")) === undefined
            const second = yield* open(disk)
            // the sweep finds it, as long as it is there
            const found = yield* ids(second.store.sessions({ ended: true }), ({ id }) => id)
            assert.deepStrictEqual(found, isGone ? [] : ["s"])
            const again = yield* outcomes(disk, second, [forget])
            assert.deepStrictEqual(again, isGone ? [{ _tag: "Missing" }] : [{ _tag: "Made", fresh: true }])
            // of the session itself one hint may stay, which costs a read when a process starts
            const left = leftovers(disk)
            assert.deepStrictEqual(left.filter((text) => text !== "Session s"), [], `died ${half} write ${n}`)
            yield* check(second)
            yield* second.close
          }
        }
        assert.isAtLeast(deaths, 10)
      }),
    60_000
  )
})
