/** The store over Reboot, where it is not like other stores: how often it writes, and how Reboot's tasks drive it. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Option, References, Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { TestClock } from "effect/testing"
import * as store from "../../src/reboot/internal/store.ts"
import type { ExecutionRecord, RunCause, Store, Write } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import { SubmitBacklog } from "../../src/store/StoreLimits.ts"
import { append, openStream, park, settle, start } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

const last = (stream: string): Write => ({ _tag: "Append", stream, key: "end", data: "1", last: true })
const complete = (id: string): Write => ({ _tag: "Complete", id, result: "1" })
const signal = (id: string, name: string): Write => ({ _tag: "Signal", id, name, exit: "1" })
const arm = (id: string, name: string, at: number): Write => ({ _tag: "ArmTimer", id, name, at, exit: "\"late\"" })
const step = (id: string, name: string): Write => ({
  _tag: "RecordStep",
  id,
  name,
  key: name,
  kind: "step",
  root: true,
  version: "1",
  exit: "1"
})

interface Run extends RunCause {
  readonly id: string
  readonly at: number
}

interface Process {
  readonly opening: Simulated.Opening
  readonly open: Store["Service"]
  readonly runs: Array<Run>
  readonly drive: (
    body: (record: ExecutionRecord) => ReadonlyArray<Write>
  ) => ReturnType<Store["Service"]["drive"]>
  readonly close: Effect.Effect<void>
}

/** A process that has the disk; its runs commit what `body` returns of the record they start from. */
const begin = Effect.fnUntraced(function*(disk: Simulated.Disk, options?: Simulated.Options) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const opening = yield* Scope.provide(Simulated.open(disk, options), scope)
  const open = yield* Scope.provide(store.make(opening.application), scope)
  const runs: Array<Run> = []
  const running = new Set<string>()
  const process: Process = {
    opening,
    open,
    runs,
    drive: (body) =>
      Scope.provide(
        open.drive((id, cause) =>
          Effect.gen(function*() {
            assert.isFalse(running.has(id), `${id} runs twice at a time`)
            running.add(id)
            runs.push({ id, cutOff: cause.cutOff, at: yield* Clock.currentTimeMillis })
            const [first, ...rest] = body(Option.getOrThrow(yield* open.execution(id)))
            if (first !== undefined) {
              yield* open.commit([first, ...rest])
            }
          }).pipe(Effect.orDie, Effect.ensuring(Effect.sync(() => running.delete(id))))
        ),
        scope
      ),
    close: Scope.close(scope, Exit.void)
  }
  return process
})

const commit = ({ open }: Process, ...writes: NonEmptyReadonlyArray<Write>) =>
  Effect.andThen(open.commit(writes), settle)

const ids = ({ runs }: Process): ReadonlyArray<string> => runs.map(({ id }) => id)

const silent = Effect.provideService(References.MinimumLogLevel, "None")

const untilQuiet = Effect.andThen(settle, settle)

describe("writes of Reboot", () => {
  it.effect("a call that is done at once costs one, a call that runs two, and no read", () =>
    Effect.gen(function*() {
      const process = yield* begin(new Simulated.Disk())
      yield* process.drive(({ id }) => [last(id), complete(id)])
      const { counts } = process.opening
      yield* commit(process, openStream("quick"), start("quick"), last("quick"), complete("quick"))
      assert.deepStrictEqual([counts.writes.Call, counts.reads.Call], [1, 0])
      yield* commit(process, openStream("a"), start("a"))
      assert.deepStrictEqual([counts.writes.Call, counts.reads.Call], [3, 0])
      assert.isTrue((yield* process.open.events("a", 0, 10)).closed)
      assert.strictEqual(counts.reads.Call, 0)
    }))

  it.effect("what comes together, or while a write is under way, shares the next one; a submit waits for it", () =>
    Effect.gen(function*() {
      const process = yield* begin(new Simulated.Disk())
      const { counts } = process.opening
      yield* process.open.commit([openStream("a"), start("a")])
      const before = counts.writes.Call
      const first = yield* Effect.forkChild(process.open.commit([step("a", "1")]), { startImmediately: true })
      yield* Effect.yieldNow
      for (let i = 0; i < 20; i++) {
        yield* process.open.submit([append("a", `k${i}`)])
      }
      const second = yield* Effect.forkChild(process.open.commit([step("a", "2")]), { startImmediately: true })
      yield* Fiber.joinAll([first, second])
      assert.strictEqual(counts.writes.Call - before, 2)
      assert.strictEqual((yield* process.open.events("a", 0, 100)).events.length, 20)
      yield* process.open.submit([append("a", "late")])
      yield* settle
      assert.strictEqual(counts.writes.Call - before, 2)
      yield* TestClock.adjust("5 millis")
      yield* settle
      assert.strictEqual(counts.writes.Call - before, 3)
    }))

  it.effect("a call that tells much at once waits for its old events to leave the state", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { open } = yield* begin(disk)
      yield* open.commit([openStream("a"), start("a")])
      const data = JSON.stringify("x".repeat(30_000))
      let largest = 0
      for (let i = 0; i < 300; i++) {
        yield* open.submit([{ _tag: "Append", stream: "a", key: `k${i}`, data }])
        largest = Math.max(largest, disk.stateOf("Call", "a").events.join("").length)
      }
      yield* open.commit([last("a")])
      assert.isBelow(largest, 2 * 1024 * 1024)
      const { events } = yield* open.events("a", 0, 1_000)
      assert.deepStrictEqual(events.map(({ seq }) => seq), Array.from({ length: 301 }, (_, i) => i + 1))
      assert.isTrue(events.slice(0, -1).every((event) => event.data === data))
    }))

  it.effect("what follows a submit is tried again while it fails, and holds up no store that closes", () =>
    Effect.gen(function*() {
      const times: Array<number> = []
      const process = yield* begin(new Simulated.Disk(), {
        before: ({ type }) =>
          type === "Timers"
            ? Effect.andThen(
              Effect.map(Clock.currentTimeMillis, (now) => times.push(now)),
              Effect.fail(new StoreError({ reason: "Io", message: "not now" }))
            )
            : Effect.void
      })
      yield* commit(process, start("a"))
      yield* process.open.submit([arm("a", "t", 1_000_000)])
      for (let i = 0; i < 60; i++) {
        yield* TestClock.adjust("10 seconds")
        yield* settle
      }
      const waits = times.slice(1).map((time, i) => time - times[i]!)
      assert.isAbove(waits.length, 10)
      assert.isAtMost(Math.max(...waits), 40_000)
      const before = times.length
      yield* process.close
      assert.strictEqual(times.length, before + 1, "the store that closes tries once more, and waits no longer")
    }).pipe(silent))

  it.effect("a submit that failed stays: a commit of its state succeeds only with it, one of another without", () =>
    Effect.gen(function*() {
      let failing = true
      const error = new StoreError({ reason: "Io", message: "Reboot does not answer" })
      const process = yield* begin(new Simulated.Disk(), {
        before: ({ id }) => failing && id === "a" ? Effect.fail(error) : Effect.void
      })
      yield* process.open.submit([openStream("a"), append("a", "1")])
      assert.strictEqual(yield* Effect.flip(process.open.commit([append("a", "2")])), error)
      yield* process.open.commit([openStream("b")])
      failing = false
      const outcomes = yield* process.open.commit([append("a", "2")])
      assert.deepStrictEqual(outcomes, [{ _tag: "Appended", fresh: true, seq: 2 }])
    }).pipe(silent))

  it.effect("a write whose answer got lost is told to followers when it is repeated", () =>
    Effect.gen(function*() {
      let lost = false
      const process = yield* begin(new Simulated.Disk(), {
        after: () => lost ? Effect.fail(new StoreError({ reason: "Io", message: "No answer" })) : Effect.void
      })
      yield* process.open.commit([openStream("a"), start("a")])
      const watch = process.open.watch({ _tag: "Stream", stream: "a" })
      const told = yield* Effect.forkChild(watch.next, { startImmediately: true })
      lost = true
      yield* Effect.flip(process.open.commit([append("a", "1")]))
      lost = false
      yield* process.open.commit([append("a", "1")])
      yield* Fiber.join(told)
      assert.deepStrictEqual((yield* process.open.events("a", 0, 10)).events.map(({ key }) => key), ["1"])
    }))

  it.effect("a submit waits while too much is pending, and fails where Reboot does", () =>
    Effect.gen(function*() {
      let failing = true
      const process = yield* begin(new Simulated.Disk(), {
        before: ({ type }) =>
          failing && type === "Call" ? Effect.fail(new StoreError({ reason: "Io", message: "No" })) : Effect.void
      })
      for (let i = 0; i < 10; i++) {
        yield* process.open.submit([append("a", `k${i}`)])
      }
      const waiting = yield* Effect.forkChild(process.open.submit([append("a", "k10")]), { startImmediately: true })
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiting))).reason, "Io")
      failing = false
      yield* process.open.commit([append("a", "k11")])
    }).pipe(Effect.provideService(SubmitBacklog, { writes: 10, size: 1_000_000 }), silent))

  it.effect("what is queued is still written when the store closes; a store that is another's says so", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* begin(disk)
      yield* first.open.commit([openStream("a")])
      yield* first.open.submit([append("a", "1"), last("a")])
      yield* first.close
      assert.strictEqual((yield* Effect.flip(first.open.commit([append("a", "2")]))).reason, "Fenced")
      const second = yield* begin(disk)
      assert.isTrue((yield* second.open.events("a", 0, 10)).closed)
      yield* begin(disk)
      assert.strictEqual((yield* Effect.flip(second.open.commit([openStream("b")]))).reason, "Fenced")
      assert.strictEqual((yield* Effect.flip(second.open.events("a", 0, 10))).reason, "Fenced")
    }))
})

describe("Reboot's tasks", () => {
  it.effect("run what was cut off, signalled, cancelled or stopped, and say which", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* begin(disk)
      yield* commit(
        first,
        ...(["cut off", "signalled", "cancelled", "stopped", "news", "parked", "stuck", "done"].map((id) =>
          start(id)
        ) as unknown as NonEmptyReadonlyArray<Write>),
        park("signalled", "waiting"),
        signal("signalled", "x"),
        park("cancelled", "waiting"),
        { _tag: "RequestCancel", id: "cancelled", mode: "now" },
        park("stopped", "stopped"),
        park("news", "stopped"),
        park("parked", "waiting"),
        park("stuck", "stuck"),
        complete("done")
      )
      disk.fence()
      const second = yield* begin(disk)
      // before its task is looked at
      yield* second.open.commit([signal("news", "x")])
      yield* second.drive(({ id }) => [complete(id)])
      yield* untilQuiet
      assert.deepStrictEqual(
        second.runs.map(({ cutOff, id }) => `${id}: ${cutOff}`).sort(),
        ["cancelled: true", "cut off: true", "news: false", "signalled: true", "stopped: false"]
      )
      yield* commit(second, signal("parked", "x"))
      assert.deepStrictEqual(second.runs.at(-1), { id: "parked", cutOff: false, at: 0 })
    }))

  it.effect("count a stopped execution that runs and is cut off then as cut off", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* begin(disk)
      yield* commit(first, start("a"), park("a", "stopped"))
      yield* first.close
      const causes: Array<boolean> = []
      for (let i = 0; i < 2; i++) {
        const next = yield* begin(disk)
        yield* next.drive(() => [])
        yield* untilQuiet
        causes.push(next.runs[0]!.cutOff)
        disk.fence()
      }
      assert.deepStrictEqual(causes, [false, true])
    }))

  it.effect("end when the execution waits or is done, and not before", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const process = yield* begin(disk)
      yield* process.drive(({ id, signals }) => [signals.length > 0 ? complete(id) : park(id, "waiting")])
      yield* commit(process, openStream("a"), start("a"), openStream("b"), start("b"))
      yield* TestClock.adjust("1 second")
      yield* untilQuiet
      assert.strictEqual(disk.incomplete("Call"), 0, "they wait")
      yield* commit(process, signal("a", "x"))
      yield* commit(process, last("a"))
      yield* TestClock.adjust("1 second")
      yield* untilQuiet
      assert.deepStrictEqual([disk.incomplete("Call"), ids(process)], [0, ["a", "b", "a"]])
    }))

  it.effect("tell the parent of an end whose answer got lost, also where it is not sent again", () =>
    Effect.forEach([true, false], (isRepeated) =>
      Effect.gen(function*() {
        let lost = false
        const process = yield* begin(new Simulated.Disk(), {
          after: ({ id }) =>
            lost && id === "child" ? Effect.fail(new StoreError({ reason: "Io", message: "No answer" })) : Effect.void
        })
        yield* process.drive(() => [])
        yield* commit(process, start("parent"), start("child", "parent"))
        lost = true
        yield* Effect.flip(process.open.commit([complete("child")]))
        lost = false
        if (isRepeated) {
          yield* process.open.commit([complete("child")])
        }
        yield* untilQuiet
        const { signals } = Option.getOrThrow(yield* process.open.execution("parent"))
        assert.deepStrictEqual(signals.map(({ name }) => name), ["child/child"])
      }), { discard: true }))

  it.effect("run again what ended for nothing, later each time", () =>
    Effect.gen(function*() {
      const process = yield* begin(new Simulated.Disk())
      yield* process.drive(() => [])
      yield* commit(process, start("a"))
      yield* TestClock.adjust("7 seconds")
      assert.deepStrictEqual(process.runs.map(({ at }) => at), [0, 100, 300, 700, 1500, 3100, 6300])
      assert.isTrue(process.runs.every(({ cutOff }) => !cutOff))
    }))

  it.effect("a run that was adopted is no one else's until it is released", () =>
    Effect.gen(function*() {
      const process = yield* begin(new Simulated.Disk())
      const driver = yield* process.drive(({ id }) => [complete(id)])
      assert.isTrue(driver.adopt("a"))
      assert.isFalse(driver.adopt("a"))
      yield* commit(process, openStream("a"), start("a"))
      assert.deepStrictEqual(process.runs, [])
      yield* commit(process, complete("a"), last("a"))
      yield* driver.release("a")
      yield* untilQuiet
      assert.deepStrictEqual(process.runs, [])
    }))

  it.effect("a driver that stops leaves what waits for its next attempt as stopped", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* begin(disk)
      const driver = yield* first.drive(() => [])
      yield* commit(first, start("a"))
      yield* driver.stop
      yield* untilQuiet
      assert.strictEqual(Option.getOrThrow(yield* first.open.execution("a")).parked?.state, "stopped")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(first.runs.length, 1)
      yield* first.close
      const second = yield* begin(disk)
      yield* second.drive(({ id }) => [complete(id)])
      yield* untilQuiet
      assert.deepStrictEqual(second.runs, [{ id: "a", cutOff: false, at: 60_000 }])
    }))

  it.effect(
    "2,000 executions start, though Reboot takes 1,024 tasks: some are held back",
    () =>
      Effect.gen(function*() {
        const disk = new Simulated.Disk()
        const process = yield* begin(disk)
        yield* process.drive(({ id }) => [complete(id), last(id)])
        let most = 0
        yield* Effect.forEach(Array.from({ length: 2_000 }, (_, i) => `e${i}`), (id) =>
          Effect.tap(process.open.commit([openStream(id), start(id)]), () =>
            Effect.sync(() => {
              most = Math.max(most, disk.incomplete("Call"))
            })), { concurrency: "unbounded", discard: true })
        while (process.runs.length < 2_000) {
          yield* Effect.yieldNow
        }
        assert.isAtMost(most, 1_000)
      }),
    60_000
  )
})

describe("timers in wheels", () => {
  it.effect("fire at their time, once, also those that an earlier process armed", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const first = yield* begin(disk)
      yield* first.drive(({ id, signals }) => [park(id, "waiting", signals.length)])
      yield* commit(
        first,
        start("a"),
        arm("a", "early", 1_000),
        arm("a", "late", 60_000),
        start("b"),
        arm("b", "x", 2_000)
      )
      yield* TestClock.adjust("1 second")
      yield* untilQuiet
      disk.fence()
      yield* TestClock.adjust("4 seconds")
      const second = yield* begin(disk)
      yield* second.drive(({ id, signals }) => [park(id, "waiting", signals.length)])
      yield* untilQuiet
      yield* TestClock.adjust("1 minute")
      yield* untilQuiet
      const signals = Effect.fnUntraced(function*(id: string) {
        const record = Option.getOrThrow(yield* second.open.execution(id))
        return record.signals.map(({ name, recordedAt }) => [name, recordedAt])
      })
      assert.deepStrictEqual(yield* signals("a"), [["early", 1_000], ["late", 60_000]])
      assert.deepStrictEqual(yield* signals("b"), [["x", 5_000]])
    }))
})

describe("several processes", () => {
  const shared = Effect.gen(function*() {
    const disk = new Simulated.Disk()
    const host = yield* begin(disk, { role: "host", boot: "h" })
    const front = yield* begin(disk, { role: "front" })
    return { disk, host, front }
  })

  it.effect("a front drives nothing; what it starts the host runs, and the front hears of it", () =>
    Effect.gen(function*() {
      const { front, host } = yield* shared
      const driver = yield* front.drive(({ id }) => [complete(id)])
      assert.isFalse(driver.adopt("a"))
      yield* host.drive(({ id }) => [append(id, "1"), last(id), complete(id)])
      const watch = front.open.watch({ _tag: "Stream", stream: "a" })
      yield* commit(front, openStream("a"), start("a"))
      yield* watch.next
      yield* untilQuiet
      assert.deepStrictEqual([ids(host), ids(front)], [["a"], []])
      assert.isTrue((yield* front.open.events("a", 0, 10)).closed)
    }))

  it.effect("who watches is woken each two seconds, told or not", () =>
    Effect.gen(function*() {
      const { front } = yield* shared
      const watch = front.open.watch({ _tag: "Session", id: "s" })
      yield* Effect.forkChild(watch.next, { startImmediately: true })
      const woken = yield* Effect.forkChild(watch.next, { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(woken)
      watch.close()
    }))

  it.effect("a host believes what it remembers until another one writes it", () =>
    Effect.gen(function*() {
      const { front, host } = yield* shared
      yield* host.open.commit([openStream("a"), start("a")])
      yield* host.open.commit([step("a", "1")])
      yield* host.open.execution("a")
      yield* commit(front, signal("a", "x"))
      const record = Option.getOrThrow(yield* host.open.execution("a"))
      assert.deepStrictEqual(record.signals.map(({ name }) => name), ["x"])
    }))
})
