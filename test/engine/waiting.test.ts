import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Workflow } from "effect/workflow"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type { Store } from "../../src/store/Store.ts"
import { answer, boot, events, keys, record, reply, state, turns, until, wireId } from "./harness.ts"

const Consent = Schema.Struct({ ok: Schema.Boolean })

const ask = (name: string, timeout?: "10 minutes") =>
  Durable.elicit(name, { message: `${name}?`, schema: Consent, timeout })

const settle = (by: string) => Effect.andThen(TestClock.adjust(by as "1 second"), turns())

describe("sleep", () => {
  it.effect("has an absolute deadline that the process need not be there for", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            runs++
            yield* Durable.sleep("cool-off", "3 days")
            return yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* settle("6 seconds")
      assert.strictEqual(yield* state(first, stream), "waiting")
      yield* first.kill
      yield* TestClock.adjust("2 days")
      const second = yield* boot(handlers, { disk })
      yield* settle("23 hours")
      assert.strictEqual(runs, 1, "a parked execution is not run at start")
      yield* settle("61 minutes")
      assert.isAtLeast(yield* answer(second, stream), 3 * 24 * 3_600_000)
      assert.strictEqual(runs, 2)
    }))

  it.effect("that passed while the process was down ends at once (D-3)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => Effect.as(Durable.sleep("nap", "1 hour"), "up") }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* first.kill
      yield* TestClock.adjust("2 hours")
      const second = yield* boot(handlers, { disk })
      assert.strictEqual(yield* answer(second, stream), "up")
    }))

  it.effect("a short one goes on in memory, and after a crash for the rest of the time", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => Effect.as(Durable.sleep("nap", "4 seconds"), "up") }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* settle("3 seconds")
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* settle("1 second")
      assert.strictEqual(yield* answer(second, stream), "up")
    }))
})

describe("questions", () => {
  it.effect("are answered in memory without a replay", () =>
    Effect.gen(function*() {
      let runs = 0
      const server = yield* boot({
        tool: () => Effect.suspend(() => (runs++, ask("pay")))
      })
      const stream = yield* server.call("tool")
      assert.strictEqual(yield* reply(server, stream, "pay", { action: "accept", content: { ok: true } }), "Accepted")
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Accepted", content: { ok: true } })
      assert.strictEqual(runs, 1)
    }))

  it.effect("have ids of execution and key, and the first answer is final (D-5)", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.andThen(ask("pay"), ask("pay")) })
      const stream = yield* server.call("tool")
      const id = yield* wireId(server, stream, "pay")
      assert.strictEqual(id.length, 44)
      assert.strictEqual(id.slice(0, 22), stream)
      yield* reply(server, stream, "pay", { action: "decline" })
      assert.strictEqual(yield* reply(server, stream, "pay", { action: "accept", content: { ok: true } }), "Accepted")
      const second = yield* wireId(server, stream, "pay#2")
      assert.notStrictEqual(id, second)
      yield* reply(server, stream, "pay#2", { action: "cancel" })
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Cancelled" })
      // Late, but it was asked.
      assert.strictEqual(yield* reply(server, stream, "pay", { action: "decline" }), "Accepted")
    }))

  it.effect("are unknown to other sessions and principals, and so are made up ids", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => ask("pay") })
      const stream = yield* server.call("tool")
      const result = { action: "decline" }
      assert.strictEqual(yield* reply(server, stream, "pay", result, { session: "s" }), "Unknown")
      assert.strictEqual(yield* reply(server, stream, "pay", result, { principal: "eve" }), "Unknown")
      for (const wireId of ["", "x", "x".repeat(44), `${stream}${"x".repeat(22)}`]) {
        const answered = yield* server.calls.answer({
          wireId,
          session: undefined,
          principal: "anonymous",
          answer: { result }
        })
        assert.strictEqual(answered, "Unknown")
      }
    }))

  it.effect("survive park and restart, are asked once, and are answered by the next process", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => ask("pay") }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* settle("6 seconds")
      assert.strictEqual(yield* state(first, stream), "waiting")
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* turns()
      yield* reply(second, stream, "pay", { action: "accept", content: { ok: false } })
      assert.deepStrictEqual(yield* answer(second, stream), { _tag: "Accepted", content: { ok: false } })
      assert.deepStrictEqual(yield* keys(second, stream), ["question/pay", "result"])
    }))

  it.effect("time out: the handler gets a tag, the client a cancellation (S-L7)", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => ask("pay", "10 minutes") })
      const stream = yield* server.call("tool")
      yield* settle("11 minutes")
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "TimedOut" })
      assert.deepStrictEqual(yield* keys(server, stream), ["question/pay", "cancelled/pay", "result"])
      const [asked, cancelled] = yield* events(server, stream)
      assert.strictEqual(cancelled!.data.requestId, asked!.data.id)
    }))

  it.effect("end in tags for errors and for content that the schema refuses", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.all([ask("a"), ask("b")], { concurrency: 2 }) })
      const stream = yield* server.call("tool")
      yield* reply(server, stream, "a", { action: "accept", content: { ok: "yes" } })
      const wire = yield* wireId(server, stream, "b")
      yield* server.calls.answer({
        wireId: wire,
        session: undefined,
        principal: "anonymous",
        answer: { error: { code: -1, message: "no" } }
      })
      assert.deepStrictEqual(yield* answer(server, stream), [
        { _tag: "Failed", reason: "InvalidContent" },
        { _tag: "Failed", reason: "ClientError" }
      ])
    }))

  it.effect("that nobody waits for any more are withdrawn with the result", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Effect.raceFirst(
            ask("pay"),
            Effect.as(Durable.sleep("nap", "1 second"), "tired")
          )
      })
      const stream = yield* server.call("tool")
      yield* wireId(server, stream, "pay")
      yield* settle("1 second")
      assert.strictEqual(yield* answer(server, stream), "tired")
      assert.deepStrictEqual(yield* keys(server, stream), ["question/pay", "cancelled/pay", "result"])
    }))

  it.effect("are not put to a client in a batch", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => ask("pay") })
      const stream = yield* server.call("tool", { canAsk: false })
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Unsupported" })
    }))

  it.effect("are held until the client has said initialized (S-L5)", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => ask("pay") })
      yield* server.store.commit([{ _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" }])
      const stream = yield* server.call("tool", { session: "s" })
      yield* turns()
      assert.deepStrictEqual(yield* keys(server, stream), [])
      yield* server.store.commit([
        { _tag: "SetSession", id: "s", name: "initialized", writeKey: "1", value: "true" }
      ])
      yield* reply(server, stream, "pay", { action: "decline" }, { session: "s" })
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Declined" })
    }))

  it.effect("a page ends when it is said to be done, and the client is told (S-E8)", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () => Durable.elicitUrl("login", { message: "Log in", url: (id) => `https://example.com/${id}` })
      })
      const stream = yield* server.call("tool")
      const id = yield* wireId(server, stream, "login")
      const [asked] = yield* events(server, stream)
      assert.strictEqual(asked!.data.question.url, `https://example.com/${id}`)
      yield* reply(server, stream, "login", { action: "accept" })
      yield* turns()
      assert.strictEqual(yield* state(server, stream), "running")
      yield* server.calls.completeElicitation("unknown")
      yield* server.calls.completeElicitation(id)
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Accepted" })
      assert.deepStrictEqual(yield* keys(server, stream), ["question/login", "complete/login", "result"])
      yield* server.calls.completeElicitation(id)
      assert.strictEqual((yield* keys(server, stream)).length, 3)
    }))

  it.effect("roots are asked once per session and change of the list, and fixed for the execution", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            const first = yield* Durable.roots
            yield* ask("go")
            const second = yield* Durable.roots
            return [first.map(({ uri }) => uri), second.map(({ uri }) => uri)]
          })
      })
      const set = (name: string, value: string) =>
        server.store.commit([{ _tag: "SetSession", id: "s", name, writeKey: value, value }])
      yield* server.store.commit([{ _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" }])
      yield* set("initialized", "true")
      const options = { session: "s" }
      const one = yield* server.call("tool", { id: "one", session: "s" })
      yield* reply(server, one, "%roots/roots", { roots: [{ uri: "file:///a" }] }, options)
      yield* wireId(server, one, "go")
      yield* set("rootsGeneration", "1")
      yield* reply(server, one, "go", { action: "decline" }, options)
      assert.deepStrictEqual(yield* answer(server, one), [["file:///a"], ["file:///a"]])
      const two = yield* server.call("tool", { id: "two", session: "s" })
      yield* reply(server, two, "%roots/roots", { roots: [{ uri: "file:///b" }] }, options)
      yield* reply(server, two, "go", { action: "decline" }, options)
      assert.deepStrictEqual(yield* answer(server, two), [["file:///b"], ["file:///b"]])
      const three = yield* server.call("tool", { id: "three", session: "s" })
      yield* reply(server, three, "go", { action: "decline" }, options)
      assert.deepStrictEqual(yield* answer(server, three), [["file:///b"], ["file:///b"]])
    }))

  it.effect("sample gives the client's message, or says why not", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Effect.all([
            Effect.map(
              Durable.sample("a", { messages: [{ role: "user", content: { type: "text", text: "?" } }], maxTokens: 5 }),
              ({ model }) => model
            ),
            Effect.map(
              Effect.flip(Durable.sample("b", { messages: [], maxTokens: 5 })),
              ({ reason }) => reason
            )
          ], { concurrency: 2 })
      })
      const stream = yield* server.call("tool")
      yield* reply(server, stream, "a", { role: "assistant", model: "m", content: { type: "text", text: "!" } })
      yield* reply(server, stream, "b", { nonsense: true })
      assert.deepStrictEqual(yield* answer(server, stream), ["m", "Invalid"])
    }))
})

describe("parking", () => {
  it.effect("waits for the step that is running beside it", () =>
    Effect.gen(function*() {
      let started = 0
      const server = yield* boot({
        tool: () =>
          Effect.all([
            ask("pay"),
            Durable.step("long", Effect.suspend(() => (started++, Effect.as(Effect.sleep("1 minute"), "done"))))
          ], { concurrency: 2 })
      })
      const stream = yield* server.call("tool")
      yield* wireId(server, stream, "pay")
      yield* settle("50 seconds")
      assert.strictEqual(yield* state(server, stream), "running")
      yield* settle("11 seconds")
      yield* settle("6 seconds")
      assert.strictEqual(yield* state(server, stream), "waiting")
      yield* reply(server, stream, "pay", { action: "decline" })
      assert.deepStrictEqual(yield* answer(server, stream), [{ _tag: "Declined" }, "done"])
      assert.strictEqual(started, 1)
    }))

  it.effect("an answer that comes while the run parks is not lost", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Effect.andThen(ask("a"), ask("b")) })
      const stream = yield* server.call("tool")
      yield* reply(server, stream, "a", { action: "decline" })
      yield* wireId(server, stream, "b")
      yield* TestClock.adjust("5 seconds")
      yield* reply(server, stream, "b", { action: "cancel" })
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Cancelled" })
      assert.deepStrictEqual(yield* keys(server, stream), ["question/a", "question/b", "result"])
    }))

  it.effect("an answer that reaches the disk between the snapshot and the wait is not lost", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const handlers = { tool: () => ask("a") }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool")
      yield* wireId(first, stream, "a")
      yield* first.kill
      let reads = 0
      const exit = JSON.stringify({ _tag: "Answer", answer: { result: { action: "decline" } } })
      const second = yield* boot(handlers, {
        disk,
        wrap: (inner) => ({
          ...inner,
          execution: (id) =>
            Effect.tap(
              inner.execution(id),
              () =>
                ++reads === 1
                  ? Effect.asVoid(inner.commit([{ _tag: "Signal", id, name: "answer/a", exit }]))
                  : Effect.void
            )
        })
      })
      yield* turns()
      assert.deepStrictEqual(yield* answer(second, stream), { _tag: "Declined" })
    }))

  it.effect("an answer that reaches the disk just before the park is not lost", () =>
    Effect.gen(function*() {
      let runs = 0
      const wrap = (inner: Store["Service"]): Store["Service"] => ({
        ...inner,
        commit: (writes) => {
          const park = writes.find((write) => write._tag === "Park")
          const exit = JSON.stringify({ _tag: "Answer", answer: { result: { action: "decline" } } })
          return park === undefined || runs > 1
            ? inner.commit(writes)
            : Effect.andThen(
              inner.commit([{ _tag: "Signal", id: park.id, name: "answer/a", exit }]),
              inner.commit(writes)
            )
        }
      })
      const server = yield* boot({ tool: () => Effect.suspend(() => (runs++, ask("a"))) }, { wrap })
      const stream = yield* server.call("tool")
      yield* wireId(server, stream, "a")
      yield* settle("6 seconds")
      assert.deepStrictEqual(yield* answer(server, stream), { _tag: "Declined" })
      assert.strictEqual(runs, 2)
    }))

  it.effect("frees what the run has acquired, and skips what is for the end of the execution", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const server = yield* boot({
        tool: () =>
          Effect.gen(function*() {
            yield* Effect.acquireRelease(
              Effect.sync(() => log.push("open")),
              () => Effect.sync(() => log.push("close"))
            )
            yield* Workflow.addFinalizer(() => Effect.sync(() => log.push("end")))
            return yield* ask("a")
          })
      })
      const stream = yield* server.call("tool")
      yield* wireId(server, stream, "a")
      yield* settle("6 seconds")
      assert.deepStrictEqual(log, ["open", "close"])
      yield* reply(server, stream, "a", { action: "decline" })
      yield* answer(server, stream)
      assert.deepStrictEqual(log, ["open", "close", "open", "end", "close"])
    }))

  it.effect("holds no run", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => ask("pay") })
      yield* server.store.commit([{ _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" }])
      yield* server.store.commit([
        { _tag: "SetSession", id: "s", name: "initialized", writeKey: "1", value: "true" }
      ])
      const stream = yield* server.call("tool", { session: "s" })
      assert.strictEqual(server.calls.inFlight("s"), 1)
      yield* wireId(server, stream, "pay")
      yield* settle("6 seconds")
      yield* until(state(server, stream), (state) => state === "waiting")
      assert.strictEqual(server.calls.inFlight("s"), 0)
      assert.strictEqual((yield* record(server, stream))?.parked?.state, "waiting")
    }))
})
