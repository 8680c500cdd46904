/** Each kind of fault really happens: what the timeline shows, and what a process cannot have known. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { CrashTest, Disk, Schedule, type Timeline, World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import { booking } from "./booking.ts"

const replay = (token: string, disk = Disk.memory) => CrashTest.replay({ ...booking, disk }, token)

const textsOf = (timeline: Timeline.Timeline, lane: Timeline.Lane, process?: number) =>
  timeline.filter((entry) => entry.lane === lane && (process === undefined || entry.process === process))
    .map(({ text }) => text)

/** The number of the operation in a run without faults that says this. */
const operation = (what: string, disk = Disk.memory) =>
  Effect.map(replay("none", disk), ({ operations }) => {
    const found = operations[0]?.find((operation) => `${operation.kind} ${operation.what}`.includes(what))
    assert.isDefined(found, what)
    return found?.index ?? 0
  })

describe("deaths", () => {
  it.live("before a step's body, and after it but before its record", () =>
    Effect.gen(function*() {
      const before = yield* replay("crash@before:hotel:1")
      assert.notInclude(textsOf(before.timeline, "world", 1), "hotel")
      assert.strictEqual(before.repeated, 1, "the flight alone was tried twice")

      const after = yield* replay("crash@after:hotel:1")
      assert.include(textsOf(after.timeline, "world", 1), "hotel")
      assert.isTrue(textsOf(after.timeline, "world", 2).some((text) => text.startsWith("hotel, time 2")))
      assert.isFalse(textsOf(after.timeline, "store", 1).some((text) => text.endsWith("RecordStep hotel")))
    }))

  it.live("in a nested step, in a retry, in a step that runs at most once", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* replay("crash@after:hotel%2Froom:1")).crashes, 1)
      assert.strictEqual((yield* replay("crash@before:flight:2")).crashes, 1)
      const before = yield* replay("crash@before:mail:1")
      assert.deepStrictEqual(before.world.effects.get("mail"), undefined)
      assert.deepStrictEqual(before.excuses, ["StepInterrupted mail"])
      const after = yield* replay("crash@after:mail:1")
      assert.strictEqual(after.world.effects.get("mail"), 1)
    }))

  it.live("tell in their token which step it was", () =>
    Effect.gen(function*() {
      const { token } = yield* replay("crash@after::3")
      assert.strictEqual(token, "crash@after:hotel%2Froom:1")
      assert.strictEqual((yield* replay(token)).token, token)
    }))

  it.live("at an instant, before the timer that is due at it", () =>
    Effect.gen(function*() {
      const { timeline } = yield* replay("none")
      const [slept = 0] = timeline.filter(({ text }) => text.includes("run ")).map(({ at }) => at)
      assert.isAbove(slept, 60_000)
      const run = yield* replay(`crash@${slept}ms`)
      assert.isFalse(run.timeline.some(({ at, lane, process }) => process === 1 && lane === "store" && at >= slept))
      assert.strictEqual(run.crashes, 1)
    }))

  it.live("kill what had queued and was not applied", () =>
    Effect.gen(function*() {
      const at = yield* operation("submit")
      const run = yield* replay(`crash@${at + 1}/0`)
      assert.isTrue(textsOf(run.timeline, "store", 1).some((text) => text.startsWith(`${at} submit`)))
      assert.strictEqual(run.crashes, 1)
    }))
})

describe("a disk that fails", () => {
  it.live("fails one operation, and the process goes on", () =>
    Effect.gen(function*() {
      const at = yield* operation("commit RecordStep hotel/room")
      const run = yield* replay(`fail@${at}`)
      assert.strictEqual(run.crashes, 0)
      assert.isAbove(
        textsOf(run.timeline, "store", 1).filter((text) => text.includes("RecordStep hotel/room")).length,
        1
      )
    }))

  it.live("may end a process that is starting, which is started again", () =>
    Effect.gen(function*() {
      const run = yield* replay("fail@1")
      assert.include(textsOf(run.timeline, "process", 1), "cannot start, since its disk has failed")
      assert.deepStrictEqual(run.value, (yield* replay("none")).value)
    }))
})

describe("connections", () => {
  it.live("are cut, and the client comes back to the same process", () =>
    Effect.gen(function*() {
      const at = yield* operation("commit RecordStep hotel/room")
      const [none, run] = [yield* replay("none"), yield* replay(`cut@${at}`)]
      const lookups = (timeline: Timeline.Timeline) =>
        textsOf(timeline, "store", 1).filter((text) => text.includes("read stream token")).length
      assert.strictEqual(run.crashes, 0)
      assert.strictEqual(lookups(run.timeline), lookups(none.timeline) + 1, "one resume more")
    }))

  it.live("carry a POST twice, whose repeat joins the stream of the first (S-P10)", () =>
    Effect.gen(function*() {
      const at = yield* operation("commit RecordStep hotel/room")
      const [none, run] = [yield* replay("none"), yield* replay(`repeat@${at}`)]
      assert.isAbove(run.operations[0]?.length ?? 0, none.operations[0]?.length ?? 0)
      assert.deepStrictEqual(run.world, none.world)
    }))
})

describe("the wall clock", () => {
  it.live("jumps forward: what is due is late by its sleep at most, and not lost", () =>
    Effect.gen(function*() {
      const at = yield* operation("commit RecordStep night")
      const [none, run] = [yield* replay("none"), yield* replay(`jump@${at}/3600000`)]
      assert.deepStrictEqual(run.value, none.value)
      assert.isAtMost(run.duration, none.duration)
    }))

  it.live("jumps back: what sleeps until a time sleeps until that time", () =>
    Effect.gen(function*() {
      const at = yield* operation("commit RecordStep night")
      const [none, run] = [yield* replay("none"), yield* replay(`jump@${at}/-3600000`)]
      assert.deepStrictEqual(run.value, none.value)
      assert.isAbove(run.duration, none.duration + 3_000_000)
    }))

  it.live("jumps back while a failed attempt is recorded, whose pause was short until then", () =>
    Effect.gen(function*() {
      const at = yield* operation("RecordStep flight@1")
      const run = yield* replay(`jump@${at}/-3600000`)
      assert.strictEqual(run.world.effects.get("flight"), 1)
    }))
})

describe("a second process", () => {
  it.live("takes the disk in memory from the first, which lives on and is refused", () =>
    Effect.gen(function*() {
      const at = yield* operation("commit RecordStep hotel/room")
      const run = yield* replay(`second@${at}`)
      const takenOver = run.timeline.findIndex(({ process, text }) => process === 2 && text === "starts")
      const stale = run.timeline.slice(takenOver).filter(({ process }) => process === 1)
      assert.include(stale.map(({ text }) => text), "dies", "it lives until somebody sees to it")
      assert.strictEqual(run.crashes, 0)
      assert.isTrue(textsOf(run.timeline, "step", 2).length > 0)
    }))

  it.live("does a step again under its key while the first one is still in it", () =>
    Effect.gen(function*() {
      const Tools = Toolkit.make(Tool.make("slow"))
      const slow = CrashTest.define({
        registrations: DurableMcp.toolkit(Tools).pipe(
          Layer.provide(Tools.toLayer(Effect.map(World.World, ({ effect }) =>
            Tools.of({
              slow: () =>
                Durable.step(
                  "slow",
                  ({ key }) => Effect.andThen(Effect.sleep("10 seconds"), Effect.asVoid(effect("slow", { key })))
                )
            }))))
        ),
        script: (client) => client.callTool("slow"),
        expect: { exactlyOnce: ["slow"] }
      })
      const { operations } = yield* CrashTest.replay(slow, "none")
      const start = operations[0]?.find(({ what }) => what.includes("StartExecution"))?.index ?? 0
      const run = yield* CrashTest.replay(slow, `second@${start + 1}`)
      assert.deepStrictEqual(
        new Set(run.timeline.filter(({ lane }) => lane === "world").map((e) => e.process)),
        new Set([1, 2])
      )
      assert.strictEqual(run.repeated, 1)
    }))

  it.live("is refused by a SQLite file, and the first goes on", () =>
    Effect.gen(function*() {
      const run = yield* replay("second@20", Disk.sqlite())
      assert.isTrue(textsOf(run.timeline, "process", 2).some((text) => text.startsWith("is refused")))
      assert.strictEqual(run.crashes, 0)
      assert.isAbove(textsOf(run.timeline, "store", 1).length, 25)
    }))
})

describe("what a process leaves behind", () => {
  it.live("is found: a fiber that nobody ends", () =>
    Effect.gen(function*() {
      const Tools = Toolkit.make(Tool.make("leak"))
      const error = yield* Effect.flip(CrashTest.run({
        registrations: DurableMcp.toolkit(Tools).pipe(
          Layer.provide(Tools.toLayer({ leak: () => Effect.asVoid(Effect.forkDetach(Effect.never)) }))
        ),
        script: (client) => client.callTool("leak")
      }))
      assert.deepStrictEqual(error.violations, ["process 1 left 1 fiber behind"])
    }))

  it.live("is found: a file that stays open", () =>
    Effect.gen(function*() {
      const disk: Disk.Disk = {
        name: "leaking",
        make: Effect.map(Disk.memory.make, (instance) => ({ ...instance, openFiles: Effect.succeed(["store.db-wal"]) }))
      }
      const error = yield* Effect.flip(CrashTest.run({ ...booking, disk }))
      assert.deepStrictEqual(error.violations, ["store.db-wal is still open"])
    }))
})

describe("every point", () => {
  for (const kind of Schedule.kinds) {
    it.live(`of ${kind} is survived`, () =>
      Effect.gen(function*() {
        const report = yield* CrashTest.exhaustive({ ...booking, kinds: [kind] })
        assert.isAbove(report.faults.get(kind) ?? 0, 3)
      }), 120_000)
  }
})
