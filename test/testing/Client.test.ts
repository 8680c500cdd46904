/**
 * The scripted client: against a server that is scripted too, in simulated
 * crashes, and over real sockets.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { DurableMcp, MemoryStore } from "effect-durable-mcp"
import { HttpServer } from "effect/http"
import { TestClock } from "effect/testing"
import type * as JsonRpc from "../../src/session/JsonRpc.ts"
import * as Client from "../../src/testing/Client.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import { registrations } from "./server/tools.ts"

// -----------------------------------------------------------------------------
// A server by hand: what it gets, and what it answers to it
// -----------------------------------------------------------------------------

interface Got {
  readonly method: string
  readonly headers: Headers
  readonly body:
    & { readonly id?: number | string; readonly method?: string; readonly params?: any }
    & Record<string, any>
}

/** An answer; undefined: the connection is cut. */
type Answer = (got: Got) => Response | undefined

const accepted = () => new Response(null, { status: 202 })
const stream = (...events: ReadonlyArray<string>) =>
  new Response(events.join(""), { headers: { "content-type": "text/event-stream" } })
const event = (id: number, data: object | "", retry?: number) =>
  `id: s:${id}\n${retry === undefined ? "" : `retry: ${retry}\n`}data: ${data === "" ? "" : JSON.stringify(data)}\n\n`
const result = (id: number, result: unknown) => ({ jsonrpc: "2.0", id, result })
const progress = (n: number) => ({ jsonrpc: "2.0", method: "notifications/progress", params: { progress: n } })
const question = { jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "?" } }

/** A client of the server that answers so, one after the other, once the session is open. */
const connected = Effect.fnUntraced(function*(answers: ReadonlyArray<Answer>, options?: Partial<Client.Options>) {
  const got: Array<Got> = []
  const violations: Array<string> = []
  const received: Array<string> = []
  const left = answers.slice()
  const client = yield* Client.make({
    url: "http://127.0.0.1/mcp",
    connect: Effect.succeed({
      ...Client.overHttp,
      fetch: async (request) => {
        const text = await request.text()
        const it: Got = { method: request.method, headers: request.headers, body: text === "" ? {} : JSON.parse(text) }
        if (it.body.method === "initialize") {
          return Response.json(result(0, {}), { headers: { "mcp-session-id": "session" } })
        }
        if (it.body.method === "notifications/initialized") {
          return accepted()
        }
        got.push(it)
        const answer = left.shift()
        if (answer === undefined) {
          throw new Error(`Nothing is left to answer ${text}`)
        }
        const response = answer(it)
        if (response === undefined) {
          throw new TypeError("The connection was cut")
        }
        return response
      }
    }),
    capabilities: {},
    onEventId: () => {},
    onReceived: ({ text }) => received.push(text),
    onAnswered: () => {},
    onViolation: (text) => violations.push(text),
    ...options
  })
  return { client, got, violations, received }
})

const cut: Answer = () => undefined
const refuse = (status: number): Answer => () => new Response("no", { status })

/** Lets all that is ready happen, promises too. */
const settle = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

describe("what a client does about a connection that breaks", () => {
  it.effect("repeats a POST under the same id, ever later, until an answer begins (S-P10)", () =>
    Effect.gen(function*() {
      const { client, got } = yield* connected([cut, cut, () => stream(event(1, result(1, "done")))])
      const call = yield* Effect.forkChild(client.callTool("a", { b: 1 }))
      yield* settle
      assert.strictEqual(got.length, 1)
      yield* TestClock.adjust(100)
      yield* settle
      assert.strictEqual(got.length, 2)
      yield* TestClock.adjust(199)
      yield* settle
      assert.strictEqual(got.length, 2)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Fiber.join(call), { result: "done" })
      assert.deepStrictEqual(got.map(({ body }) => body), [got[0]!.body, got[0]!.body, got[0]!.body])
      assert.deepStrictEqual(got[0]!.body.params, { name: "a", arguments: { b: 1 }, _meta: { progressToken: 1 } })
    }))

  it.effect("comes back no sooner than a 503 says", () =>
    Effect.gen(function*() {
      const { client, got } = yield* connected([
        () => new Response("", { status: 503, headers: { "retry-after": "7" } }),
        accepted
      ])
      const told = yield* Effect.forkChild(client.notify("notifications/roots/list_changed"))
      yield* settle
      yield* TestClock.adjust(6999)
      yield* settle
      assert.strictEqual(got.length, 1)
      yield* TestClock.adjust(1)
      yield* Fiber.join(told)
    }))

  it.effect("resumes after the last event id, when the server said (S-R3, S-R6)", () =>
    Effect.gen(function*() {
      const { client, got, received, violations } = yield* connected([
        () => stream(event(0, "", 5000), event(1, progress(1))),
        () => stream(event(1, "", 5000), event(2, progress(2)), event(3, result(1, "done")))
      ])
      const call = yield* client.start("a")
      yield* call.received(1)
      yield* settle
      yield* TestClock.adjust(4999)
      yield* settle
      assert.strictEqual(got.length, 1)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* call.answer, { result: "done" })
      assert.deepStrictEqual([got[1]?.method, got[1]?.headers.get("last-event-id")], ["GET", "s:1"])
      assert.deepStrictEqual((yield* call.messages).map(({ params }) => params?.progress), [1, 2])
      assert.strictEqual(received.length, 3)
      assert.deepStrictEqual(violations, [])
    }))

  it.effect("drops a connection for as long as it is told", () =>
    Effect.gen(function*() {
      const open = (first: string) =>
        new Response(new ReadableStream({ start: (it) => it.enqueue(new TextEncoder().encode(first)) }), {
          headers: { "content-type": "text/event-stream" }
        })
      const { client, got } = yield* connected([
        () => open(event(1, progress(1))),
        () => stream(event(2, result(1, "done")))
      ])
      const call = yield* client.start("a")
      yield* call.received(1)
      yield* call.drop("3 minutes")
      yield* settle
      yield* TestClock.adjust("2 minutes")
      yield* settle
      assert.strictEqual(got.length, 1)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* call.answer, { result: "done" })
    }))
})

describe("what a client lets no server do", () => {
  const violates = (
    what: string,
    answers: ReadonlyArray<Answer>,
    script: (client: Client.Client) => Effect.Effect<unknown>,
    expected: ReadonlyArray<string>
  ) =>
    it.effect(what, () =>
      Effect.gen(function*() {
        const { client, violations } = yield* connected(answers, { answer: () => Effect.void })
        const done = yield* Effect.forkChild(script(client))
        while (done.pollUnsafe() === undefined) {
          yield* settle
          yield* TestClock.adjust("10 seconds")
        }
        assert.deepStrictEqual(violations, expected)
      }))

  const asking = () => stream(event(1, question))
  const done = () => stream(event(2, result(1, "done")))
  const answering = (...replies: ReadonlyArray<(question: Client.Question) => Effect.Effect<void>>) =>
    Effect.fnUntraced(function*(client: Client.Client) {
      const call = yield* client.start("a")
      const asked = yield* client.question
      for (const reply of replies) {
        yield* reply(asked)
      }
      return yield* call.answer
    })
  const accept = (question: Client.Question) => question.reply({ action: "accept", content: {} })

  violates("refuse the first answer to a question (S-P6)", [asking, refuse(400), done], answering(accept), [
    "the server refused answer to elicitation/create: 400 no"
  ])
  violates(
    "refuse a further answer while the call waits",
    [asking, accepted, refuse(400), done],
    answering(accept, (question) => question.fail({ code: -1, message: "too late" })),
    ["the server refused answer to elicitation/create: 400 no"]
  )
  violates(
    "but refuse what is no answer",
    [asking, refuse(400), refuse(400), done],
    answering((question) => question.reply("what?"), (question) => question.fail({ code: 0.5, message: "half" })),
    []
  )
  violates(
    "refuse a repeat",
    [cut, refuse(400)],
    (client) => client.callTool("a"),
    ["the server refused tools/call: 400 no"]
  )
  violates("but refuse a request", [refuse(429)], (client) => client.callTool("a"), [])
  violates(
    "but refuse another request under the same id, also when that is repeated",
    [() => stream(event(1, result(7, 1))), cut, refuse(400)],
    (client) =>
      Effect.andThen(
        client.callTool("a", {}, { id: 7 }),
        client.callTool("b", {}, { id: 7 })
      ),
    []
  )
  violates(
    "refuse a resume (S-R7)",
    [() => stream(event(0, "", 10)), refuse(400)],
    (client) => client.callTool("a"),
    ["the server refused to resume call 1 from s:0: 400 no"]
  )
  violates("forget a session (S-S5)", [refuse(404)], (client) => client.callTool("a"), [
    "the server refused tools/call: 404 no"
  ])
  violates(
    "remember a session that has ended (S-S5)",
    [() => new Response(null, { status: 204 }), accepted, refuse(404)],
    (client) =>
      Effect.all([client.end, client.notify("notifications/roots/list_changed"), client.callTool("a")], {
        discard: true
      }),
    ["the server answered 202 and not 404 after the session had ended"]
  )
  violates("but say so to a repeated DELETE", [cut, refuse(404)], (client) => client.end, [])
  violates("refuse to end a session", [refuse(404)], (client) => client.end, [
    "the server refused to end the session: 404 no"
  ])
  violates(
    "change an event that was seen on another connection (S-R1)",
    [
      () => stream(event(1, progress(1)), event(2, result(1, "done"))),
      () => stream(event(1, progress(9)), event(2, result(1, "done")))
    ],
    (client) => Effect.flatMap(client.start("a"), (call) => Effect.andThen(call.answer, call.repeat)),
    [`call 1: event s:1 is ${JSON.stringify(progress(9))}, and was ${JSON.stringify(progress(1))}`]
  )
  violates("answer another request", [() => stream(event(1, result(2, "done")))], (client) => client.callTool("a"), [
    "call 1: the answer has the id 2"
  ])
})

// -----------------------------------------------------------------------------
// A server of this package, killed at every operation on its store
// -----------------------------------------------------------------------------

describe("what a script can do, whatever crashes", () => {
  const survives = <A>(
    what: string,
    script: (client: Client.Client) => Effect.Effect<A>,
    value: A,
    /** Random runs, where a run has many points. Default: every point. */
    runs?: number
  ) =>
    it.live(what, () =>
      Effect.gen(function*() {
        const options = CrashTest.define({ registrations, script, answer: () => Effect.void, expect: { value } })
        const report = yield* runs === undefined
          ? CrashTest.exhaustive({ ...options, kinds: ["Crash"] })
          : CrashTest.random({ ...options, kinds: ["Crash"], runs, seed: 1 })
        assert.isAbove(report.crashes, 10)
      }), 60_000)

  survives(
    "calls, and other requests",
    (client) =>
      Effect.gen(function*() {
        const read = yield* client.request("resources/read", { uri: "test://a" })
        const [first, second] = yield* Effect.all([
          client.callTool("count", { n: 2, millis: 10 }),
          client.callTool("count", { n: 1, millis: 5 }, { id: "1" })
        ], { concurrency: "unbounded" })
        return ["result" in read, textOf(first), textOf(second)]
      }),
    [true, "3", "1"],
    30
  )

  survives(
    "an answer that comes twice: the first one counts",
    (client) =>
      Effect.gen(function*() {
        const call = yield* client.start("ask")
        const question = yield* client.question
        yield* question.reply({ action: "accept", content: { ok: true } })
        yield* question.reply({ action: "accept", content: { ok: false } })
        const answer = textOf(yield* call.answer)
        yield* question.fail({ code: -1, message: "no" })
        return answer
      }),
    "Accepted true",
    30
  )

  survives(
    "an answer that comes late",
    (client) =>
      Effect.gen(function*() {
        const call = yield* client.start("ask")
        const question = yield* client.question
        yield* Effect.sleep("14 seconds")
        const answer = textOf(yield* call.answer)
        yield* question.reply({ action: "accept", content: { ok: true } })
        return answer
      }),
    "TimedOut"
  )

  survives(
    "an answer that is none, and an error",
    (client) =>
      Effect.gen(function*() {
        const one = yield* client.start("ask")
        yield* Effect.flatMap(client.question, (question) => question.reply("what?"))
        const two = yield* client.start("ask")
        yield* Effect.flatMap(client.question, (question) => question.fail({ code: -1, message: "no" }))
        return [textOf(yield* one.answer), textOf(yield* two.answer)]
      }),
    ["Failed", "Failed"],
    30
  )

  survives(
    "a cancel (S-C1, S-C6)",
    (client) =>
      Effect.gen(function*() {
        const call = yield* client.start("sleep")
        yield* call.cancel("enough")
        const answer = yield* call.answer
        yield* call.cancel("again")
        return "error" in answer ? answer.error.code : 0
      }),
    204
  )

  survives(
    "a dropped connection, and a repeated POST",
    (client) =>
      Effect.gen(function*() {
        const call = yield* client.start("count", { n: 4, millis: 1000 })
        yield* call.received(1)
        yield* call.drop("2 seconds")
        yield* call.repeat
        const answer = textOf(yield* call.answer)
        yield* call.repeat
        return [answer, (yield* call.messages).length]
      }),
    ["10", 4]
  )

  survives(
    "the end of a session with a call in it (S-S5)",
    (client) =>
      Effect.gen(function*() {
        const call = yield* client.start("sleep")
        yield* client.end
        return [yield* call.answer, yield* client.callTool("sleep")].map((answer) =>
          "error" in answer ? answer.error.code : 0
        )
      }),
    [404, 404]
  )

  survives(
    "a client that vanishes, while another one stays",
    (client) =>
      Effect.gen(function*() {
        const other = yield* client.another()
        const call = yield* client.start("count", { n: 3, millis: 1000 })
        const theirs = yield* other.start("count", { n: 3, millis: 1000 })
        yield* call.received(1)
        yield* client.vanish
        const answer = yield* call.answer
        return ["error" in answer ? answer.error.code : 0, textOf(yield* theirs.answer)]
      }),
    [499, "6"]
  )
})

// -----------------------------------------------------------------------------
// The same over real sockets
// -----------------------------------------------------------------------------

describe("over HTTP", () => {
  const Server = DurableMcp.serveNode({ port: 0, disableListenLog: true })(
    DurableMcp.layerHttp({ name: "client", version: "1.0.0", path: "/mcp", registrations })
  ).pipe(Layer.provide(MemoryStore.layer))

  /** A client, and what must not have happened to it. */
  const overHttp = Effect.fnUntraced(function*() {
    const violations: Array<string> = []
    const client = yield* Client.make({
      url: `${yield* HttpServer.addressFormattedWith(Effect.succeed)}/mcp`,
      connect: Effect.succeed(Client.overHttp),
      answer: () => Effect.void,
      capabilities: { elicitation: {} },
      onEventId: () => {},
      onReceived: () => {},
      onAnswered: () => {},
      onViolation: (text) => violations.push(text)
    })
    return { client, violations }
  })

  const onServer = (what: string, test: (client: Client.Clients) => Effect.Effect<void>) =>
    it.live(what, () =>
      Effect.gen(function*() {
        const { client, violations } = yield* overHttp()
        yield* test(client)
        yield* client.settled
        assert.deepStrictEqual(violations, [])
      }).pipe(Effect.scoped, Effect.provide(Server)))

  onServer("calls, drops, resumes and repeats", (client) =>
    Effect.gen(function*() {
      const call = yield* client.start("count", { n: 4, millis: 20 })
      yield* call.received(1)
      yield* call.drop("10 millis")
      yield* call.repeat
      assert.strictEqual(textOf(yield* call.answer), "10")
      assert.deepStrictEqual((yield* call.messages).map(({ params }) => params?.progress), [1, 2, 3, 4])
    }))

  onServer("cancels, ends its session, and is another client (S-C1, S-S5)", (client) =>
    Effect.gen(function*() {
      const other = yield* client.another()
      const call = yield* client.start("sleep")
      yield* call.cancel()
      assert.deepInclude(yield* call.answer, { error: { code: 204, message: "The call ended without an answer" } })
      const unfinished = yield* client.start("sleep")
      yield* client.end
      assert.nestedPropertyVal(yield* unfinished.answer, "error.code", 404)
      assert.nestedPropertyVal(yield* client.callTool("sleep"), "error.code", 404)
      assert.strictEqual(textOf(yield* other.callTool("count", { n: 1, millis: 1 })), "1")
    }))

  onServer("vanishes", (client) =>
    Effect.gen(function*() {
      const call = yield* client.start("ask")
      yield* client.question
      yield* client.vanish
      assert.nestedPropertyVal(yield* call.answer, "error.code", 499)
      assert.nestedPropertyVal(yield* client.callTool("ask"), "error.code", 499)
    }))

  onServer("hears what belongs to no call, and replays it", (client) =>
    Effect.gen(function*() {
      yield* client.request("resources/subscribe", { uri: "test://a" })
      yield* client.listen
      yield* client.callTool("touch")
      yield* client.hears(1)
      yield* client.callTool("touch")
      yield* client.hears(2)
      assert.deepStrictEqual((yield* client.heard).map(({ method, params }) => [method, params?.uri]), [
        ["notifications/resources/updated", "test://a"],
        ["notifications/resources/updated", "test://a"]
      ])
    }))
})

const textOf = (answer: JsonRpc.Answer): string | undefined => {
  const { content } = ("result" in answer ? answer.result : {}) as {
    readonly content?: ReadonlyArray<{ readonly text?: string }>
  }
  return content?.[0]?.text
}
