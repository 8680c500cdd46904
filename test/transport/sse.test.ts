import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Scope, Stream } from "effect"
import type { HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import type { Follow } from "../../src/protocol/Reply.ts"
import * as Heartbeat from "../../src/transport/internal/heartbeat.ts"
import { follow, type Log, makeApp, makeLog, post } from "./harness.ts"

const ask = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call" })

const open = Effect.fnUntraced(function*(log: Log, reply: Partial<Follow> = {}) {
  const app = yield* makeApp({ post: () => Effect.succeed({ ...follow, ...reply }) }, { log })
  return { ...app, response: yield* app.send(post(ask)) }
})

/** Reads the body in steps: what has been written since the last look. */
const read = Effect.fnUntraced(function*(response: HttpServerResponse.HttpServerResponse) {
  const { body } = response
  if (body._tag !== "Stream") return yield* Effect.die(new Error(`The body is ${body._tag}`))
  const scope = yield* Scope.make()
  let text = ""
  let ended = false
  const fiber = yield* body.stream.pipe(
    Stream.runForEach((chunk) => Effect.sync(() => text += new TextDecoder().decode(chunk))),
    Effect.ensuring(Effect.sync(() => ended = true)),
    Effect.forkIn(scope)
  )
  return {
    look: Effect.gen(function*() {
      yield* TestClock.adjust(0)
      const seen = text
      text = ""
      return seen
    }),
    hasEnded: () => ended,
    exit: () => fiber.pollUnsafe(),
    disconnect: Scope.close(scope, Exit.void)
  }
})

const textOf = ({ body }: HttpServerResponse.HttpServerResponse): string | undefined =>
  body._tag === "Uint8Array" ? body.text : undefined

describe("Sse", () => {
  it.effect("a stream that is complete is one body with its length, priming first (S-R3, S-R8)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      log.append({ data: "{\"a\":1}" })
      log.append({ data: "{\"result\":1}", last: true })
      const { response } = yield* open(log)
      assert.strictEqual(
        textOf(response),
        "id: 7:0\nretry: 1000\ndata: \n\nid: 7:1\ndata: {\"a\":1}\n\nid: 7:2\ndata: {\"result\":1}\n\n"
      )
      assert.strictEqual(response.headers["content-type"], "text/event-stream")
      assert.strictEqual(log.followers(), 0)
    }))

  it.effect("has the headers of S-R10 and those of the reply", () =>
    Effect.gen(function*() {
      const { response } = yield* open(makeLog(), { headers: { "mcp-session-id": "s" } })
      assert.strictEqual(response.headers["cache-control"], "no-cache, no-transform")
      assert.strictEqual(response.headers["x-accel-buffering"], "no")
      assert.strictEqual(response.headers["mcp-session-id"], "s")
    }))

  it.effect("an open stream is written as it grows and ends with its last event (S-R8, S-P13)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      log.append({ data: "1" })
      const { response } = yield* open(log)
      const client = yield* read(response)
      assert.strictEqual(yield* client.look, "id: 7:0\nretry: 1000\ndata: \n\nid: 7:1\ndata: 1\n\n")
      log.append({ data: "2" })
      log.append({ data: "3" })
      assert.strictEqual(yield* client.look, "id: 7:2\ndata: 2\n\nid: 7:3\ndata: 3\n\n")
      assert.isFalse(client.hasEnded())
      log.append({ data: "4", last: true })
      assert.strictEqual(yield* client.look, "id: 7:4\ndata: 4\n\n")
      assert.isTrue(client.hasEnded())
      assert.strictEqual(log.followers(), 0)
    }))

  it.effect("headers are not held back until the first event: without priming there is a comment", () =>
    Effect.gen(function*() {
      const { response } = yield* open(makeLog(), { priming: false, version: "2025-06-18" })
      const client = yield* read(response)
      assert.strictEqual(yield* client.look, ":\n\n")
    }))

  it.effect("a new standalone stream says its id before it takes a message: nobody could come back for it (S-R3, S-P18)", () =>
    Effect.gen(function*() {
      let polls = 0
      const log = makeLog({ onPoll: () => polls++ })
      log.append({ data: "1" })
      const { response } = yield* open(log, { session: "s" })
      assert.strictEqual(response.body._tag, "Stream")
      const stream = response.body._tag === "Stream" ? response.body.stream : Stream.empty
      const [first] = yield* Stream.runCollect(Stream.take(stream, 1))
      assert.strictEqual(new TextDecoder().decode(first), "id: 7:0\nretry: 1000\ndata: \n\n")
      assert.strictEqual(polls, 0)
    }))

  it.effect("a resumed stream has only what is after its position (S-R6)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      for (const data of ["1", "2", "3"]) log.append({ data })
      log.append({ data: "4", last: true })
      const { response } = yield* open(log, { afterSeq: 2, priming: false })
      assert.strictEqual(textOf(response), "id: 7:3\ndata: 3\n\nid: 7:4\ndata: 4\n\n")
    }))

  it.effect("a cancelled call ends without a response, also when its end comes late (S-C6)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      const { response } = yield* open(log)
      const client = yield* read(response)
      yield* client.look
      log.append({ key: "end", last: true })
      assert.strictEqual(yield* client.look, "")
      assert.isTrue(client.hasEnded())
    }))

  it.effect("disconnect closes the response with a retry line under an id of its own (S-R4, S-R5)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      const { response } = yield* open(log)
      const client = yield* read(response)
      yield* client.look
      log.append({ data: "1" })
      log.append({ key: "disconnect/1/250" })
      log.append({ data: "3" })
      assert.strictEqual(yield* client.look, "id: 7:1\ndata: 1\n\nid: 7:2\nretry: 250\ndata: \n\n")
      assert.isTrue(client.hasEnded())

      const resumed = yield* read((yield* open(log, { afterSeq: 2 })).response)
      assert.strictEqual(yield* resumed.look, "id: 7:2\nretry: 1000\ndata: \n\nid: 7:3\ndata: 3\n\n")
    }))

  it.effect("disconnect is ignored before 2025-11-25 (S-P14)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      log.append({ key: "disconnect/1/250" })
      log.append({ data: "2", last: true })
      const { response } = yield* open(log, { priming: false, version: "2025-06-18" })
      assert.strictEqual(textOf(response), "id: 7:2\ndata: 2\n\n")
    }))

  it.effect("silence is filled with comments (S-R10, S-I2)", () =>
    Effect.gen(function*() {
      const log = makeLog()
      const { response } = yield* open(log)
      const client = yield* read(response)
      yield* client.look
      yield* TestClock.adjust("14 seconds")
      assert.strictEqual(yield* client.look, "")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* client.look, ":\n\n")
      yield* TestClock.adjust("10 seconds")
      log.append({ data: "1" })
      assert.strictEqual(yield* client.look, "id: 7:1\ndata: 1\n\n")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* client.look, "")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* client.look, ":\n\n")
    }))

  it.effect("a client that goes leaves no follower behind", () =>
    Effect.gen(function*() {
      const log = makeLog()
      const { response } = yield* open(log)
      const client = yield* read(response)
      yield* client.look
      assert.strictEqual(log.followers(), 1)
      yield* client.disconnect
      assert.strictEqual(log.followers(), 0)
    }))

  it.effect("a response that nobody reads holds no follower", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* open(log)
      assert.strictEqual(log.followers(), 0)
    }))

  it.effect("shutdown ends open streams as if they were complete", () =>
    Effect.gen(function*() {
      const log = makeLog()
      const { response, shutdown } = yield* open(log)
      const client = yield* read(response)
      yield* client.look
      yield* shutdown
      assert.strictEqual(yield* client.look, "")
      const exit = client.exit()
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
    }))

  describe("heartbeat", () => {
    const values = (text: string): ReadonlyArray<number> =>
      Array.from(text.matchAll(/^data: (\{.*\})$/gm), ([, data]) => JSON.parse(data!).params.progress)

    const progress = (value: number, token: string | number = "t") =>
      JSON.stringify({ method: "notifications/progress", params: { progressToken: token, progress: value } })

    it.effect("a silent call reports strictly more each time, below zero before the handler does", () =>
      Effect.gen(function*() {
        const log = makeLog()
        const { response } = yield* open(log, { progressToken: "t" })
        const client = yield* read(response)
        yield* client.look
        yield* TestClock.adjust("1 minute")
        const text = yield* client.look
        assert.notInclude(text, "id:")
        const beats = values(text)
        assert.strictEqual(beats.length, 4)
        beats.reduce((last, beat) => {
          assert.isAbove(beat, last)
          return beat
        }, -1e-6)
        assert.isBelow(beats.at(-1)!, 0)
      }))

    it.effect("stays between the handler's last value and its next, from one follower to the next", () =>
      Effect.gen(function*() {
        const log = makeLog()
        const first = yield* read((yield* open(log, { progressToken: "t" })).response)
        yield* first.look
        log.append({ data: progress(5) })
        log.append({ data: progress(70, "other") })
        yield* first.look
        yield* TestClock.adjust("30 seconds")
        const [before] = values(yield* first.look)
        yield* first.disconnect

        // It knows the value from the log: nobody writes it again.
        const second = yield* read((yield* open(log, { progressToken: "t", afterSeq: 2, priming: false })).response)
        yield* second.look
        yield* TestClock.adjust("15 seconds")
        const [after] = values(yield* second.look)
        assert.isAbove(before!, 5)
        assert.isAbove(after!, before!)
        assert.isBelow(after!, 5 + 1e-6)
      }))

    it.effect("is left out where the handler reported itself", () =>
      Effect.gen(function*() {
        const log = makeLog()
        const client = yield* read((yield* open(log, { progressToken: "t" })).response)
        yield* client.look
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(values(yield* client.look).length, 1)
        log.append({ data: progress(1) })
        yield* client.look
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(yield* client.look, ":\n\n")
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(values(yield* client.look).length, 1)
      }))

    it.effect("is due also while other messages fill the stream", () =>
      Effect.gen(function*() {
        const log = makeLog()
        const client = yield* read((yield* open(log, { progressToken: "t" })).response)
        yield* client.look
        let text = ""
        for (let i = 0; i < 40; i++) {
          yield* TestClock.adjust("1 second")
          log.append({ data: "{\"method\":\"notifications/message\"}" })
          text += yield* client.look
        }
        assert.strictEqual(text.match(/notifications\/progress/g)?.length, 2)
      }))

    it.effect("goes on, and grows, where the wall clock is set back", () =>
      Effect.gen(function*() {
        const clock = yield* Clock.Clock
        let setBack = 0
        const wall = () => clock.currentTimeMillisUnsafe() - setBack
        const wrong: Clock.Clock = Object.assign(Object.create(clock), {
          currentTimeMillisUnsafe: wall,
          currentTimeMillis: Effect.sync(wall)
        })
        const pass = Effect.provideService(TestClock.adjust("30 seconds"), Clock.Clock, clock)
        yield* Effect.gen(function*() {
          const client = yield* read((yield* open(makeLog(), { progressToken: "t" })).response)
          yield* client.look
          yield* pass
          const before = values(yield* client.look)
          setBack = 3_600_000
          yield* pass
          const after = values(yield* client.look)
          assert.strictEqual(before.length, 2)
          assert.strictEqual(after.length, 2)
          assert.isAbove(after[0]!, before[1]!)
          assert.isAbove(after[1]!, after[0]!)
        }).pipe(Effect.provideService(Clock.Clock, wrong))
      }))

    it.effect("none without a token", () =>
      Effect.gen(function*() {
        const client = yield* read((yield* open(makeLog())).response)
        yield* client.look
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* client.look, ":\n\n:\n\n:\n\n:\n\n")
      }))

    it("none where a double cannot hold it", () => {
      const minute = 60_000
      assert.isUndefined(Heartbeat.valueAt(1e12, minute, 15_000))
      assert.isUndefined(Heartbeat.valueAt(0, 0, 15_000))
      let last = 1000
      for (let age = 15_000; age < 7 * 24 * 60 * minute; age += 7 * 15_000) {
        const value = Heartbeat.valueAt(1000, age, 15_000)
        if (value === undefined) continue
        assert.isAbove(value, last)
        assert.isBelow(value, 1000 + 1e-6)
        last = value
      }
      assert.isAbove(last, 1000 + 8e-7)
    })
  })
})
