/**
 * The directory loses nothing, knows at once what its process entered, and costs
 * few writes and reads.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Application } from "../../src/reboot/internal/Application.ts"
import * as directory from "../../src/reboot/internal/directory.ts"
import { TombstonesListed } from "../../src/reboot/internal/directory.ts"
import { type DirectoryEntry, entriesOf } from "../../src/reboot/internal/directoryState.ts"
import { compare, type DirectoryView } from "../../src/reboot/internal/directoryView.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import * as Simulated from "./SimulatedApplication.ts"

const call = (id: string, session?: string, createdAt = 0): DirectoryEntry => ({
  _tag: "Call",
  id,
  createdAt,
  stream: true,
  session,
  workflow: "w",
  parent: undefined
})
const closed = (id: string, at = 0): DirectoryEntry => ({ _tag: "Closed", id, at })
const session = (id: string): DirectoryEntry => ({ _tag: "Session", id, createdAt: 0 })

const idsOf = (view: DirectoryView): ReadonlyArray<string> =>
  view.calls().toSorted((a, b) => compare(a.stream!, b.stream!)).map(({ id }) => id)

const writesOf = (disk: Simulated.Disk): number => disk.log.filter(({ type }) => type === "Directory").length

const range = (length: number, prefix: string): ReadonlyArray<string> =>
  Array.from({ length }, (_, i) => `${prefix}${i}`)

const untilInTime = (what: string, condition: () => boolean) =>
  Effect.gen(function*() {
    for (let turns = 0; !condition(); turns++) {
      assert.isBelow(turns, 10_000, what)
      yield* TestClock.adjust("100 millis")
    }
  })

interface Opened {
  readonly directory: directory.Directory
  readonly close: Effect.Effect<void>
}

const open = Effect.fnUntraced(function*(application: Application) {
  const scope = yield* Scope.make()
  const made = yield* Scope.provide(directory.make(application), scope)
  return { directory: made, close: Scope.close(scope, Exit.void) } satisfies Opened
})

/** The process after this one. */
const reopened = Effect.fnUntraced(function*(disk: Simulated.Disk) {
  const opening = yield* Simulated.open(disk)
  return { ...yield* open(opening.application), opening }
})

describe("directory", () => {
  it.effect("knows at once what was entered, and stores it with others", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { directory } = yield* reopened(disk)
      const ids = range(100, "e")
      ids.forEach((id) => directory.enter(call(id)))
      assert.deepStrictEqual(idsOf(yield* directory.view), ids)
      assert.strictEqual(writesOf(disk), 0)
      const settled = yield* Effect.forkChild(directory.settled("e7"))
      yield* TestClock.adjust("249 millis")
      assert.isUndefined(settled.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(settled)
      assert.strictEqual(writesOf(disk), 1)
      yield* directory.settled("nobody entered it")
      const next = yield* reopened(disk)
      assert.deepStrictEqual(idsOf(yield* next.directory.view), ids)
    }))

  it.effect("stores nothing twice, and no hint that a read gives", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { directory } = yield* reopened(disk)
      const entries = [session("s"), call("e", "s"), closed("e", 5)]
      entries.forEach(directory.enter)
      yield* directory.flush
      const next = yield* reopened(disk)
      // as the tasks do that a crash left
      entries.forEach(next.directory.enter)
      next.directory.enter({ _tag: "Written", id: "s", at: 7 })
      yield* next.directory.flush
      assert.deepStrictEqual(disk.stateOf("Directory", "0").entries.length, 3)
      assert.deepInclude((yield* next.directory.view).sessions()[0], { id: "s", writtenAt: 7 })
      assert.deepInclude((yield* next.directory.view).calls("s")[0], { id: "e", session: "s", closedAt: 5 })
    }))

  it.effect("turns pages; the next process reads each once", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { directory } = yield* reopened(disk)
      const ids = range(2_000, "e")
      ids.forEach((id) => directory.enter(call(id)))
      yield* directory.flush
      assert.isAtMost(writesOf(disk), 2_000 / 128 * 2)
      const next = yield* reopened(disk)
      assert.deepStrictEqual(idsOf(yield* next.directory.view), ids)
      yield* next.directory.view
      assert.isAtMost(next.opening.counts.reads.Directory, 2_000 / 256 + 10)
    }))

  it.effect("is stored when its process ends in order, and tried again when Reboot does not answer", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      let failing = false
      const { application } = yield* Simulated.open(disk, {
        before: () => failing ? Effect.fail(new StoreError({ reason: "Io", message: "no answer" })) : Effect.void
      })
      const { close, directory } = yield* open(application)
      failing = true
      directory.enter(call("a"))
      const settled = yield* Effect.forkChild(directory.settled("a"))
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(settled.pollUnsafe())
      failing = false
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(settled)
      directory.enter(call("b"))
      yield* close
      const next = yield* reopened(disk)
      assert.deepStrictEqual(idsOf(yield* next.directory.view), ["a", "b"])
    }))

  it.effect("what is removed is gone, and pages that hold nothing are not read again", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { directory } = yield* reopened(disk)
      const ids = range(1_500, "e")
      ids.forEach((id) => directory.enter(call(id)))
      yield* directory.flush
      directory.enter(call("held back"))
      directory.enter(call("too"))
      yield* directory.remove(["held back", "nobody", ...ids.slice(0, 1_400)])
      assert.deepStrictEqual(idsOf(yield* directory.view), [...ids.slice(1_400), "too"])
      yield* untilInTime("the first page moves", () => disk.stateOf("Directory", "first").version > 0)
      const next = yield* reopened(disk)
      assert.deepStrictEqual(idsOf(yield* next.directory.view), [...ids.slice(1_400), "too"])
      assert.isAtMost(next.opening.counts.reads.Directory, 12)
      next.directory.enter(call("e0"))
      yield* next.directory.flush
      assert.include(idsOf(yield* (yield* reopened(disk)).directory.view), "e0")
    }))

  it.effect("pages that hold little are joined", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { directory } = yield* reopened(disk)
      const kept: Array<string> = []
      for (let round = 0; round < 40; round++) {
        const [first, ...others] = range(256, `${round}.`)
        kept.push(first!)
        for (const id of [first!, ...others]) {
          directory.enter(call(id))
        }
        directory.enter(closed(first!, round))
        yield* directory.flush
        yield* directory.remove(others)
        yield* TestClock.adjust("250 millis")
      }
      yield* untilInTime("pages are joined", () => entriesOf(disk.stateOf("Directory", "first")).length > 0)
      const next = yield* reopened(disk)
      const view = yield* next.directory.view
      assert.deepStrictEqual(view.calls().map(({ id }) => id).toSorted(), kept.toSorted())
      assert.deepStrictEqual(view.calls().map(({ closedAt }) => closedAt).toSorted((a, b) => a! - b!), [...kept.keys()])
      assert.isAtMost(next.opening.counts.reads.Directory, 32)
    }))

  it.effect("of forgotten calls of no session the newest are listed", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { directory } = yield* reopened(disk)
      directory.enter(call("of a session", "s"))
      directory.enter({ _tag: "Forgotten", id: "of a session" })
      directory.enter(call("not forgotten"))
      const ids = range(3_000, "e")
      for (const id of ids) {
        directory.enter(call(id))
        directory.enter(closed(id))
      }
      yield* directory.flush
      ids.forEach((id) => directory.enter({ _tag: "Forgotten", id }))
      const left = ["of a session", "not forgotten", ...ids.slice(-100)].toSorted()
      assert.deepStrictEqual(idsOf(yield* directory.view).toSorted(), left)
      yield* untilInTime("pages go", () => {
        const [first] = entriesOf(disk.stateOf("Directory", "first"))
        return first?._tag === "First" && first.page > 20
      })
      assert.deepStrictEqual(idsOf(yield* directory.view).toSorted(), left)
      const next = yield* reopened(disk)
      assert.deepStrictEqual(idsOf(yield* next.directory.view).toSorted(), left)
      next.directory.enter(call("last"))
      next.directory.enter({ _tag: "Forgotten", id: "last" })
      const ofNext = idsOf(yield* next.directory.view)
      assert.strictEqual(ofNext.length, left.length)
      assert.include(ofNext, "last")
    }).pipe(Effect.provideService(TombstonesListed, 100)))

  it.effect("hosts write one log, and any of them and a front know what each holds back", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const hosts = yield* Effect.forEach(
        [1, 2],
        Effect.fnUntraced(function*() {
          const opening = yield* Simulated.open(disk, { role: "host" })
          const { directory } = yield* open(opening.application)
          opening.onFlush(directory.flush)
          return directory
        })
      )
      const front = yield* Effect.flatMap(
        Simulated.open(disk, { role: "front" }),
        ({ application }) => open(application)
      )
      const ids = range(900, "e")
      for (let from = 0; from < ids.length; from += 90) {
        ids.slice(from, from + 90).forEach((id, i) => hosts[i % 2]!.enter(call(id)))
        // at once, so that they meet at a page that turns
        yield* Effect.forEach(hosts, (host) => host.flush, { concurrency: 2 })
      }
      hosts[0]!.enter(call("held back", "s"))
      front.directory.enter(call("by a front"))
      for (const each of [...hosts, front.directory]) {
        const view = yield* each.view
        const own = each === front.directory ? ["by a front"] : []
        assert.deepStrictEqual(idsOf(view).toSorted(), [...ids, "held back", ...own].toSorted())
        assert.deepStrictEqual(view.calls("s").map(({ id }) => id), ["held back"])
      }
      front.directory.enter(call("later, by a front"))
      assert.include(idsOf(yield* front.directory.view), "later, by a front")
      yield* hosts[1]!.remove(ids.slice(0, 890))
      const next = yield* reopened(disk)
      assert.deepStrictEqual(idsOf(yield* next.directory.view).toSorted(), [...ids.slice(890), "held back"].toSorted())
    }))
})

// -----------------------------------------------------------------------------
// crashes
// -----------------------------------------------------------------------------

const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Enter"), count: Schema.Literals([1, 3, 300]) }),
  Schema.Struct({ _tag: Schema.Literal("Close"), every: Schema.Literals([1, 2, 7]) }),
  Schema.Struct({ _tag: Schema.Literal("Remove"), every: Schema.Literals([1, 2, 5]) }),
  Schema.Struct({ _tag: Schema.Literal("Settle") }),
  Schema.Struct({ _tag: Schema.Literal("Wait") })
])

const commands = Arbitrary.array(Arbitrary.schema(Command), { minLength: 1, maxLength: 6 })

/**
 * The program runs until its process dies at the `n`th write, or to its end. The
 * next process enters again what was not settled, removes again what was not
 * acknowledged, and knows the rest.
 */
const runProgram = Effect.fnUntraced(function*(
  program: ReadonlyArray<typeof Command["Type"]>,
  n: number,
  half: "before" | "after"
) {
  const disk = new Simulated.Disk()
  const first = yield* Effect.flatMap(
    Simulated.open(disk, Simulated.dieAt(n, half)),
    ({ application }) => open(application)
  )
  const present = new Map<string, { closedAt: number | undefined; settled: boolean }>()
  let removing: ReadonlyArray<string> = []
  let count = 0
  /** Whether it has ended before the process. */
  const ends = Effect.fnUntraced(function*<E>(effect: Effect.Effect<void, E>) {
    const fiber = yield* Effect.forkChild(effect)
    for (let turns = 0; fiber.pollUnsafe() === undefined && disk.live.size > 0; turns++) {
      assert.isBelow(turns, 10_000, "it never ends")
      yield* TestClock.adjust("100 millis")
    }
    return fiber.pollUnsafe()?._tag === "Success" && disk.live.size > 0
  })
  for (const command of program) {
    if (disk.live.size === 0) {
      break
    }
    switch (command._tag) {
      case "Enter": {
        for (let i = 0; i < command.count; i++) {
          const id = `e${count++}`
          present.set(id, { closedAt: undefined, settled: false })
          first.directory.enter(call(id, `s${count % 3}`, count))
        }
        break
      }
      case "Close": {
        for (const [id, known] of Array.from(present).filter((_, i) => i % command.every === 0)) {
          present.set(id, { closedAt: known.closedAt ?? count, settled: false })
          first.directory.enter(closed(id, known.closedAt ?? count))
        }
        break
      }
      case "Remove": {
        removing = Array.from(present.keys()).filter((_, i) => i % command.every === 0)
        removing.forEach((id) => present.delete(id))
        if (yield* ends(first.directory.remove(removing))) {
          removing = []
        }
        break
      }
      case "Settle": {
        if (yield* ends(Effect.forEach(present.keys(), first.directory.settled, { discard: true }))) {
          present.forEach((known) => void (known.settled = true))
        }
        break
      }
      case "Wait": {
        yield* TestClock.adjust("300 millis")
      }
    }
  }
  const died = disk.live.size === 0
  disk.fence()
  if (!died) {
    yield* first.close
  }
  const next = yield* reopened(disk)
  yield* next.directory.remove(removing)
  for (const [id, { closedAt, settled }] of present) {
    if (!settled) {
      next.directory.enter(call(id, `s${(Number(id.slice(1)) + 1) % 3}`, Number(id.slice(1)) + 1))
      if (closedAt !== undefined) {
        next.directory.enter(closed(id, closedAt))
      }
    }
  }
  yield* next.directory.flush
  yield* next.close
  const last = yield* reopened(disk)
  const view = yield* last.directory.view
  assert.deepStrictEqual(idsOf(view), Array.from(present.keys()))
  for (const { closedAt, id, session } of view.calls()) {
    assert.strictEqual(session, `s${(Number(id.slice(1)) + 1) % 3}`)
    assert.strictEqual(closedAt, present.get(id)!.closedAt)
  }
  return died
}, Effect.scoped)

describe("directory and crashes", () => {
  it.effect.prop("nothing that is settled is lost at any write, nothing that is removed comes back", [commands], ([
    program
  ]) =>
    Effect.gen(function*() {
      for (const half of ["before", "after"] as const) {
        for (let n = 1; yield* runProgram(program, n, half); n++) {
          // until the program outlives its process
        }
      }
    }), { timeout: 60_000, arbitrary: { runs: 40 } })
})
