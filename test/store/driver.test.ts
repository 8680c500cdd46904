import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Latch, Layer, Option, References, Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { TestClock } from "effect/testing"
import * as memoryBackend from "../../src/store/internal/memoryBackend.ts"
import type { Driver, ExecutionRecord, RunCause, Write } from "../../src/store/Store.ts"
import { StartsPerTurn } from "../../src/store/StoreLimits.ts"
import * as Harness from "./harness.ts"

const { diskFull, park, settle, start } = Harness

const complete = (id: string, result = "1"): Write => ({ _tag: "Complete", id, result })
const signal = (id: string, name: string): Write => ({ _tag: "Signal", id, name, exit: `"${name}"` })
const arm = (id: string, name: string, at: number): Write => ({ _tag: "ArmTimer", id, name, at, exit: "\"late\"" })
const cancel = (id: string): Write => ({ _tag: "RequestCancel", id, mode: "now" })

interface Run extends RunCause {
  readonly id: string
  readonly at: number
}

interface Driven extends Harness.Harness {
  readonly driver: Driver
  /** Every run that was begun. */
  readonly runs: Array<Run>
}

/** What a run does; given what an engine would read first. */
type Body = (record: ExecutionRecord) => Effect.Effect<ReadonlyArray<Write>>

/** Drives the store with runs that end by committing what `body` returns. */
const drive = Effect.fnUntraced(function*(body: Body, disk?: memoryBackend.Disk) {
  const harness = yield* Harness.make({ disk })
  const runs: Array<Run> = []
  const running = new Set<string>()
  const driver = yield* harness.store.drive((id, cause) =>
    Effect.gen(function*() {
      assert.isFalse(running.has(id), `${id} runs twice at a time`)
      running.add(id)
      runs.push({ id, cutOff: cause.cutOff, at: yield* Clock.currentTimeMillis })
      const record = Option.getOrThrow(yield* harness.store.execution(id))
      const [first, ...rest] = yield* body(record)
      if (first !== undefined) {
        yield* harness.store.commit([first, ...rest])
      }
    }).pipe(Effect.orDie, Effect.ensuring(Effect.sync(() => running.delete(id))))
  )
  const driven: Driven = Object.assign(harness, { driver, runs })
  return driven
})

const commit = (harness: Harness.Harness, ...writes: NonEmptyReadonlyArray<Write>) =>
  Effect.andThen(harness.store.commit(writes), settle)

const idsOf = (driven: Driven): ReadonlyArray<string> => driven.runs.map(({ id }) => id)

const stateOf = (harness: Harness.Harness, id: string) =>
  Effect.map(harness.store.execution(id), (record) => Option.getOrThrow(record).parked?.state)

/** Parks until there is a signal or a cancel request, then completes. */
const awaitSignal: Body = (record) =>
  Effect.succeed([
    record.signals.length > 0 || record.cancel !== undefined ?
      complete(record.id) :
      { _tag: "Park", id: record.id, state: "waiting", seenSignals: 0, seenCancel: false }
  ])

const unfinished: Body = () => Effect.succeed([])

const silent = Effect.provideService(References.MinimumLogLevel, "None")

describe("driver", () => {
  it.effect("runs what is started, once, with a clean cause", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) => Effect.succeed([complete(record.id)]))
      yield* commit(driven, start("a"), start("b"))
      yield* commit(driven, start("a"))
      assert.deepStrictEqual(driven.runs, [{ id: "a", cutOff: false, at: 0 }, { id: "b", cutOff: false, at: 0 }])
    }))

  it.effect("runs a parked execution when it has a signal, and never two runs of it at a time", () =>
    Effect.gen(function*() {
      const driven = yield* drive(awaitSignal)
      yield* commit(driven, start("a"))
      assert.strictEqual(yield* stateOf(driven, "a"), "waiting")
      yield* commit(driven, signal("a", "x"), signal("a", "y"), cancel("a"))
      assert.deepStrictEqual(idsOf(driven), ["a", "a"])
      yield* commit(driven, signal("a", "z"))
      assert.deepStrictEqual(idsOf(driven), ["a", "a"])
    }))

  it.effect("a signal that arrives during the run makes its park void, and the next run sees it", () =>
    Effect.gen(function*() {
      const arrived = yield* Latch.make()
      const driven = yield* drive((record) =>
        record.signals.length > 0 ? awaitSignal(record) : Effect.as(arrived.await, [park(record.id, "waiting")])
      )
      yield* commit(driven, start("a"))
      yield* commit(driven, signal("a", "x"))
      yield* arrived.open
      yield* settle
      assert.deepStrictEqual(driven.runs.map(({ at }) => at), [0, 0], "at once, without back-off")
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("a")).result, "1")
    }))

  it.effect("a cancel request that a run has seen does not make it run for ever", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) =>
        Effect.succeed([
          {
            _tag: "Park",
            id: record.id,
            state: "waiting",
            seenSignals: record.signals.length,
            seenCancel: record.cancel !== undefined
          }
        ])
      )
      yield* commit(driven, start("a"))
      yield* commit(driven, cancel("a"))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(idsOf(driven), ["a", "a"])
      assert.strictEqual(yield* stateOf(driven, "a"), "waiting")
    }))

  it.effect("a parent runs again when its child is done", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) =>
        record.id === "child" ? Effect.succeed([complete("child", "\"c\"")]) : awaitSignal(record)
      )
      yield* commit(driven, start("parent"))
      yield* commit(driven, start("child", "parent"))
      assert.deepStrictEqual(idsOf(driven), ["parent", "child", "parent"])
      const parent = Option.getOrThrow(yield* driven.store.execution("parent"))
      assert.deepStrictEqual(parent.signals, [{ name: "child/child", exit: "\"c\"", recordedAt: 0 }])
    }))

  it.effect("stuck: signals do not help, Resume does, a cancel request does", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) =>
        Effect.succeed([
          { ...park(record.id, "stuck"), seenCancel: record.cancel !== undefined } as Write
        ])
      )
      yield* commit(driven, start("a"))
      yield* commit(driven, signal("a", "x"))
      assert.strictEqual(driven.runs.length, 1)
      yield* commit(driven, { _tag: "Resume", id: "a" })
      assert.strictEqual(driven.runs.length, 2)
      yield* commit(driven, cancel("a"))
      assert.strictEqual(driven.runs.length, 3)
      yield* commit(driven, cancel("a"))
      assert.strictEqual(driven.runs.length, 3)
    }))

  it.effect("ends its runs with its scope", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const interrupted: Array<string> = []
      const driven = yield* Scope.provide(
        drive((record) => Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted.push(record.id))))),
        scope
      )
      yield* commit(driven, start("a"), start("b"))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(interrupted, ["a", "b"])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(driven.runs.length, 2)
    }))

  it.effect("is driven once", () =>
    Effect.gen(function*() {
      const driven = yield* drive(unfinished)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(driven.store.drive(() => Effect.void))))
    }))

  it.effect("a store that cannot be read is told to who drives it", () =>
    Effect.gen(function*() {
      const harness = yield* Harness.make()
      harness.failWith = diskFull
      assert.strictEqual(yield* Effect.flip(harness.store.drive(() => Effect.void)), diskFull)
      harness.failWith = undefined
      yield* harness.store.drive(() => Effect.void)
    }))
})

describe("driver: runs that end for nothing", () => {
  it.effect("run again after 100 ms, 200 ms and so on, at most 30 s", () =>
    Effect.gen(function*() {
      const driven = yield* drive(unfinished)
      yield* commit(driven, start("a"))
      yield* TestClock.adjust("3 minutes")
      const ats = driven.runs.map(({ at }) => at)
      const waits = ats.slice(1).map((at, i) => at - ats[i]!)
      assert.deepStrictEqual(waits.slice(0, 10), [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000])
      assert.isTrue(driven.runs.every(({ cutOff }) => !cutOff), "the process is the same")
    }))

  it.effect("count from the start after a step", () =>
    Effect.gen(function*() {
      const driven: Driven = yield* drive((record) =>
        Effect.succeed(
          driven.runs.length === 4 ?
            [{
              _tag: "RecordStep",
              id: record.id,
              name: "s",
              key: "k",
              kind: "step",
              root: true,
              version: "1",
              exit: "1"
            }] :
            []
        )
      )
      yield* commit(driven, start("a"))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(driven.runs.slice(0, 7).map(({ at }) => at), [0, 100, 300, 700, 800, 1000, 1400])
    }))

  it.effect("do not sleep through a cancel request", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) => Effect.succeed(record.cancel === undefined ? [] : [complete(record.id)]))
      yield* commit(driven, start("a"))
      yield* TestClock.adjust("1 minute")
      const before = driven.runs.length
      yield* commit(driven, cancel("a"))
      assert.strictEqual(driven.runs.length, before + 1)
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("a")).result, "1")
    }))

  it.effect("a defect, a throw and an interrupt of its own fiber are ends like any other", () =>
    Effect.gen(function*() {
      const bodies: ReadonlyArray<() => Effect.Effect<ReadonlyArray<Write>>> = [
        () => Effect.die("defect"),
        () => {
          throw new Error("thrown")
        },
        () => Effect.interrupt,
        () => Effect.withFiber((fiber) => Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()), Effect.never)),
        () => Effect.succeed([complete("a")])
      ]
      const driven: Driven = yield* drive(() => bodies[driven.runs.length - 1]!())
      yield* commit(driven, start("a"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(driven.runs.length, 5)
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("a")).result, "1")
    }).pipe(silent))

  it.effect("wait for a store that fails, and run when it is back", () =>
    Effect.gen(function*() {
      const driven: Driven = yield* drive((record) =>
        driven.runs.length === 1 ?
          Effect.sync(() => {
            driven.failWith = diskFull
            return [complete(record.id)]
          }) :
          Effect.succeed([complete(record.id)])
      )
      yield* commit(driven, start("a"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(driven.runs.length, 1)
      driven.failWith = undefined
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(driven.runs.length, 2)
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("a")).result, "1")
    }).pipe(silent))
})

describe("driver: adopted runs", () => {
  it.effect("are not started a second time, and leave nothing when they are done", () =>
    Effect.gen(function*() {
      const driven = yield* drive(unfinished)
      assert.isTrue(driven.driver.adopt("a"))
      assert.isFalse(driven.driver.adopt("a"))
      yield* commit(driven, start("a"))
      yield* commit(driven, signal("a", "x"))
      yield* commit(driven, complete("a"))
      yield* driven.driver.release("a")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(driven.runs, [])
      assert.isTrue(driven.driver.adopt("a"), "forgotten by the driver")
    }))

  it.effect("may leave no execution at all", () =>
    Effect.gen(function*() {
      const driven = yield* drive(unfinished)
      assert.isTrue(driven.driver.adopt("a"))
      yield* driven.driver.release("a")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(driven.runs, [])
    }))

  it.effect("run again after a back-off when they ended for nothing", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) => Effect.succeed([complete(record.id)]))
      driven.driver.adopt("a")
      yield* commit(driven, start("a"))
      yield* driven.driver.release("a")
      yield* driven.driver.release("a")
      yield* settle
      assert.deepStrictEqual(driven.runs, [])
      assert.isFalse(driven.driver.adopt("a"), "the driver has it now")
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(driven.runs, [{ id: "a", cutOff: false, at: 100 }])
    }))

  it.effect("run again at once when their park was void, and when news came after it", () =>
    Effect.gen(function*() {
      const driven = yield* drive(awaitSignal)
      driven.driver.adopt("a")
      yield* commit(driven, start("a"))
      yield* commit(driven, signal("a", "x"))
      yield* commit(driven, park("a", "waiting", 0))
      yield* driven.driver.release("a")
      yield* settle
      assert.deepStrictEqual(idsOf(driven), ["a"])
      driven.driver.adopt("b")
      yield* commit(driven, start("b"))
      yield* commit(driven, park("b", "waiting", 0))
      yield* commit(driven, signal("b", "x"))
      assert.deepStrictEqual(idsOf(driven), ["a"])
      yield* driven.driver.release("b")
      yield* settle
      assert.deepStrictEqual(idsOf(driven), ["a", "b"])
    }))

  it.effect("are refused while a run of the driver is under way", () =>
    Effect.gen(function*() {
      const driven = yield* drive(() => Effect.never)
      yield* commit(driven, start("a"))
      assert.isFalse(driven.driver.adopt("a"))
      yield* driven.driver.release("a")
      yield* settle
      assert.strictEqual(driven.runs.length, 1)
    }))
})

describe("driver: start", () => {
  /** What a process leaves behind. */
  const leave = Effect.fnUntraced(function*(...writes: NonEmptyReadonlyArray<Write>) {
    const disk = new memoryBackend.Disk()
    yield* Effect.scoped(Effect.flatMap(Harness.make({ disk }), ({ store }) => store.commit(writes)))
    return disk
  })

  it.effect("takes up what was cut off, signalled, cancelled and stopped, and nothing else", () =>
    Effect.gen(function*() {
      const disk = yield* leave(
        ...(["cut off", "signalled", "cancelled", "stopped", "parked", "stuck", "done"].map((id) =>
          start(id)
        ) as unknown as NonEmptyReadonlyArray<Write>),
        park("signalled", "waiting"),
        signal("signalled", "x"),
        park("cancelled", "waiting"),
        cancel("cancelled"),
        park("stopped", "stopped"),
        park("parked", "waiting"),
        park("stuck", "stuck"),
        complete("done")
      )
      const driven = yield* drive((record) => Effect.succeed([complete(record.id)]), disk)
      yield* settle
      assert.deepStrictEqual(driven.runs, [
        { id: "cut off", cutOff: true, at: 0 },
        { id: "signalled", cutOff: true, at: 0 },
        { id: "cancelled", cutOff: true, at: 0 },
        { id: "stopped", cutOff: false, at: 0 }
      ])
    }))

  it.effect("what was cut off counts as cut off, also when its answer is quicker than the driver", () =>
    Effect.gen(function*() {
      const disk = yield* leave(...(Array.from({ length: 50 }, (_, i) => start(`e${i}`)) as unknown as [Write]))
      const driven = yield* drive((record) => Effect.succeed([complete(record.id)]), disk)
      yield* driven.store.commit([signal("e49", "answer")])
      assert.strictEqual(driven.runs.find(({ id }) => id === "e49")?.cutOff, true)
      while (driven.runs.length < 50) {
        yield* Effect.yieldNow
      }
      assert.isTrue(driven.runs.every(({ cutOff }) => cutOff))
    }).pipe(Effect.provide(Layer.succeed(StartsPerTurn, 4))))

  it.effect("a stopped execution that runs and is cut off then counts as cut off", () =>
    Effect.gen(function*() {
      const disk = yield* leave(start("a"), park("a", "stopped"))
      const first = yield* drive(() => Effect.never, disk)
      yield* settle
      const second = yield* drive(() => Effect.never, disk)
      yield* settle
      assert.deepStrictEqual(first.runs, [{ id: "a", cutOff: false, at: 0 }])
      assert.deepStrictEqual(second.runs, [{ id: "a", cutOff: true, at: 0 }])
    }))

  it.effect("2,000 parked executions are not run", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 2_000 }, (_, i) => `e${i}`)
      const disk = yield* leave(
        ...(ids.flatMap((id) => [start(id), park(id, "waiting"), arm(id, "deadline", 60_000)]) as unknown as [Write])
      )
      const driven = yield* drive(awaitSignal, disk)
      yield* settle
      assert.deepStrictEqual(driven.runs, [])
      yield* commit(driven, signal("e77", "x"))
      assert.deepStrictEqual(idsOf(driven), ["e77"])
    }))

  it.effect("500 cut-off executions all run, and a new request does not wait for them", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 500 }, (_, i) => `e${i}`)
      const disk = yield* leave(...(ids.map((id) => start(id)) as unknown as [Write]))
      const driven = yield* drive((record) => Effect.succeed([complete(record.id)]), disk)
      yield* driven.store.commit([Harness.openStream("request")])
      assert.isBelow(driven.runs.length, 100)
      while (driven.runs.length < ids.length) {
        yield* Effect.yieldNow
      }
      assert.deepStrictEqual(idsOf(driven), ids)
    }).pipe(Effect.provide(Layer.succeed(StartsPerTurn, 16))))

  it.effect("a run of the process before cannot write any more", () =>
    Effect.gen(function*() {
      const disk = new memoryBackend.Disk()
      const finish = yield* Deferred.make<void>()
      const old = yield* drive((record) => Effect.as(Deferred.await(finish), [complete(record.id, "\"old\"")]), disk)
      yield* commit(old, start("a"))
      const now = yield* drive((record) => Effect.succeed([complete(record.id, "\"new\"")]), disk)
      yield* Deferred.succeed(finish, undefined)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(Option.getOrThrow(yield* now.store.execution("a")).result, "\"new\"")
      assert.strictEqual(old.runs.length, 1, "a fenced driver runs nothing again")
    }).pipe(silent))
})

describe("driver: stop", () => {
  it.effect("starts no more runs; those under way go on, those in back-off are stopped, not cut off", () =>
    Effect.gen(function*() {
      const disk = new memoryBackend.Disk()
      const finish = yield* Deferred.make<void>()
      const driven = yield* drive((record) =>
        record.id === "failing"
          ? Effect.succeed([])
          : record.id === "parked"
          ? Effect.succeed([park(record.id, "waiting")])
          : Effect.as(Deferred.await(finish), [complete(record.id)]), disk)
      yield* commit(driven, start("failing"), start("parked"), start("busy"))
      yield* driven.driver.stop
      yield* commit(driven, start("late"), signal("parked", "x"))
      yield* Deferred.succeed(finish, undefined)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(idsOf(driven), ["failing", "parked", "busy"])
      assert.strictEqual(yield* stateOf(driven, "failing"), "stopped")
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("busy")).result, "1")
      const next = yield* drive((record) => Effect.succeed([complete(record.id)]), disk)
      yield* settle
      assert.deepStrictEqual(next.runs.map(({ cutOff, id }) => [id, cutOff]), [
        ["parked", true],
        ["late", true],
        ["failing", false]
      ])
    }))

  it.effect("a run that ends for nothing after it is stopped too", () =>
    Effect.gen(function*() {
      const finish = yield* Deferred.make<void>()
      const driven = yield* drive(() => Effect.as(Deferred.await(finish), []))
      yield* commit(driven, start("a"))
      yield* driven.driver.stop
      yield* Deferred.succeed(finish, undefined)
      yield* settle
      assert.strictEqual(yield* stateOf(driven, "a"), "stopped")
    }))
})

describe("driver: timers", () => {
  const signalsOf = (harness: Harness.Harness, id: string) =>
    Effect.map(
      harness.store.execution(id),
      (record) => Option.getOrThrow(record).signals.map(({ name, recordedAt }) => [name, recordedAt])
    )

  it.effect("fire at their time, in order, also those armed later for earlier", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) => Effect.succeed([park(record.id, "waiting", record.signals.length)]))
      yield* commit(driven, start("a"), arm("a", "third", 3_000_000), arm("a", "second", 2_000))
      yield* TestClock.adjust("1 second")
      yield* commit(driven, arm("a", "first", 1_500), arm("a", "past", 500))
      assert.deepStrictEqual(yield* signalsOf(driven, "a"), [["past", 1_000]])
      yield* TestClock.adjust("1 hour")
      yield* settle
      assert.deepStrictEqual(yield* signalsOf(driven, "a"), [
        ["past", 1_000],
        ["first", 1_500],
        ["second", 2_000],
        ["third", 3_000_000]
      ])
      assert.strictEqual(driven.runs.length, 5)
    }))

  it.effect("that were due while nothing ran fire at start", () =>
    Effect.gen(function*() {
      const disk = new memoryBackend.Disk()
      yield* Effect.scoped(
        Effect.flatMap(Harness.make({ disk }), ({ store }) =>
          store.commit([start("a"), park("a", "waiting"), arm("a", "deadline", 1_000)]))
      )
      yield* TestClock.adjust("1 day")
      const driven = yield* drive(awaitSignal, disk)
      yield* settle
      assert.deepStrictEqual(yield* signalsOf(driven, "a"), [["deadline", 86_400_000]])
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("a")).result, "1")
    }))

  it.effect("lose to an answer that came first, and win over one that comes after", () =>
    Effect.gen(function*() {
      const driven = yield* drive((record) => Effect.succeed([park(record.id, "waiting", record.signals.length)]))
      yield* commit(driven, start("a"), arm("a", "ask", 1_000), arm("a", "ask2", 1_000))
      yield* commit(driven, signal("a", "ask"))
      yield* TestClock.adjust("1 second")
      yield* settle
      const late = yield* driven.store.commit([signal("a", "ask2")])
      assert.deepStrictEqual(late, [{ _tag: "Stands", fresh: false, value: "\"late\"" }])
      assert.deepStrictEqual(yield* signalsOf(driven, "a"), [["ask", 0], ["ask2", 1_000]])
    }))

  it.effect("sleep for 60 days, which is more than a timeout of the platform can", () =>
    Effect.gen(function*() {
      const driven = yield* drive(awaitSignal)
      const at = 60 * 86_400_000
      yield* commit(driven, start("a"), arm("a", "sleep", at))
      yield* TestClock.setTime(at - 1)
      yield* settle
      assert.deepStrictEqual(yield* signalsOf(driven, "a"), [])
      yield* TestClock.setTime(at)
      yield* settle
      assert.deepStrictEqual(yield* signalsOf(driven, "a"), [["sleep", at]])
    }))

  it.effect("end with the scope: none is left that would keep the process alive", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let sleeping = 0
      const counted: Clock.Clock = {
        ...clock,
        sleep: (duration) =>
          Effect.acquireUseRelease(
            Effect.sync(() => sleeping++),
            () => clock.sleep(duration),
            () => Effect.sync(() => sleeping--)
          )
      }
      yield* Effect.scoped(Effect.gen(function*() {
        const driven = yield* drive(unfinished)
        yield* commit(driven, start("in back-off"), arm("in back-off", "sleep", 60 * 86_400_000))
        driven.failWith = diskFull
        yield* driven.store.submit([Harness.openStream("to be tried again")])
        yield* settle
        assert.strictEqual(sleeping, 3)
      })).pipe(Effect.provideService(Clock.Clock, counted))
      assert.strictEqual(sleeping, 0)
    }))

  it.effect("1,000 that are due at once all fire", () =>
    Effect.gen(function*() {
      const driven = yield* drive(awaitSignal)
      const ids = Array.from({ length: 1_000 }, (_, i) => `e${i}`)
      yield* commit(driven, ...(ids.flatMap((id) => [start(id), arm(id, "sleep", 1_000)]) as unknown as [Write]))
      yield* TestClock.adjust("1 second")
      while (driven.runs.length < 2_000) {
        yield* Effect.yieldNow
      }
      yield* settle
      for (const id of ids) {
        assert.strictEqual(Option.getOrThrow(yield* driven.store.execution(id)).result, "1")
      }
    }))

  it.effect("wait for a store that fails", () =>
    Effect.gen(function*() {
      const driven = yield* drive(awaitSignal)
      yield* commit(driven, start("a"), arm("a", "sleep", 1_000))
      driven.failWith = diskFull
      yield* TestClock.adjust("10 seconds")
      driven.failWith = undefined
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.strictEqual((yield* signalsOf(driven, "a")).length, 1)
      assert.strictEqual(Option.getOrThrow(yield* driven.store.execution("a")).result, "1")
    }).pipe(silent))
})
