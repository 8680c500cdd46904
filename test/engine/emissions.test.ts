import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Schedule, Schema } from "effect"
import * as Limits from "../../src/engine/Limits.ts"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { answer, boot, events, keys, turns } from "./harness.ts"

const progressOf = (all: ReadonlyArray<{ readonly key: string; readonly data: any }>) =>
  all.filter(({ data }) => data?._tag === "Progress").map(({ data }) => data.progress)

describe("emissions", () => {
  it.effect("are told once, in order, over any number of replays", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const run = ++runs
            for (let i = 1; i <= 4; i++) {
              yield* Durable.progress({ progress: i, total: 4 })
              yield* Durable.log(`line ${i}`)
              yield* Durable.step("step", Durable.log(`in ${i}`))
              if (run === i) {
                return yield* Effect.never
              }
            }
            return "done"
          })
      }
      let server = yield* boot(handlers, { disk })
      const stream = yield* server.call("tool", { progressToken: "t" })
      for (let i = 0; i < 4; i++) {
        yield* turns()
        yield* server.kill
        server = yield* boot(handlers, { disk })
      }
      assert.strictEqual(yield* answer(server, stream), "done")
      const all = yield* events(server, stream)
      assert.deepStrictEqual(progressOf(all), [1, 2, 3, 4])
      assert.deepStrictEqual(
        all.filter(({ data }) => data?._tag === "Log").map(({ data }) => data.data),
        ["line 1", "in 1", "line 2", "in 2", "line 3", "in 3", "line 4", "in 4"]
      )
    }))

  it.effect("are dropped beyond the limit, in every run; the result is not", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const limits = Context.make(Limits.EventLimit, 3)
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            runs++
            for (let i = 1; i <= 10; i++) yield* i % 2 === 0 ? Durable.log(i) : Durable.progress({ progress: i })
            if (runs === 1) return yield* Effect.never
            return "done"
          })
      }
      const first = yield* boot(handlers, { disk, limits })
      const stream = yield* first.call("tool", { progressToken: 1 })
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk, limits })
      assert.strictEqual(yield* answer(second, stream), "done")
      const all = yield* events(second, stream)
      assert.deepStrictEqual(all.map(({ data }) => data.progress ?? data.data ?? data.result.value), [
        1,
        2,
        3,
        "done"
      ])
    }))

  it.effect("progress only grows, also where a replay reports in another order", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            const values = ++runs === 1 ? [5, 3, Number.NaN] : [3, 5, 4, 7]
            for (const progress of values) {
              yield* Durable.progress({ progress })
            }
            return runs === 1 ? yield* Effect.never : "done"
          })
      }
      const first = yield* boot(handlers, { disk })
      const stream = yield* first.call("tool", { progressToken: 1 })
      yield* turns()
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* answer(second, stream)
      assert.deepStrictEqual(progressOf(yield* events(second, stream)), [5, 7])
    }))

  it.effect("without a token there is no progress", () =>
    Effect.gen(function*() {
      const server = yield* boot({ tool: () => Durable.progress({ progress: 1 }) })
      const stream = yield* server.call("tool")
      yield* answer(server, stream)
      assert.deepStrictEqual(yield* keys(server, stream), ["result"])
    }))

  it.effect("logs below the session's level are dropped without shifting the keys (S-LG2)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      let runs = 0
      const handlers = {
        tool: () =>
          Effect.gen(function*() {
            yield* Durable.log("detail", { level: "debug" })
            yield* Durable.log("news")
            yield* Durable.log("alarm", { level: "alert", logger: "l" })
            return ++runs === 1 ? yield* Effect.never : "done"
          })
      }
      const first = yield* boot(handlers, { disk })
      const level = (value: string, server: typeof first) =>
        server.store.commit([
          { _tag: "SetSession", id: "s", name: "logLevel", writeKey: value, value: JSON.stringify(value) }
        ])
      yield* first.store.commit([{ _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" }])
      yield* level("warning", first)
      const stream = yield* first.call("tool", { session: "s" })
      yield* turns()
      assert.deepStrictEqual((yield* events(first, stream)).map(({ data }) => data.data), ["alarm"])
      yield* first.kill
      const second = yield* boot(handlers, { disk })
      yield* level("debug", second)
      yield* answer(second, stream)
      const texts = (yield* events(second, stream)).map(({ data }) => data?.data).filter((text) => text !== undefined)
      assert.deepStrictEqual(texts.toSorted(), ["alarm", "detail", "news"])
    }))

  it.effect("in a retried step belong to their attempt", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () =>
          Durable.step("s", ({ attempt }) =>
            Effect.andThen(
              Durable.log(`attempt ${attempt}`),
              attempt === 1 ? Effect.fail("no") : Effect.void
            ), { error: Schema.String, retry: { times: 1, schedule: Schedule.spaced(0) } })
      })
      const stream = yield* server.call("tool")
      yield* answer(server, stream)
      assert.deepStrictEqual(yield* keys(server, stream), ["s@1/0", "s@2/0", "result"])
    }))

  it.effect("a disconnect is a control entry with its wait in the key", () =>
    Effect.gen(function*() {
      const server = yield* boot({
        tool: () => Effect.andThen(Durable.disconnect({ retryAfter: "2 seconds" }), Durable.disconnect())
      })
      const stream = yield* server.call("tool")
      yield* answer(server, stream)
      assert.deepStrictEqual(yield* keys(server, stream), ["disconnect/1/2000", "disconnect/2/1000", "result"])
    }))
})
