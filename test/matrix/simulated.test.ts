/**
 * The kill-point matrix (7.5) in the kit's simulation, on each of its disks. Of
 * every run the kit checks what the matrix asks of all rows: no refusal, each
 * event exactly once and in order, one answer and then EOF, each question once, a
 * replay that gives the same; and that the script's value is that of the run
 * without crashes. Rows add what is theirs alone.
 *
 * Deploys need a process with other code: `killed.test.ts` has these rows.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Schema } from "effect"
import { CrashTest, Disk } from "effect-durable-mcp/testing"
import type { Client, Schedule } from "effect-durable-mcp/testing"
import { after, around, before, type KillPoint, points, toFault, within } from "./KillPoint.ts"
import { registrations, watched } from "./program.ts"

type Json = Schema.Json
type Program = (client: Client.Client) => Effect.Effect<unknown>

/** The first answer counts, and comes when the question has been on the wire for a while. */
const answer = (question: Client.Question): Effect.Effect<Json> =>
  question.method === "roots/list"
    ? Effect.succeed({ roots: [{ uri: `file:///${question.call}` }] })
    : Effect.as(Effect.sleep("1 second"), { action: "accept", content: { people: 4 } })

/** The same, when the call has long been out of memory. */
const lateAnswer = (question: Client.Question): Effect.Effect<Json> =>
  Effect.andThen(Effect.sleep("1 minute"), answer(question))

/** The user presses twice, and the second time something else. */
const answerTwice = (question: Client.Question) =>
  Effect.gen(function*() {
    yield* question.reply(yield* answer(question))
    yield* question.reply({ action: "accept", content: { people: 99 } })
  })

const tool = (name: string, args: Readonly<Record<string, Json>> = {}): Program => (client) =>
  client.callTool(name, args)

const ping: Program = (client) => client.request("ping")

/** A call that has begun to wait, after its first progress message. */
const waiting = Effect.fnUntraced(function*(client: Client.Client) {
  const call = yield* client.start("patient")
  yield* call.received(1)
  return call
})

const cancel: Program = Effect.fnUntraced(function*(client) {
  const call = yield* waiting(client)
  yield* call.cancel()
  return yield* call.answer
})

const leave: Program = Effect.fnUntraced(function*(client) {
  const call = yield* waiting(client)
  yield* client.end
  return [yield* call.answer, yield* client.request("ping")]
})

const setLevel: Program = Effect.fnUntraced(function*(client) {
  const ack = yield* client.request("logging/setLevel", { level: "error" })
  const call = yield* client.start("talk")
  yield* call.answer
  return [ack, yield* call.messages]
})

const subscribe: Program = Effect.fnUntraced(function*(client) {
  const ack = yield* client.request("resources/subscribe", { uri: watched })
  yield* client.listen
  yield* client.callTool("touch")
  yield* client.hears(1)
  return [ack, yield* client.heard]
})

const changeRoots: Program = Effect.fnUntraced(function*(client) {
  const first = yield* client.callTool("roots")
  yield* client.notify("notifications/roots/list_changed")
  return [first, yield* client.callTool("roots"), yield* client.callTool("roots")]
})

interface Row {
  readonly between: string
  readonly asserts: string
  readonly script: Program
  readonly fault: (whole: CrashTest.Run<unknown>) => Schedule.Fault
  readonly answer?: CrashTest.Options<unknown>["answer"]
  readonly allowed?: CrashTest.Options<unknown>["allowed"]
  readonly expect?: CrashTest.Expectations<unknown>
}

const at = (point: KillPoint): Row["fault"] => (whole) => toFault(point, whole.operations[0] ?? [])

/** Half a second after the client got something like this. */
const afterTheClientGot = (what: RegExp): Row["fault"] => ({ timeline }) => {
  const entry = timeline.find(({ lane, text }) => lane === "client" && what.test(text))
  assert.isDefined(entry, `The client did not get ${what}`)
  return { _tag: "CrashAfter", ms: entry.at + 500 }
}

const row = (
  between: string,
  asserts: string,
  script: Program,
  fault: Row["fault"],
  rest?: Pick<Row, "answer" | "allowed" | "expect">
): Row => ({ between, asserts, script, fault, ...rest })

const once = (...names: ReadonlyArray<string>) => ({ expect: { exactlyOnce: names } })
const cancelled = {
  expect: {
    exactlyOnce: ["seat", "undo seat"],
    satisfies: ({ world }: CrashTest.Run<unknown>) => world.effects.has("late") ? ["it went on"] : []
  }
}

const rows: ReadonlyArray<Row> = [
  row(
    "session commit / response header",
    "no 404 for ids that the client saw (S-S1, S-S5)",
    ping,
    at(after(points.opened))
  ),
  row(
    "header / `initialized`",
    "no 404; questions only after it (S-S5, S-L5)",
    tool("ask"),
    at(before(points.initialized))
  ),
  row("`initialized` stored / its 202", "questions are put (S-L5)", tool("ask"), at(after(points.initialized))),

  row(
    "request received / accepted",
    "one response, one effect (S-P10)",
    tool("charge"),
    at(before(points.accepted)),
    once("charge")
  ),
  row(
    "request accepted / priming",
    "one response, one effect (S-P10, S-R3)",
    tool("charge"),
    at(after(points.accepted)),
    once("charge")
  ),
  row(
    "its stream stored / its execution not",
    "one response, one effect (S-P10)",
    tool("hesitate"),
    at(within(points.accepted, 1)),
    once("charge")
  ),
  row(
    "priming / handler start",
    "resume by the priming id reaches the one response (S-R3, S-R8)",
    tool("hesitate"),
    () => ({ _tag: "CrashAfter", ms: 150 }),
    once("charge")
  ),
  row(
    "handler start / first effect",
    "one effect (S-R3)",
    tool("hesitate"),
    at(around("before", "charge")),
    once("charge")
  ),

  row(
    "effect done / outcome journalled: idempotent",
    "again under the same key (D-6)",
    tool("charge"),
    at(around("after", "charge")),
    {
      expect: { exactlyOnce: ["charge"], satisfies: ({ repeated }) => repeated === 1 ? [] : ["it was not repeated"] }
    }
  ),
  row(
    "effect done / outcome journalled: at most once",
    "the outcome is unknown (D-6)",
    tool("mail"),
    at(around("after", "mail")),
    {
      expect: {
        exactlyOnce: ["mail"],
        satisfies: ({ value }) => JSON.stringify(value).includes("unknown") ? [] : [JSON.stringify(value)]
      }
    }
  ),
  row(
    "effect not done / outcome journalled: at most once",
    "the outcome is unknown (D-6)",
    tool("mail"),
    at(around("before", "mail")),
    {
      expect: {
        atMostOnce: ["mail"],
        satisfies: ({ value, world }) =>
          !JSON.stringify(value).includes("unknown") || world.effects.has("mail") ? [JSON.stringify(value)] : []
      }
    }
  ),
  row(
    "effect done / outcome journalled: at most once, not handled",
    "failed with a clear error (D-6)",
    tool("post"),
    at(around("after", "mail")),
    {
      expect: {
        exactlyOnce: ["mail"],
        satisfies: ({ value }) => /"isError":true/.test(JSON.stringify(value)) ? [] : [JSON.stringify(value)]
      }
    }
  ),

  row(
    "event received / appended",
    "each event exactly once, in order; then EOF (S-R1, S-R6)",
    tool("walk", { n: 4 }),
    at(before(points.progress, 3))
  ),
  row(
    "event appended / written",
    "each event exactly once, in order; then EOF (S-R1, S-R6)",
    tool("walk", { n: 4 }),
    at(after(points.progress, 2))
  ),
  row(
    "response received / appended",
    "the response once; then EOF (S-R8)",
    tool("walk", { n: 4 }),
    at(before(points.result))
  ),
  row(
    "response appended / call completed",
    "the response once; then EOF (S-R8)",
    tool("walk", { n: 4 }),
    at(within(points.result, 1))
  ),
  row(
    "response appended / stream closed",
    "the response once; then EOF (S-R8)",
    tool("walk", { n: 4 }),
    at(after(points.result))
  ),

  row(
    "elicitation recorded / its deadline",
    "one question (S-O3)",
    tool("ask"),
    at(within(points.question, 1)),
    once("book")
  ),
  row(
    "its deadline / elicitation appended",
    "one question (S-O3)",
    tool("ask"),
    at(within(points.question, 2)),
    once("book")
  ),
  row("elicitation appended / sent", "one question (S-O3)", tool("ask"), at(after(points.question)), once("book")),
  row(
    "elicitation sent / answered",
    "one question, its answer counts (S-P5)",
    tool("ask"),
    afterTheClientGot(/elicitation/),
    once("book")
  ),
  row(
    "elicitation sent / answered, parked",
    "one question, its answer counts (S-P5)",
    tool("ask"),
    afterTheClientGot(/elicitation/),
    {
      ...once("book"),
      answer: lateAnswer
    }
  ),
  row(
    "answer received / stored",
    "one question, its answer counts (S-P5)",
    tool("ask"),
    at(before(points.answered)),
    once("book")
  ),
  row(
    "answer stored / 202",
    "a duplicate POST is 202, the first answer counts (S-P5, D-1)",
    tool("ask"),
    at(after(points.answered)),
    {
      ...once("book"),
      answer: answerTwice
    }
  ),
  row("202 / handler resumed", "nobody is asked again (S-P5)", tool("ask"), at(before("^run ")), {
    ...once("book"),
    answer: lateAnswer
  }),

  row(
    "cancel received / stored",
    "no response, no further effects (S-C1, S-C6)",
    cancel,
    at(before(points.cancelled)),
    cancelled
  ),
  row(
    "cancel stored / 202",
    "no response, no further effects (S-C1, S-C6)",
    cancel,
    at(after(points.cancelled)),
    cancelled
  ),
  row(
    "202 / handler interrupted",
    "no response, no further effects (S-C1, S-C6)",
    cancel,
    at(around("before", "seat/%compensate")),
    cancelled
  ),

  row("setLevel received / stored", "in force after the ack (S-LG2)", setLevel, at(before("SetSession logLevel"))),
  row("setLevel stored / {}", "in force after the ack (S-LG2)", setLevel, at(after("SetSession logLevel"))),
  row(
    "subscribe received / stored",
    "in force after the ack (S-RS4)",
    subscribe,
    at(before("SetSession subscriptions"))
  ),
  row("subscribe stored / {}", "in force after the ack (S-RS4)", subscribe, at(after("SetSession subscriptions"))),
  row(
    "roots/list_changed received / stored",
    "asked anew, once (S-O1)",
    changeRoots,
    at(before("SetSession rootsGeneration"))
  ),
  row(
    "roots/list_changed stored / 202",
    "asked anew, once (S-O1)",
    changeRoots,
    at(after("SetSession rootsGeneration"))
  ),

  row(
    "DELETE: received / tombstone",
    "404 afterwards; children cancelled (S-S5, S-S7)",
    leave,
    at(before(points.ended)),
    cancelled
  ),
  row(
    "DELETE: tombstone / children cancelled",
    "404 afterwards; children cancelled on boot (S-S5, S-S7)",
    leave,
    at(after(points.ended)),
    cancelled
  ),
  row(
    "DELETE: a child cancelled / interrupted",
    "404 afterwards; children cancelled on boot (S-S5, S-S7)",
    leave,
    at(after(points.cancelled)),
    cancelled
  ),

  row(
    "two owners",
    "the stale one is fenced or the newcomer refused; nothing twice (D-2, S-P18)",
    tool("ask"),
    (whole) => {
      const put = toFault(after(points.question), whole.operations[0] ?? [])
      assert(put._tag === "Crash")
      return { _tag: "SecondProcess", at: put.at + 1 }
    },
    once("book")
  )
]

describe.each([Disk.memory, Disk.sqlite()])("a process that dies ($name) between (7.5)", (disk) => {
  for (const { asserts, between, fault, script, ...rest } of rows) {
    it.live(`${between}: ${asserts}`, () =>
      Effect.gen(function*() {
        const program = { registrations: registrations(), disk, script, answer, ...rest }
        const whole = yield* CrashTest.run({ ...program, expect: undefined })
        const run = yield* CrashTest.run({ ...program, expect: undefined, crashes: [fault(whole)] })
        yield* run.assert(rest.expect ?? {})
        assert.strictEqual(run.schedule.length, 1)
      }))
  }
})
