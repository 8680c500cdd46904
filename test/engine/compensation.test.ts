import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { answer, boot, keys, record, resultOf, state, turns, until, wireId } from "./harness.ts"

const undoable = (log: Array<string>, name: string, undo: Effect.Effect<void> = Effect.void) =>
  Durable.step(
    name,
    Effect.sync(() => {
      log.push(name)
      return name
    }),
    {
      compensate: (value, _cause, { key }) =>
        Effect.andThen(Effect.sync(() => log.push(`undo ${value} ${key.length}`)), undo)
    }
  )

const ask = Durable.elicit("pay", { message: "Pay?", schema: Schema.Struct({ ok: Schema.Boolean }) })

describe("compensation", () => {
  it.effect("runs last first when the call fails, and gets the handler's own cause", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* undoable(log, "a")
            yield* Durable.step("b", Effect.succeed(1), {
              compensate: (_value, cause) => Effect.sync(() => log.push(String(cause)))
            })
            yield* undoable(log, "c")
            return yield* Effect.fail("no")
          })
      })
      const stream = yield* server.call("tool")
      assert.deepStrictEqual(yield* answer(server, stream), { failed: "no" })
      assert.deepStrictEqual(log, ["a", "c", "undo c 22", "Cause([Fail(\"no\")])", "undo a 22"])
      assert.deepStrictEqual(
        (yield* until(record(server, stream), (found) => found?.result !== undefined))?.steps.map(({ name }) => name),
        ["a", "b", "c", "%failure", "c/%compensate", "b/%compensate", "a/%compensate"]
      )
    }))

  it.effect("does not run when the call succeeds, nor for steps that failed", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* undoable(log, "a")
            yield* Effect.ignore(
              Durable.step("b", Effect.fail("no"), {
                error: Schema.String,
                compensate: () => Effect.sync(() => log.push("undo b"))
              })
            )
            return "done"
          })
      })
      assert.strictEqual(yield* answer(server, yield* server.call("tool")), "done")
      assert.deepStrictEqual(log, ["a"])
    }))

  it.effect("survives crashes in the middle: each once, and the decision stands", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      let runs = 0
      const hang = (when: number) => Effect.suspend(() => runs === when ? Effect.never : Effect.void)
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            runs++
            yield* undoable(log, "a", hang(2))
            yield* undoable(log, "b", hang(1))
            yield* undoable(log, "c")
            // The body would not fail again: what was decided counts.
            return runs === 1 ? yield* Effect.fail("no") : "done"
          })
      }
      let server = yield* boot(handlers, { disk })
      const stream = yield* server.call("tool")
      for (let i = 0; i < 2; i++) {
        yield* turns()
        yield* server.kill
        server = yield* boot(handlers, { disk })
      }
      assert.deepStrictEqual(yield* answer(server, stream), { failed: "no" })
      const undone = log.filter((entry) => entry.startsWith("undo"))
      // b and a were cut off once each.
      assert.deepStrictEqual(undone, ["undo c 22", "undo b 22", "undo b 22", "undo a 22", "undo a 22"])
    }))

  it.effect("one that dies does not keep the others from running", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* undoable(log, "a")
            yield* undoable(log, "b", Effect.die("broken"))
            return yield* Effect.fail("no")
          })
      })
      assert.deepStrictEqual(yield* answer(server, yield* server.call("tool")), { failed: "no" })
      assert.deepStrictEqual(log.slice(2), ["undo b 22", "undo a 22"])
    }))

  it.effect("may take its time: sleeps and steps of its own are durable", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* undoable(
              log,
              "a",
              Effect.gen(function*() {
                yield* Durable.step("refund", Effect.sync(() => void log.push("refund")))
                yield* Durable.sleep("settle", "1 minute")
                log.push("settled")
              })
            )
            return yield* Effect.fail("no")
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* turns()
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* answer(second, stream), { failed: "no" })
      assert.deepStrictEqual(log.filter((entry) => entry === "refund"), ["refund"])
      assert.strictEqual(log.at(-1), "settled")
    }))

  it.effect("does not follow an unhandled StepInterrupted: the call ends Unknown", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* undoable(log, "a")
            yield* Durable.step("mail", Effect.never, { atMostOnce: true })
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      assert.property(yield* answer(second, stream), "failed")
      assert.strictEqual((yield* until(resultOf(second, stream), (found) => found !== undefined))?._tag, "Unknown")
      assert.deepStrictEqual(log, ["a"])
    }))

  it.effect("of a step inside a step is refused: a replay could not find it", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Durable.step("outer", undoable([], "inner")) })
      const { failed } = yield* answer(server, yield* server.call("tool"))
      assert.include(failed, "inside a step")
    }))
})

describe("cancel", () => {
  it.effect("ends without an answer, after the compensations; the question is withdrawn (S-C1, S-C4, S-C6)", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({ tool: () => Effect.andThen(undoable(log, "a"), ask) })
      const stream = yield* server.call("tool")
      yield* wireId(server, stream, "pay")
      yield* server.calls.cancel(stream)
      assert.strictEqual(yield* answer(server, stream), "cancelled")
      assert.deepStrictEqual(log, ["a", "undo a 22"])
      assert.deepStrictEqual(yield* keys(server, stream), ["question/pay", "cancelled/pay", "end"])
      assert.strictEqual((yield* until(resultOf(server, stream), (found) => found !== undefined))?._tag, "Cancelled")
    }))

  it.effect("of a parked call replays it only to find what there is to compensate", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* undoable(log, "a")
            yield* ask
            yield* Durable.step("never", Effect.sync(() => log.push("never")))
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* wireId(first, stream, "pay")
      yield* TestClock.adjust("6 seconds")
      yield* until(state(first, stream), (state) => state === "waiting")
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* second.calls.cancel(stream)
      assert.strictEqual(yield* answer(second, stream), "cancelled")
      assert.deepStrictEqual(log, ["a", "undo a 22"])
    }))

  it.effect("cut off by a crash is taken up again", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      let hang = true
      const handlers = {
        tool: () =>
          Effect.andThen(
            undoable(log, "a", Effect.suspend(() => hang ? Effect.never : Effect.void)),
            Effect.never
          )
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* turns()
      yield* first.calls.cancel(stream)
      yield* turns()
      yield* first.kill
      hang = false
      const second = yield* boot(handlers, { disk })
      yield* turns()
      // The body hangs where it hung: it is taken to have reached its end.
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(yield* answer(second, stream), "cancelled")
      assert.deepStrictEqual(log, ["a", "undo a 22", "undo a 22"])
    }))

  it.effect("that comes while a later run still replays undoes what the earlier one did", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const log: Array<string> = []
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* Effect.sleep("1 second")
            yield* undoable(log, "a")
            yield* Effect.sleep("1 second")
            yield* undoable(log, "b")
            yield* ask
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      yield* wireId(first, stream, "pay")
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* until(state(second, stream), (state) => state === "running")
      yield* TestClock.adjust("1 second")
      // a is known, b is not
      yield* second.calls.cancel(stream)
      yield* turns()
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* answer(second, stream), "cancelled")
      assert.deepStrictEqual(log, ["a", "b", "undo b 22", "undo a 22"])
    }))

  it.effect("of unknown and finished calls is ignored (S-C2)", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Durable.step("a", Effect.succeed(1)) })
      const stream = yield* server.call("tool")
      yield* answer(server, stream)
      yield* server.calls.cancel(stream)
      yield* server.calls.cancel("unknown")
      yield* turns()
      assert.deepStrictEqual(yield* keys(server, stream), ["result"])
    }))

  it.effect("of a call that is in its first turn is durable too", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.never })
      const [stream] = yield* Effect.all([
        server.call("tool"),
        server.calls.cancel("call".padEnd(22, "_"))
      ], { concurrency: 2 })
      assert.strictEqual(yield* answer(server, stream), "cancelled")
    }))

  it.effect("in the middle of a step leaves no record of it: an interrupt is no exit", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.all([
            Durable.step("a", Effect.never),
            Durable.step("b", Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("cleaned")))),
            Durable.step("c", Effect.uninterruptible(Durable.sleep("nap", "1 day")))
          ], { concurrency: "unbounded" })
      })
      const stream = yield* server.call("tool")
      yield* turns()
      yield* server.calls.cancel(stream)
      assert.strictEqual(yield* answer(server, stream), "cancelled")
      assert.deepStrictEqual(log, ["cleaned"])
      assert.deepStrictEqual((yield* record(server, stream))?.steps.map(({ name }) => name), ["c/nap"])
    }))

  it.effect("by an operator reaches a run that is busy", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Durable.step("long", Effect.never) })
      const stream = yield* server.call("tool")
      assert.isTrue(yield* server.executions.cancel(stream))
      assert.strictEqual(yield* answer(server, stream), "cancelled")
      assert.isFalse(yield* server.executions.cancel(stream))
    }))
})
