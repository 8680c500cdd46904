/**
 * The kit is trusted with the proof, so it must find what is wrong: each test
 * plants a bug below or in the program under test.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import * as Schedule from "../../src/testing/Schedule.ts"
import { World } from "../../src/testing/World.ts"
import { ask, correct, found, mail, over, program, step, writing } from "./program.ts"

describe("CrashTest", () => {
  it.live("passes a correct program", () =>
    Effect.gen(function*() {
      const every = yield* CrashTest.exhaustive(program(correct))
      assert.isAbove(every.crashes, 20)
      const random = yield* CrashTest.random({ ...program(correct), runs: 50, seed: 1 })
      assert.isAbove(random.crashes, 50)
    }), 60_000)

  it.live("finds an effect outside of a step", () =>
    Effect.gen(function*() {
      let count = 0
      const error = yield* found(
        CrashTest.exhaustive(
          program((world) => Effect.andThen(step(world, "first"), Effect.sync(() => String(++count))))
        )
      )
      assert.isTrue(error.violations.some((text) => text.startsWith("the result is")), error.message)
    }), 60_000)

  it.live("finds a key that differs from run to run", () =>
    Effect.gen(function*() {
      let n = 0
      const broken = writing(program(correct), (writes) =>
        writes.map((write) => write._tag === "Append" ? { ...write, key: `${write.key}/${n++}` } : write))
      const error = yield* found(CrashTest.exhaustive(broken))
      assert.include(error.message, "and not")
    }), 60_000)

  it.live("finds a record that is not looked at", () =>
    Effect.gen(function*() {
      const broken = over(program(correct), (store) => ({
        execution: (id) =>
          Effect.map(
            store.execution(id),
            Option.map((record) => ({ ...record, steps: record.steps.filter(({ name }) => name !== "first") }))
          )
      }))
      const error = yield* found(CrashTest.exhaustive(broken))
      assert.include(error.message, "first was done again after its exit had been recorded")
    }), 60_000)

  it.live("finds a question that is seen before its answer can be accepted", () =>
    Effect.gen(function*() {
      // time for the client to come back before the handler is there again
      const slow = program((world) => Effect.andThen(Effect.sleep("3 seconds"), correct(world)))
      const broken = writing(slow, (writes) =>
        writes.toSorted((a, b) => Number(b._tag === "Append") - Number(a._tag === "Append")))
      const error = yield* found(CrashTest.exhaustive(broken))
      assert.include(error.message, "the server refused answer to elicitation/create")
    }), 60_000)

  it.live("finds an effect without a key that a crash repeats, and says what to do", () =>
    Effect.gen(function*() {
      const error = yield* found(
        CrashTest.exhaustive(program((world) => Durable.step("mail", () => Effect.as(world.effect("mail"), "sent"))))
      )
      assert.include(error.message, "mail took place 2 times, and once without faults")
      assert.include(error.message, "make the step `atMostOnce`")
    }), 60_000)

  it.live("says of an effect that comes under new keys that they are new", () =>
    Effect.gen(function*() {
      let charges = 0
      const error = yield* found(
        CrashTest.exhaustive(program((world) =>
          Effect.suspend(() => Effect.as(world.effect("charge", { key: `charge ${charges++}` }), "paid"))
        ))
      )
      assert.include(error.message, "charge took place 2 times, and once without faults. Each time under another key")
    }), 60_000)

  it.live("gives each name of an effect keys of its own", () =>
    Effect.gen(function*() {
      const run = yield* CrashTest.run(program((world) =>
        Durable.step("pay", ({ key }) =>
          Effect.as(Effect.andThen(world.effect("try", { key }), world.effect("charge", { key })), "paid"))
      ))
      assert.deepStrictEqual(Array.from(run.world.effects), [["try", 1], ["charge", 1]])
    }))

  it.live("says of a token that it no longer fits", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(CrashTest.replay(program(correct), "crash@1/0,crash@2700/0"))
      assert.deepStrictEqual(error.violations, [
        "only crash@1/0 of crash@1/0,crash@2700/0 came about: is the token of another program?"
      ])
    }))

  it.live("makes a failing schedule smaller, and replays it", () =>
    Effect.gen(function*() {
      const broken = program((world) =>
        Effect.andThen(
          step(world, "first"),
          Durable.step("mail", () => Effect.as(world.effect("mail"), "sent"))
        )
      )
      const error = yield* found(CrashTest.random({ ...broken, runs: 500, seed: 1, max: 4 }))
      assert.lengthOf(Schedule.decode(error.token) ?? [], 1)
      const again = yield* Effect.flip(CrashTest.replay(broken, error.token))
      assert.deepStrictEqual(again.violations, error.violations)
    }), 60_000)

  it.live("leaves nothing in a schedule that it can do without", () =>
    Effect.gen(function*() {
      // wrong only when the step was cut off twice
      const broken = program((world) =>
        Durable.step("charge", ({ key }) =>
          Effect.map(world.effect("charge", { key }), (count) => count < 3 ? "once" : "thrice"))
      )
      const kinds: ReadonlyArray<Schedule.Kind> = ["CrashInStep", "CutConnections", "ClockJump"]
      const error = yield* found(CrashTest.random({ ...broken, kinds, runs: 200, seed: 3 }))
      assert.strictEqual(error.token, "crash@after:charge:1,crash@after:charge:1")
      const again = yield* Effect.flip(CrashTest.replay(broken, error.token))
      assert.deepStrictEqual(again.violations, error.violations)
    }), 60_000)

  it.live("finds what a handler leaves running", () =>
    Effect.gen(function*() {
      const error = yield* found(
        CrashTest.run(program((world) =>
          Effect.as(
            Effect.forkDetach(Effect.andThen(Effect.sleep("10 seconds"), world.effect("late"))),
            "done"
          )
        ))
      )
      assert.include(error.message, "late was done after everything had ended")
    }))

  it.live("finds a call that never ends, and a script that fails", () =>
    Effect.gen(function*() {
      const stuck = yield* found(CrashTest.run(program(() => Effect.never)))
      assert.include(stuck.message, "nothing moves any more")
      const failing = yield* found(CrashTest.run({ ...program(correct), script: () => Effect.fail("no") }))
      assert.include(failing.message, "the script fails")
    }), 30_000)

  it.live("excuses a result by a crash in an at-most-once step, and by nothing else", () =>
    Effect.gen(function*() {
      const mailing = program((world) => Effect.andThen(step(world, "first"), mail(world)))
      const cut = yield* CrashTest.run({ ...mailing, crashes: "crash@after:mail:1" })
      assert.deepStrictEqual(cut.excuses, ["StepInterrupted mail"])
      assert.notDeepEqual(cut.value, (yield* CrashTest.run(mailing)).value)
      const before = yield* CrashTest.run({ ...mailing, crashes: "crash@after:first:1" })
      assert.deepStrictEqual(before.excuses, [])
      yield* CrashTest.exhaustive({ ...mailing, expect: { atMostOnce: ["mail"], exactlyOnce: ["first"] } })
      const strict = yield* found(CrashTest.run({ ...mailing, crashes: "crash@after:mail:1", allowed: () => false }))
      assert.include(strict.message, "the result is")
    }), 60_000)

  it.live("excuses a result by a deadline that the clock has passed", () =>
    Effect.gen(function*() {
      const asking = {
        ...program(() => Effect.map(ask("1 minute"), ({ _tag }) => _tag)),
        answer: () => Effect.as(Effect.sleep("30 seconds"), { action: "accept", content: { ok: true } })
      }
      const inTime = yield* CrashTest.run(asking)
      const parked = inTime.operations[0]?.find(({ what }) => what.startsWith("Park"))
      const late = yield* CrashTest.run({ ...asking, crashes: `jump@${parked?.index}/3600000,crash@1/0` })
      assert.deepStrictEqual([inTime.excuses, late.excuses], [[], ["TimedOut go"]])
      assert.notDeepEqual(late.value, inTime.value)
    }), 30_000)

  it.live("excuses what the script gives up", () =>
    Effect.gen(function*() {
      const slow = program((world) => Effect.andThen(Durable.sleep("wait", "10 minutes"), step(world, "late")))
      const cancelling = CrashTest.define({
        ...slow,
        script: (client) =>
          Effect.gen(function*() {
            const call = yield* client.start("run")
            yield* call.cancel()
            return yield* call.answer
          })
      })
      assert.deepStrictEqual((yield* CrashTest.run(cancelling)).excuses, ["Cancelled 1"])
      yield* CrashTest.random({ ...cancelling, runs: 20, seed: 1 })
      const vanishing = CrashTest.define({
        ...slow,
        script: (client) =>
          client.start("run").pipe(Effect.andThen(Effect.sleep("1 second")), Effect.andThen(client.vanish))
      })
      const vanished = yield* CrashTest.run(vanishing)
      assert.deepStrictEqual(vanished.excuses, ["Vanished"])
      // nobody waits for it, and it is done all the same
      assert.strictEqual(vanished.world.effects.get("late"), 1)
    }), 60_000)

  it.live("finds a step that is called interrupted though no process died in it", () =>
    Effect.gen(function*() {
      const broken = writing(
        program(mail),
        (writes) =>
          writes.map((write) =>
            write._tag === "RecordStep" && write.name === "mail"
              ? { ...write, exit: JSON.stringify({ _tag: "Interrupted" }) }
              : write
          )
      )
      const error = yield* found(CrashTest.run(broken))
      assert.include(error.message, "step mail is recorded as interrupted, though nothing has cut it off")
    }))

  it.live("finds an at-most-once step that is begun twice", () =>
    Effect.gen(function*() {
      // the beginning is stored, and never looked at
      const broken = over(program(mail), (store) => ({
        execution: (id) =>
          Effect.map(
            store.execution(id),
            Option.map((record) => ({ ...record, steps: record.steps.filter(({ kind }) => kind !== "begin") }))
          ),
        commit: (writes) =>
          Effect.map(store.commit(writes), (outcomes) =>
            outcomes.map((outcome, i) => {
              const write = writes[i]
              return write?._tag === "RecordStep" && write.kind === "begin"
                ? { _tag: "Stands", fresh: true, value: write.exit } as const
                : outcome
            }))
      }))
      const error = yield* found(CrashTest.run({ ...broken, crashes: "crash@after:mail:1" }))
      assert.include(error.message, "step mail is to run at most once, and attempt 1 was begun 2 times")
    }))

  it.live(
    "finds progress that falls, and a question that is asked twice",
    () =>
      Effect.gen(function*() {
        const falling = writing(
          program(correct),
          (writes) =>
            writes.map((write) =>
              write._tag === "Append" && write.key === "progress/2"
                ? { ...write, data: write.data?.replace(/"progress":2/, `"progress":0.5`) }
                : write
            )
        )
        assert.include((yield* found(CrashTest.run(falling))).message, "progress fell from 1 to 0.5")
        const asking = writing(
          program(correct),
          (writes) =>
            writes.flatMap((write) =>
              write._tag === "Append" && write.key === "question/go"
                ? [write, { ...write, key: "again" }]
                : [write]
            )
        )
        assert.include((yield* found(CrashTest.run(asking))).message, "was asked twice")
      }),
    30_000
  )

  it.live("says first what to replay, then what is wrong, then what happened", () =>
    Effect.gen(function*() {
      const run = yield* CrashTest.run({ ...program(correct), crashes: "crash@5/0" })
      const error = yield* Effect.flip(run.assert({ exactlyOnce: ["third"] }))
      const lines = error.message.split("\n")
      assert.include(lines[0] ?? "", `CrashTest.replay(options, "crash@5/0")`)
      assert.strictEqual(lines[1], "  - third took place 0 times and not exactly once")
      assert.include(lines[2] ?? "", "What happened")
      assert.isAbove(lines.length, 10)
    }))

  it.live("refuses a token that is none", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(CrashTest.replay(program(correct), "crash@everywhere"))
      assert.isTrue(Exit.isFailure(exit))
    }))

  it.live("is interrupted like any effect", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(CrashTest.random({ ...program(correct), runs: 100_000, seed: 1 }))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
    }))
})

const Trips = Toolkit.make(Tool.make("book"))

const TripsLive = DurableMcp.toolkit(Trips).pipe(
  Layer.provide(Trips.toLayer(Effect.map(World, (world) =>
    Trips.of({
      book: () =>
        Effect.gen(function*() {
          yield* step(world, "reserve")
          yield* step(world, "charge")
        })
    }))))
)

describe("a user's property", () => {
  it.effect.prop(
    "booking survives any crash",
    { crashes: CrashTest.schedules({ max: 6 }) },
    ({ crashes }) =>
      CrashTest.run({ registrations: TripsLive, script: (client) => client.callTool("book"), crashes }).pipe(
        Effect.flatMap((run) => run.assert({ exactlyOnce: run.world.effects }))
      ),
    { timeout: 60_000, arbitrary: { runs: 30 } }
  )

  const booking = CrashTest.define({
    registrations: TripsLive,
    script: (client) => client.callTool("book"),
    expect: { exactlyOnce: ["reserve", "charge"] }
  })

  it.effect("runs on the tests' clock too, and takes the types of a constant", () =>
    Effect.gen(function*() {
      const run = yield* CrashTest.run(booking)
      assert.isTrue("result" in run.value)
      yield* CrashTest.random({ ...booking, runs: 10, seed: "trips" })
    }), 30_000)
})
