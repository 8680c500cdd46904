/**
 * Timers outlive their process, fire once each, and cost few writes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Result, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Application } from "../../src/reboot/internal/Application.ts"
import { timersOf, type WheelTimer } from "../../src/reboot/internal/timersState.ts"
import * as wheels from "../../src/reboot/internal/wheels.ts"
import * as driver from "../../src/store/internal/driver.ts"
import type { Outcome } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import { settle } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

const timer = (id: string, name: string, at: number): WheelTimer => ({ id, name, at, exit: JSON.stringify(name) })

const armedIn = (disk: Simulated.Disk): ReadonlyArray<WheelTimer> =>
  disk.ids("Timers").flatMap((id) => timersOf(disk.stateOf("Timers", id)))

const until = (what: string, condition: () => boolean) =>
  Effect.gen(function*() {
    for (let turns = 0; !condition(); turns++) {
      assert.isBelow(turns, 100_000, what)
      yield* Effect.yieldNow
    }
  })

/** What goes on after some time has passed comes in a few turns; what waits for the clock does not. */
const untilInTime = (what: string, condition: () => boolean) =>
  Effect.gen(function*() {
    for (let turns = 0; !condition(); turns++) {
      assert.isBelow(turns, 10_000, what)
      yield* TestClock.adjust("100 millis")
    }
  })

const writesOf = (disk: Simulated.Disk): number => disk.log.filter(({ type }) => type === "Timers").length

interface Opened {
  readonly wheels: wheels.Wheels
  /** The process is gone. */
  readonly close: Effect.Effect<void>
}

/** A process: its wheels, their tasks, and the driver that fires. */
const open = Effect.fnUntraced(function*(
  application: Application,
  fired: (timer: { readonly id: string; readonly name: string }) => void
) {
  const scope = yield* Scope.make()
  const made = yield* Scope.provide(wheels.make(application, { armed: (at) => driving.armed(at) }), scope)
  const driving: driver.Driving = driver.make({
    runnable: () => Effect.succeed({ items: [], next: undefined }),
    standing: () => Result.succeed(undefined),
    nextTimer: made.nextTimer,
    dueTimers: (now, limit) =>
      Effect.map(made.due(now, limit), (due) =>
        due.map(({ exit, id, name }) => {
          assert.isString(exit)
          return { id, name, exit: String(exit) }
        })),
    commit: (writes) =>
      Effect.map(Effect.yieldNow, () =>
        writes.map((write): Outcome => {
          assert(write._tag === "Signal")
          fired(write)
          made.disarm(write.id, write.name)
          return { _tag: "Stands", fresh: true, value: write.exit }
        }))
  })
  yield* Scope.provide(
    application.serve((type, id) => {
      assert.strictEqual(type, "Timers")
      return made.task(id)
    }),
    scope
  )
  yield* Scope.provide(driving.drive(() => Effect.void), scope)
  return { wheels: made, close: Scope.close(scope, Exit.void) } satisfies Opened
})

describe("wheels", () => {
  it.effect("1,500 timers, armed in descending order, fire once each after a restart", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const timers = Array.from({ length: 1_500 }, (_, i) => timer(`e${i % 300}`, `t${i}`, 2_000_000 - i * 1_000))
      const fired: Array<string> = []
      const record = ({ name }: { readonly name: string }) => fired.push(name)

      const first = yield* Simulated.open(disk)
      const before = yield* open(first.application, record)
      yield* Effect.forEach(timers, (one) => before.wheels.arm([one]), { concurrency: 100, discard: true })
      assert.strictEqual(yield* before.wheels.nextTimer, 2_000_000 - 1_499_000)
      assert.isAtMost(disk.incomplete("Timers"), 32, "one task a wheel")
      assert.isAtMost(writesOf(disk), 750, "what is armed at once is written at once")
      disk.fence()
      yield* before.close

      const second = yield* Simulated.open(disk)
      yield* open(second.application, record)
      for (let seconds = 0; seconds < 2_000; seconds += 100) {
        yield* TestClock.adjust("100 seconds")
        const due = timers.filter(({ at }) => at <= (seconds + 100) * 1_000).length
        yield* until(`${due} timers fire`, () => fired.length >= due)
        assert.strictEqual(fired.length, due)
      }
      assert.deepStrictEqual(fired, timers.map(({ name }) => name).toReversed(), "the earliest first, each once")
      yield* TestClock.adjust("1 second")
      yield* until("the tasks end", () => disk.incomplete("Timers") === 0)
      assert.deepStrictEqual(armedIn(disk), [])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(fired.length, 1_500)
    }), 60_000)

  it.effect("a timer that is disarmed does not fire; its removal shares a write with others", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application } = yield* Simulated.open(disk)
      const fired: Array<string> = []
      const { wheels } = yield* open(application, ({ name }) => fired.push(name))
      yield* wheels.arm([timer("e", "a", 1_000), timer("e", "b", 2_000), timer("e", "c", 3_000)])
      assert.strictEqual(writesOf(disk), 1)
      wheels.disarm("e", "a")
      wheels.disarm("e", "c")
      wheels.disarm("e", "nobody armed it")
      wheels.disarm("nobody")
      assert.strictEqual(yield* wheels.nextTimer, 2_000, "at once")
      yield* TestClock.adjust("2 seconds")
      yield* until("they are removed", () => armedIn(disk).length === 1)
      assert.strictEqual(writesOf(disk), 2)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(fired, ["b"])
    }))

  it.effect("a wheel that is filled again has a task again, and one that was armed anew fires anew", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const opening = yield* Simulated.open(disk)
      const fired: Array<string> = []
      const { wheels } = yield* open(opening.application, ({ name }) => fired.push(name))
      for (const at of [1_000, 2_000, 3_000]) {
        yield* wheels.arm([timer("e", "a", at)])
        yield* TestClock.adjust("1 second")
        yield* until("it fires", () => fired.length === at / 1_000)
        // armed before the removal was written: the removal must not take it
        if (at === 2_000) {
          continue
        }
        yield* TestClock.adjust("2 seconds")
        yield* until("the task ends", () => disk.incomplete("Timers") === 0)
        yield* TestClock.setTime(at)
      }
      assert.deepStrictEqual(fired, ["a", "a", "a"])
    }))

  it.effect("an execution that ended has no timers; forget is durable when it returns", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const { application } = yield* Simulated.open(disk)
      const { wheels } = yield* open(application, () => assert.fail("nothing is due"))
      yield* wheels.arm([timer("e", "a", 1_000), timer("e", "b", 2_000), timer("f", "a", 1_000)])
      wheels.disarm("e")
      yield* wheels.forget(["f", "g"])
      assert.isUndefined(yield* wheels.nextTimer)
      assert.deepStrictEqual(armedIn(disk).filter(({ id }) => id === "f"), [])
      yield* TestClock.adjust("1 hour")
      yield* until("they are removed", () => armedIn(disk).length === 0)
    }))

  it.effect("an error is told to who arms, a removal is tried again", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      let failing = false
      const failure = new StoreError({ reason: "Io", message: "no answer" })
      const { application } = yield* Simulated.open(disk, {
        before: () => failing ? Effect.fail(failure) : Effect.void
      })
      const { wheels } = yield* open(application, () => undefined)
      yield* wheels.arm([timer("e", "a", 60_000)])
      failing = true
      assert.strictEqual(yield* Effect.flip(wheels.arm([timer("e", "b", 60_000)])), failure)
      wheels.disarm("e", "a")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(armedIn(disk).length, 1)
      failing = false
      yield* TestClock.adjust("1 second")
      yield* until("it is removed", () => armedIn(disk).length === 0)
      assert.isUndefined(yield* wheels.nextTimer)
    }))

  it.effect("a timer that could not be armed again fires once, as it was armed before", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      let failing = false
      const { application } = yield* Simulated.open(disk, {
        before: () => failing ? Effect.fail(new StoreError({ reason: "Io", message: "no answer" })) : Effect.void
      })
      const fired: Array<string> = []
      const { wheels } = yield* open(application, ({ name }) => fired.push(name))
      yield* wheels.arm([timer("e", "a", 1_000), timer("e", "b", 1_000)])
      yield* settle
      failing = true
      yield* Effect.flip(wheels.arm([timer("e", "a", 1_000)]))
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(fired.toSorted(), ["a", "b"])
      assert.isUndefined(yield* wheels.nextTimer)
    }))

  it.effect("a timer that another process armed fires where the wheel is looked after", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      const fired: Array<string> = []
      const hosts = yield* Effect.forEach(
        [1, 2],
        Effect.fnUntraced(function*(no) {
          const { application } = yield* Simulated.open(disk, { role: "host" })
          const opened = yield* open(application, ({ name }) => fired.push(`${name} at host ${no}`))
          yield* application.watch((type, id) => type === "Timers" ? opened.wheels.changed(id) : undefined)
          return opened
        })
      )
      const names = Array.from({ length: 8 }, (_, i) => `t${i}`)
      // wheels are loaded here, and then written there
      for (const host of hosts) {
        yield* Effect.forEach(
          names,
          (name) => host.wheels.arm([timer(name, `${name} of ${hosts.indexOf(host)}`, 1_000)])
        )
      }
      yield* TestClock.adjust("1 second")
      yield* until("all have fired", () => fired.length === 16)
      assert.strictEqual(new Set(fired.map((text) => text.split(" at ")[0])).size, 16, fired.join())
      assert.strictEqual(new Set(fired.map((text) => text.split(" at ")[1])).size, 2, "both hosts have wheels")
      yield* untilInTime("all are removed", () => armedIn(disk).length === 0 && disk.incomplete("Timers") === 0)
    }))
})

// -----------------------------------------------------------------------------
// crashes
// -----------------------------------------------------------------------------

const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Arm"), id: Schema.Literals(["e", "f"]), name: Schema.Literals(["a", "b"]) }),
  Schema.Struct({ _tag: Schema.Literal("Disarm"), id: Schema.Literals(["e", "f"]), name: Schema.Literals(["a", "b"]) }),
  Schema.Struct({ _tag: Schema.Literal("Wait"), millis: Schema.Literals([100, 300, 2_000]) })
])

const commands = Arbitrary.array(Arbitrary.schema(Command), { minLength: 1, maxLength: 8 })

/**
 * The program runs until its process dies at the `n`th write, or to its end; the
 * next process sends again what was not acknowledged, and goes on. In the end,
 * what was armed and not disarmed has fired, and nothing that was never armed.
 */
const runProgram = Effect.fnUntraced(function*(
  program: ReadonlyArray<typeof Command["Type"]>,
  n: number,
  half: "before" | "after"
) {
  const disk = new Simulated.Disk()
  /** Timers that must fire: what the calls would say is armed. */
  const armed = new Map<string, number>()
  const keyOf = ({ id, name }: { readonly id: string; readonly name: string }) => `${id}/${name}`
  /** Those of which nobody knows whether they are in their wheels. */
  const unacknowledged = new Set<string>()
  const fire = (timer: { readonly id: string; readonly name: string }) => void armed.delete(keyOf(timer))
  let at = 0
  let died = false
  for (const dies of [true, false]) {
    const opening = yield* Simulated.open(disk, dies ? Simulated.dieAt(n, half) : {})
    const { close, wheels } = yield* open(opening.application, fire)
    const now = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
    // who arms says it again after a crash: the call still says that it is armed
    if (!dies) {
      yield* Effect.forEach(unacknowledged, (key) => {
        const [id = "", name = ""] = key.split("/")
        const due = armed.get(key)
        return due === undefined ? Effect.void : wheels.arm([timer(id, name, due)])
      })
    }
    while (at < program.length && disk.live.size > 0) {
      const command = program[at++]!
      switch (command._tag) {
        case "Arm": {
          const due = now + at * 500
          armed.set(keyOf(command), due)
          unacknowledged.add(keyOf(command))
          const arm = yield* Effect.forkChild(wheels.arm([timer(command.id, command.name, due)]))
          yield* until("armed, or dead", () => arm.pollUnsafe() !== undefined || disk.live.size === 0)
          if (arm.pollUnsafe()?._tag === "Success") {
            unacknowledged.delete(keyOf(command))
          }
          break
        }
        case "Disarm": {
          armed.delete(keyOf(command))
          wheels.disarm(command.id, command.name)
          break
        }
        case "Wait": {
          yield* TestClock.adjust(command.millis)
          break
        }
      }
    }
    died ||= disk.live.size === 0
    if (!dies) {
      yield* TestClock.adjust("1 hour")
      yield* until(`${Array.from(armed.keys()).join()} must fire`, () => armed.size === 0)
      yield* untilInTime("the wheels are empty", () => armedIn(disk).length === 0 && disk.incomplete("Timers") === 0)
    }
    disk.fence()
    yield* close
  }
  return died
}, Effect.scoped)

describe("wheels and crashes", () => {
  it.effect.prop("nothing that is armed is lost at any write", [commands], ([program]) =>
    Effect.gen(function*() {
      for (const half of ["before", "after"] as const) {
        for (let n = 1; yield* runProgram(program, n, half); n++) {
          // until the program outlives its process
        }
      }
    }), { timeout: 60_000, arbitrary: { runs: 100 } })
})
