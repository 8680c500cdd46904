/**
 * The kill-point matrix (7.5 of the requirements), each row split into its single
 * kill points: where the process dies, what the client does, what must be on the
 * wire. Rows whose feature is not built (tasks, the stateless era) are not here.
 *
 * These are killed by a real SIGKILL (`killed.test.ts`, `npm run kills`), and go on
 * on another node; the simulated ones are in `simulated.test.ts`.
 */
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { messagesOf } from "../wire/raw.ts"
import { after, around, before, type KillPoint, points, within } from "./KillPoint.ts"
import { type Nodes, until } from "./Nodes.ts"
import { watched } from "./program.ts"
import * as Wire from "./Wire.ts"

export interface Row {
  /** As 7.5 has it: what the kill falls between. */
  readonly between: string
  /** What must be on the wire, and the requirements that say so. */
  readonly asserts: string
  readonly run: (nodes: Nodes["Service"]) => Effect.Effect<void, never, Scope.Scope>
}

const row = (between: string, asserts: string, run: Row["run"]): Row => ({ between, asserts, run })

export const accepted = { action: "accept", content: { people: 4 } }
export const textOf = (response: any): any => response?.result?.content?.[0]?.text

/** Arms the process; the session and what else is needed must be there by then. */
const dying = (nodes: Nodes["Service"], point: KillPoint) => Effect.as(nodes.arm(point), nodes.kills())

/** One answer, after which the stream ends; and the same again for whoever resumes from its first event. */
export const answersOnce = Effect.fnUntraced(function*(wire: Wire.Wire, call: Wire.Call, text: string) {
  assert.strictEqual(textOf(yield* call.response), text)
  assert.strictEqual(call.messages.filter(({ method }) => method === undefined).length, 1)
  const { events } = yield* wire.replay(call.ids[0]!)
  const again = events.filter(({ data }) => data !== "").map(({ data }) => JSON.parse(data))
  // what the first event itself said is behind whoever has its id
  assert.deepStrictEqual(again, call.messages.slice(call.messages.length - again.length))
  assert.include([call.messages.length, call.messages.length - 1], again.length)
})

/** A call that does `charge`, killed at a point. */
const charges = (point: KillPoint, tool = "charge") =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const kills = yield* dying(nodes, point)
    const call = yield* wire.call(1, tool)
    yield* answersOnce(wire, call, "charge")
    assert.strictEqual(nodes.kills(), kills + 1)
    assert.strictEqual(nodes.effects("charge"), 1)
  })

/** A question, with a kill at a point while it is put or answered. */
const asks = (point: KillPoint) =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const kills = yield* dying(nodes, point)
    const call = yield* wire.call(1, "ask")
    const question = yield* call.first(Wire.isQuestion)
    assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
    yield* askedOnce(nodes, wire, call, question)
    assert.strictEqual(nodes.kills(), kills + 1)
  })

/** One question, the first answer stands, a second one is a 202 without effect (S-P5). */
export const askedOnce = Effect.fnUntraced(
  function*(nodes: Nodes["Service"], wire: Wire.Wire, call: Wire.Call, question: any) {
    const other = { action: "accept", content: { people: 99 } }
    assert.strictEqual((yield* wire.answer(question.id, other)).status, 202)
    yield* answersOnce(wire, call, "booked for 4")
    assert.strictEqual((yield* wire.answer(question.id, other)).status, 202)
    assert.strictEqual(call.messages.filter(Wire.isQuestion).length, 1)
    assert.strictEqual(nodes.effects("book"), 1)
  }
)

/** `patient`, which holds a seat and waits. */
export const waiting = Effect.fnUntraced(function*(wire: Wire.Wire, id = 1) {
  const call = yield* wire.call(id, "patient")
  yield* call.first(({ params }) => params?.progress === 1)
  return call
})

/** The call has ended without an answer, what it did is undone, and nothing more is done. */
const isCancelled = Effect.fnUntraced(function*(nodes: Nodes["Service"], call: Wire.Call) {
  yield* until(Effect.map(nodes.unfinished, (states) => states.length === 0))
  assert.strictEqual(call.messages.filter(({ method }) => method === undefined).length, 0)
  assert.strictEqual(nodes.effects("late"), 0)
  assert.strictEqual(nodes.effects("undo seat"), 1)
})

const cancels = (point: KillPoint) =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const call = yield* waiting(wire)
    const kills = yield* dying(nodes, point)
    assert.strictEqual((yield* wire.notify("notifications/cancelled", { requestId: 1 })).status, 202)
    yield* nodes.killed(kills + 1)
    assert.isUndefined(yield* call.response)
    yield* isCancelled(nodes, call)
  })

export const isGone = Effect.fnUntraced(function*(wire: Wire.Wire) {
  assert.strictEqual((yield* wire.post({ jsonrpc: "2.0", id: "p", method: "ping" })).status, 404)
  assert.strictEqual((yield* wire.replay("1:0")).status, 404)
  assert.strictEqual((yield* wire.delete).status, 404)
})

const isThere = Effect.fnUntraced(function*(wire: Wire.Wire) {
  const pong = yield* wire.post({ jsonrpc: "2.0", id: "p", method: "ping" })
  assert.deepStrictEqual([pong.status, JSON.parse(pong.text)], [200, { jsonrpc: "2.0", id: "p", result: {} }])
})

const deletes = (point: KillPoint) =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const call = yield* waiting(wire)
    const kills = yield* dying(nodes, point)
    // 404 where the first one, whose answer was cut off, has ended it
    assert.include([204, 404], (yield* wire.delete).status)
    yield* nodes.killed(kills + 1)
    yield* isGone(wire)
    yield* isCancelled(nodes, call)
  })

const ends = (tool: string, point: KillPoint, check: (response: any) => void) =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const kills = yield* dying(nodes, point)
    const call = yield* wire.call(1, tool)
    check(yield* call.response)
    assert.strictEqual(nodes.kills(), kills + 1)
    assert.isAtMost(nodes.effects("mail"), 1)
  })

const walks = (point: KillPoint) =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const kills = yield* dying(nodes, point)
    const call = yield* wire.call(1, "walk", { n: 4 })
    yield* answersOnce(wire, call, "walked 4")
    assert.deepStrictEqual(call.messages.map(({ params }) => params?.progress), [1, 2, 3, 4, undefined])
    assert.strictEqual(nodes.kills(), kills + 1)
    for (let i = 1; i <= 4; i++) {
      assert.strictEqual(nodes.effects(`step ${i}`), 1)
    }
  })

const acks = (
  point: KillPoint,
  script: (wire: Wire.Wire, kill: Effect.Effect<number>) => Effect.Effect<void, never, Scope.Scope>
) =>
  Effect.fnUntraced(function*(nodes: Nodes["Service"]) {
    const wire = yield* Wire.open(nodes)
    const kills = nodes.kills()
    yield* script(wire, dying(nodes, point))
    assert.strictEqual(nodes.kills(), kills + 1)
  })

const setsLevel = (wire: Wire.Wire, kill: Effect.Effect<number>) =>
  Effect.gen(function*() {
    yield* kill
    assert.deepStrictEqual((yield* wire.request(1, "logging/setLevel", { level: "error" })).result, {})
    const call = yield* wire.call(2, "talk")
    yield* call.response
    assert.deepStrictEqual(call.messages.map(({ params }) => params?.data), ["loud", undefined])
  })

const subscribes = (wire: Wire.Wire, kill: Effect.Effect<number>) =>
  Effect.gen(function*() {
    yield* kill
    assert.deepStrictEqual((yield* wire.request(1, "resources/subscribe", { uri: watched })).result, {})
    const stream = yield* wire.listen
    const call = yield* wire.call(2, "touch")
    yield* call.response
    const update = yield* stream.first(({ method }) => method === "notifications/resources/updated")
    assert.deepStrictEqual(update.params, { uri: watched })
    // on no other stream
    assert.strictEqual(call.messages.length, 1)
  })

const changesRoots = (wire: Wire.Wire, kill: Effect.Effect<number>) =>
  Effect.gen(function*() {
    const rootsAre = Effect.fnUntraced(function*(id: number, uri: string, isAsked: boolean) {
      const call = yield* wire.call(id, "roots")
      if (isAsked) {
        const question = yield* call.first(Wire.isQuestion)
        yield* wire.answer(question.id, { roots: [{ uri }] })
      }
      assert.strictEqual(textOf(yield* call.response), uri)
      assert.strictEqual(call.messages.filter(Wire.isQuestion).length, isAsked ? 1 : 0)
    })
    yield* rootsAre(1, "file:///a", true)
    yield* kill
    assert.strictEqual((yield* wire.notify("notifications/roots/list_changed")).status, 202)
    yield* rootsAre(2, "file:///b", true)
    yield* rootsAre(3, "file:///b", false)
  })

/** Whatever was deployed, the rows that follow find the first release. */
const withdrawn = (nodes: Nodes["Service"]) =>
  Effect.ensuring(Effect.suspend(() => {
    nodes.next({ release: "first" })
    return nodes.kill
  }))

export const rows: ReadonlyArray<Row> = [
  row(
    "session commit / response header",
    "no 404 for ids that the client saw (S-S1, S-S5, D-0)",
    (nodes) =>
      Effect.gen(function*() {
        const kills = yield* dying(nodes, after(points.opened))
        const wire = yield* Wire.open(nodes)
        assert.strictEqual(nodes.kills(), kills + 1)
        yield* isThere(wire)
      })
  ),
  row(
    "header / initialized",
    "no 404; questions only after `initialized` (S-S5, S-L5)",
    (nodes) =>
      Effect.gen(function*() {
        const wire = yield* Wire.open(nodes, { initialized: false })
        yield* nodes.kill
        yield* isThere(wire)
        const call = yield* wire.call(1, "ask")
        yield* call.primed
        yield* isThere(wire)
        assert.deepStrictEqual(call.messages, [])
        assert.strictEqual((yield* wire.notify("notifications/initialized")).status, 202)
        const question = yield* call.first(Wire.isQuestion)
        assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
        yield* askedOnce(nodes, wire, call, question)
      })
  ),
  row("`initialized` stored / its 202", "questions are put (S-L5, D-1)", (nodes) =>
    Effect.gen(function*() {
      const kills = yield* dying(nodes, after(points.initialized))
      const wire = yield* Wire.open(nodes)
      assert.strictEqual(nodes.kills(), kills + 1)
      const call = yield* wire.call(1, "ask")
      const question = yield* call.first(Wire.isQuestion)
      assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
      yield* askedOnce(nodes, wire, call, question)
    })),
  row("request received / accepted", "one response, one effect (S-P10)", charges(before(points.accepted))),
  row("request accepted / priming", "one response, one effect (S-P10, S-R3)", charges(after(points.accepted))),
  row(
    "its stream is stored / its execution is not",
    "one response, one effect (S-P10)",
    charges(within(points.accepted, 1), "hesitate")
  ),
  row(
    "priming / handler start",
    "the priming id reaches the one response, one effect (S-R3, S-R8)",
    (nodes) =>
      Effect.gen(function*() {
        const wire = yield* Wire.open(nodes)
        const call = yield* wire.call(1, "hesitate")
        yield* call.primed
        assert.strictEqual(nodes.effects("charge"), 0)
        yield* nodes.kill
        yield* answersOnce(wire, call, "charge")
        assert.strictEqual(nodes.effects("charge"), 1)
      })
  ),
  row(
    "handler start / first effect",
    "the priming id reaches the one response, one effect (S-R3, S-R8)",
    charges(around("before", "charge"), "hesitate")
  ),
  row(
    "effect done / outcome journalled: idempotent",
    "again under the same key (D-6)",
    charges(around("after", "charge"))
  ),
  row(
    "effect done / outcome journalled: at most once",
    "the handler is told that the outcome is unknown (D-6)",
    ends("mail", around("after", "mail"), (response) => assert.strictEqual(textOf(response), "unknown"))
  ),
  row(
    "effect done / outcome journalled: at most once, not handled",
    "failed with a clear error (D-6)",
    ends("post", around("after", "mail"), (response) => {
      assert.isTrue(response.result.isError)
      assert.match(textOf(response), /"mail" was cut off and may not run again/)
    })
  ),
  row(
    "event appended / written",
    "each event exactly once, in order; then EOF (S-R1, S-R6)",
    walks(after(points.progress, 2))
  ),
  row(
    "event received / appended",
    "each event exactly once, in order; then EOF (S-R1, S-R6)",
    walks(before(points.progress, 3))
  ),
  row("response appended / stream closed", "the response once; then EOF (S-R8)", walks(after(points.result))),
  row("response appended / call completed", "the response once; then EOF (S-R8)", walks(within(points.result, 1))),
  row("elicitation recorded / appended", "one question (S-O3)", asks(within(points.question, 1))),
  row("elicitation appended / sent", "one question (S-O3)", asks(after(points.question))),
  row(
    "elicitation sent / answered",
    "one question, its answer counts at any node (S-P5)",
    (nodes) =>
      Effect.gen(function*() {
        const wire = yield* Wire.open(nodes)
        const call = yield* wire.call(1, "ask")
        const question = yield* call.first(Wire.isQuestion)
        yield* nodes.kill
        assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
        yield* askedOnce(nodes, wire, call, question)
      })
  ),
  row("answer received / stored", "one question, its answer counts at any node (S-P5)", asks(before(points.answered))),
  row("answer stored / 202", "a duplicate POST is 202 (S-P5, D-1)", asks(after(points.answered))),
  row("202 / handler resumed", "the answer counts, nobody is asked again (S-P5)", (nodes) =>
    Effect.gen(function*() {
      const wire = yield* Wire.open(nodes)
      const call = yield* wire.call(1, "ask")
      const question = yield* call.first(Wire.isQuestion)
      yield* until(Effect.map(nodes.unfinished, (states) => states.join() === "waiting"))
      const kills = yield* dying(nodes, before("^run "))
      assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
      yield* askedOnce(nodes, wire, call, question)
      assert.strictEqual(nodes.kills(), kills + 1)
    })),
  row("cancel stored / 202", "no response, no further effects (S-C1, S-C6)", cancels(after(points.cancelled))),
  row(
    "202 / handler interrupted",
    "no response, no further effects, the cancellation goes on (S-C1, S-C6)",
    cancels(around("before", "undo seat"))
  ),
  row("setLevel stored / {}", "in force after the ack (S-LG2, D-1)", acks(after("SetSession logLevel"), setsLevel)),
  row(
    "setLevel received / stored",
    "in force after the ack (S-LG2, D-1)",
    acks(before("SetSession logLevel"), setsLevel)
  ),
  row(
    "subscribe stored / {}",
    "in force after the ack (S-RS4, D-1)",
    acks(after("SetSession subscriptions"), subscribes)
  ),
  row(
    "subscribe received / stored",
    "in force after the ack (S-RS4, D-1)",
    acks(before("SetSession subscriptions"), subscribes)
  ),
  row(
    "roots/list_changed stored / 202",
    "roots are asked for anew, once (S-O1)",
    acks(after("SetSession rootsGeneration"), changesRoots)
  ),
  row(
    "roots/list_changed received / stored",
    "roots are asked for anew, once (S-O1)",
    acks(before("SetSession rootsGeneration"), changesRoots)
  ),
  row("DELETE: received / tombstone", "404 afterwards, children cancelled (S-S5, S-S7)", deletes(before(points.ended))),
  row(
    "DELETE: tombstone / children cancelled",
    "404 afterwards, children cancelled on boot (S-S5, S-S7)",
    deletes(after(points.ended))
  ),
  row(
    "DELETE: first child / the rest",
    "404 afterwards, children cancelled on boot (S-S5, S-S7)",
    deletes(after(points.cancelled))
  ),
  row("deploy with changed tools", "one list_changed, once (S-T9)", (nodes) =>
    Effect.gen(function*() {
      const wire = yield* Wire.open(nodes)
      const stream = yield* wire.listen
      yield* until(Effect.sync(() => stream.ids.length > 0))
      nodes.next({ release: "second" })
      yield* nodes.kill
      const { method } = yield* stream.first(() => true)
      assert.strictEqual(method, "notifications/tools/list_changed")
      const { result } = yield* wire.request(1, "tools/list")
      assert.include(result.tools.map(({ name }: any) => name), "more")
      // and not again for those who come back
      yield* nodes.kill
      const other = yield* wire.listen
      yield* until(Effect.sync(() => other.ids.length > 0))
      assert.strictEqual(other.messages.length + stream.messages.length, 1)
    }).pipe(withdrawn(nodes))),
  row("deploy with a capability removed", "404 (S-L4, S-S5)", (nodes) =>
    Effect.gen(function*() {
      const wire = yield* Wire.open(nodes)
      yield* isThere(wire)
      nodes.next({ release: "bare" })
      yield* nodes.kill
      yield* isGone(wire)
      // and never again, whatever is deployed then
      nodes.next({ release: "first" })
      yield* nodes.kill
      yield* isGone(wire)
    }).pipe(withdrawn(nodes))),
  row(
    "deploy with results of another shape",
    "old streams replay in their old shape (D-7)",
    (nodes) =>
      Effect.gen(function*() {
        for (const version of ["2025-11-25", "2025-03-26"]) {
          const wire = yield* Wire.open(nodes, { version })
          const call = yield* wire.call(1, "report")
          const before = yield* call.response
          const old = JSON.stringify({ release: "first" })
          assert.strictEqual(textOf(before), old)
          nodes.next({ release: "second" })
          yield* nodes.kill
          const again = messagesOf(
            yield* wire.post({
              jsonrpc: "2.0",
              id: 1,
              method: "tools/call",
              params: { name: "report", arguments: {}, _meta: { progressToken: 1 } }
            })
          )
          assert.deepStrictEqual(again, [before])
          const token = call.ids[0]!.slice(0, call.ids[0]!.lastIndexOf(":"))
          const { events } = yield* wire.replay(`${token}:0`)
          assert.deepStrictEqual(events.filter(({ data }) => data !== "").map(({ data }) => JSON.parse(data)), [before])
          // gated by the session's version: 2025-03-26 knows no structured content (1.5)
          assert.strictEqual(before.result.structuredContent !== undefined, version === "2025-11-25")
          nodes.next({ release: "first" })
          yield* nodes.kill
        }
      }).pipe(withdrawn(nodes))
  ),
  row(
    "two owners",
    "the second is refused, the first goes on when it wakes (D-2, S-P18)",
    (nodes) =>
      Effect.gen(function*() {
        const wire = yield* Wire.open(nodes)
        const call = yield* wire.call(1, "ask")
        const question = yield* call.first(Wire.isQuestion)
        const { pid } = yield* nodes.node
        process.kill(pid, "SIGSTOP")
        const rival = yield* nodes.rival
        process.kill(pid, "SIGCONT")
        assert.match(rival, /is in use by process/)
        assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
        yield* askedOnce(nodes, wire, call, question)
      })
  ),
  row(
    "two owners, and the paused one is killed",
    "its file is free at once, nothing twice (D-2)",
    (nodes) =>
      Effect.gen(function*() {
        const wire = yield* Wire.open(nodes)
        const call = yield* wire.call(1, "ask")
        const question = yield* call.first(Wire.isQuestion)
        process.kill((yield* nodes.node).pid, "SIGSTOP")
        const rival = yield* nodes.rival
        yield* nodes.kill
        assert.match(rival, /is in use by process/)
        assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
        yield* askedOnce(nodes, wire, call, question)
      })
  )
]
