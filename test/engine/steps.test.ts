import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { answer, boot, type Handlers, limits, record, turns, until } from "./harness.ts"

class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", { at: Schema.Date }) {}

/** Runs a handler in one process, kills it when it comes to `Effect.never`, and gives the answer of the next one. */
const throughCrash = Effect.fnUntraced(function*(handlers: Handlers, tool = "tool") {
  const disk = MemoryStore.makeDisk()
  const first = yield* boot(handlers, { disk })
  const stream = yield* first.call(tool)
  yield* turns()
  yield* first.kill
  const second = yield* boot(handlers, { disk })
  return { server: second, stream, value: yield* answer(second, stream) }
})

/** Hangs in its first run. */
const crashOnce = () => {
  let hung = false
  return Effect.suspend(() => {
    if (hung) {
      return Effect.void
    }
    hung = true
    return Effect.never
  })
}

describe("step", () => {
  it.effect("gives decode(encode(value)), also the first time", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      const seen: Array<boolean> = []
      const value = new Date(5)
      const { value: answered } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const date = yield* Durable.step("date", Effect.succeed(value), { success: Schema.Date })
            seen.push(date !== value && date.getTime() === 5)
            const object = yield* Durable.step("object", Effect.succeed({ a: undefined as number | undefined, b: [1] }))
            seen.push("a" in object)
            const nothing = yield* Durable.step("nothing", Effect.void)
            seen.push(nothing === undefined)
            yield* crash
            return date.getTime()
          })
      })
      assert.strictEqual(answered, 5)
      assert.deepStrictEqual(seen, [true, false, true, true, false, true])
    }))

  it.effect("stores typed failures and gives them again", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      let attempts = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const failed = yield* Effect.flip(Durable.step(
              "seats",
              Effect.suspend(() => Effect.fail(new NoSeats({ at: new Date(++attempts) }))),
              { error: NoSeats }
            ))
            yield* crash
            return [failed instanceof NoSeats, failed.at.getTime()]
          })
      })
      assert.deepStrictEqual(value, [true, 1])
    }))

  it.effect("records a defect instead of looping", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      let attempts = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const exit = yield* Effect.exit(
              Durable.step(
                "boom",
                Effect.sync(() => {
                  attempts++
                  throw new TypeError("no such thing")
                })
              )
            )
            yield* crash
            return String(exit)
          })
      })
      assert.include(value, "TypeError: no such thing")
      assert.strictEqual(attempts, 1)
    }))

  it.effect("numbers repeated names by order and scopes nested ones", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      const ran: Array<string> = []
      const say = (text: string) => Durable.step(text, Effect.sync(() => ran.push(text)))
      const { server, stream, value } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const numbers = [yield* say("a"), yield* say("a"), yield* say("a/b")]
            const outer = yield* Durable.step("outer", Effect.andThen(say("a"), say("a")))
            yield* crash
            return [...numbers, outer, yield* say("a")]
          })
      })
      assert.deepStrictEqual(value, [1, 2, 3, 5, 6])
      assert.deepStrictEqual(
        (yield* record(server, stream))?.steps.map(({ name }) => name),
        ["a", "a#2", "a%2Fb", "outer/a", "outer/a#2", "outer", "a#3"]
      )
    }))

  it.effect("does not repeat a finished step inside one that was cut off, or failed", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      const ran: Array<string> = []
      const { value } = yield* throughCrash({
        tool: () =>
          Durable.step("outer", ({ attempt }) =>
            Effect.gen(function*() {
              const inner = yield* Durable.step("inner", Effect.sync(() => ran.push("inner")))
              yield* crash
              yield* Durable.step(
                "fails",
                Effect.suspend(() => {
                  ran.push(`fails ${attempt}`)
                  return attempt === 1 ? Effect.fail("no") : Effect.succeed("yes")
                }),
                { error: Schema.String }
              )
              return [inner, attempt]
            }), { error: Schema.String, retry: { times: 1, schedule: Schedule.spaced(0) } })
      })
      assert.deepStrictEqual(value, [1, 2])
      assert.deepStrictEqual(ran, ["inner", "fails 1", "fails 2"])
    }))

  it.effect("concurrent steps replay in any order without an alarm", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      let run = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const names = ++run === 1 ? ["x", "y", "z"] : ["z", "y", "x"]
            const all = yield* Effect.forEach(names, (name) => Durable.step(name, Effect.succeed(name)), {
              concurrency: "unbounded"
            })
            yield* crash
            return all.toSorted()
          })
      })
      assert.deepStrictEqual(value, ["x", "y", "z"])
    }))

  it.effect("a result that cannot be stored is a recorded defect: the effect is not repeated", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      let ran = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const large = yield* Effect.exit(Durable.step(
              "large",
              Effect.sync(() => {
                ran++
                return "x".repeat(5 * 1024 * 1024)
              })
            ))
            const bad = yield* Effect.exit(
              Durable.step("bad", Effect.sync(() => ++ran as unknown), { success: Schema.String as any })
            )
            yield* crash
            return [String(large), String(bad), ran]
          })
      })
      assert.include(value[0], "StepResultUnstorable")
      assert.include(value[1], "StepResultUnstorable")
      assert.strictEqual(value[2], 2)
    }))

  it.effect("a name that cannot be stored is a defect, not a loop", () =>
    Effect.gen(function*() {
      let ran = 0
      const server = yield* boot({ tool: () => Durable.step("x".repeat(2_000), Effect.sync(() => ++ran)) })
      assert.include((yield* answer(server, yield* server.call("tool"))).failed, "RecordStep.name")
      assert.strictEqual(ran, 1)
    }))

  it.effect("an execution has a limit of steps", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            for (let i = 0;; i++) {
              const exit = yield* Effect.exit(Durable.step("step", Effect.succeed(i)))
              if (exit._tag === "Failure") {
                return [i, String(exit)]
              }
            }
          })
      }, { limits: Context.make(limits.StepLimit, 5) as Context.Context<never> })
      const [count, exit] = yield* answer(server, yield* server.call("tool"))
      assert.strictEqual(count, 5)
      assert.include(exit, "StepLimitExceeded")
    }))

  it.effect("Effect.interrupt inside a step is a recorded defect, not a hang", () =>
    Effect.gen(function*() {
      let ran = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Effect.gen(function*() {
            const exit = yield* Effect.exit(Durable.step(
              "cancels",
              Effect.suspend(() => {
                ran++
                return Effect.interrupt
              })
            ))
            return [String(exit), ran]
          })
      })
      assert.include(value[0], "interrupted itself")
      assert.strictEqual(value[1], 1)
    }))

  it.effect("a step that loses a race has no exit on record, and does not run again in a replay", () =>
    Effect.gen(function*() {
      const crash = crashOnce()
      let slow = 0
      const { server, stream, value } = yield* throughCrash({
        tool: () =>
          Effect.raceFirst(
            Durable.step("slow", Effect.suspend(() => Effect.as(Effect.never, ++slow))),
            Durable.step("quick", Effect.andThen(Effect.yieldNow, Effect.succeed(1)))
          ).pipe(Effect.tap(() => crash))
      })
      assert.strictEqual(value, 1)
      assert.strictEqual(slow, 1)
      assert.deepStrictEqual((yield* record(server, stream))?.steps.map(({ name }) => name), [
        "quick",
        "%abandoned/slow"
      ])
    }))

  it.effect("outside a durable run a step is just its effect", () =>
    Effect.gen(function*() {
      const [key, attempt] = yield* Durable.step("a", ({ attempt, key }) => Effect.succeed([key, attempt] as const))
      assert.match(key, /^[\w-]+$/)
      assert.strictEqual(attempt, 1)
      const execution = yield* Durable.execution
      assert.isFalse(execution.durable)
      yield* Durable.progress({ progress: 1 })
      yield* Durable.log("hi")
      assert.deepStrictEqual(
        yield* Durable.elicit("q", { message: "?", schema: Schema.Struct({}) }),
        { _tag: "Unsupported" }
      )
    }))
})

describe("retries", () => {
  const flaky = (times: number, ran: Array<number>) =>
    Durable.step(
      "flaky",
      ({ attempt }) =>
        Effect.flatMap(Effect.clockWith((clock) => clock.currentTimeMillis), (now) => {
          ran.push(now)
          return attempt <= times ? Effect.fail(`no ${attempt}`) : Effect.succeed(attempt)
        }),
      { error: Schema.String, retry: { times: 5, schedule: Schedule.exponential("1 minute") } }
    )

  it.effect("are counted on disk, and keep their due time across a crash", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const ran: Array<number> = []
      const handlers = { tool: () => flaky(3, ran) }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      // Attempt 2 is due at 1 minute; the process dies before and is back after 10 seconds more.
      yield* TestClock.adjust("30 seconds")
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      yield* turns()
      assert.isBelow(now, 70_000)
      assert.deepStrictEqual(ran, [0])
      yield* TestClock.setTime(60_000 + Math.max(0, now - 60_000))
      yield* turns()
      assert.strictEqual(ran.length, 2)
      yield* TestClock.adjust("2 minutes")
      yield* turns()
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(yield* answer(second, stream), 4)
      // The schedule went on where it was: 1, 2 and 4 minutes.
      const pauses = ran.slice(1).map((at, i) => Math.round((at - ran[i]!) / 60_000))
      assert.deepStrictEqual(pauses, [1, 2, 4])
    }))

  it.effect("end with the recorded failure", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const server = yield* boot({
        tool: () =>
          Durable.step("flaky", Effect.suspend(() => Effect.fail(`no ${ran.push(0)}`)), {
            error: Schema.String,
            retry: { times: 2, while: (error) => error !== "stop" }
          })
      })
      const stream = yield* server.call("tool")
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust("1 second")
        yield* turns()
      }
      assert.deepStrictEqual(yield* answer(server, stream), { failed: "no 3" })
    }))

  it.effect("a timeout of each attempt, retried and then a failure", () =>
    Effect.gen(function*() {
      let ran = 0
      const server = yield* boot({
        tool: () =>
          Durable.step(
            "slow",
            Effect.suspend(() => {
              ran++
              return Effect.never
            }),
            { timeout: "1 second", retry: 1 }
          ).pipe(
            Effect.catchTag("StepTimedOut", (error) => Effect.succeed(error.step))
          )
      })
      const stream = yield* server.call("tool")
      for (let i = 0; i < 4; i++) {
        yield* TestClock.adjust("1 second")
        yield* turns()
      }
      assert.strictEqual(yield* answer(server, stream), "slow")
      assert.strictEqual(ran, 2)
    }))
})

describe("atMostOnce", () => {
  it.effect("fails with StepInterrupted when a crash left the outcome unknown, and never runs again", () =>
    Effect.gen(function*() {
      let ran = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Durable.step(
            "mail",
            Effect.suspend(() => {
              ran++
              return Effect.never
            }),
            { atMostOnce: true }
          ).pipe(
            Effect.catchTag("StepInterrupted", ({ key, step }) => Effect.succeed([step, key.length]))
          )
      })
      assert.deepStrictEqual(value, ["mail", 22])
      assert.strictEqual(ran, 1)
    }))

  it.effect("also where the enclosing step is retried", () =>
    Effect.gen(function*() {
      let ran = 0
      const { value } = yield* throughCrash({
        tool: () =>
          Durable.step("outer", ({ attempt }) =>
            Durable.step(
              "mail",
              Effect.suspend(() => {
                ran++
                return Effect.never
              }),
              { atMostOnce: true }
            ).pipe(
              Effect.mapError((error) => `${error._tag} ${attempt}`)
            ), { error: Schema.String, retry: { times: 1, schedule: Schedule.spaced(0) } })
      })
      assert.deepStrictEqual(value, { failed: "StepInterrupted 2" })
      assert.strictEqual(ran, 1)
    }))

  it.effect("retries a recorded failure, under the next attempt", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Durable.step("mail", ({ attempt }) => attempt === 1 ? Effect.fail("busy") : Effect.succeed(attempt), {
            error: Schema.String,
            atMostOnce: true,
            retry: { times: 1, schedule: Schedule.spaced(0) }
          })
      })
      const stream = yield* server.call("tool")
      assert.strictEqual(yield* answer(server, stream), 2)
      assert.deepStrictEqual(
        (yield* until(record(server, stream), (found) => found?.result !== undefined))?.steps.map(({ name }) => name),
        ["mail@1/%begin", "mail@1", "mail@2/%begin", "mail"]
      )
    }))
})
