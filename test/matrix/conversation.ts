/**
 * A whole session, with everything that a client can do in one. It may be cut off
 * by a kill at any point, or several, and must not be able to tell.
 */
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { type Nodes, until } from "./Nodes.ts"
import { watched } from "./program.ts"
import { accepted, answersOnce, isGone, textOf, waiting } from "./rows.ts"
import * as Wire from "./Wire.ts"

export const conversation: (nodes: Nodes["Service"]) => Effect.Effect<void, never, Scope.Scope> = Effect.fnUntraced(
  function*(nodes) {
    const wire = yield* Wire.open(nodes)
    assert.deepStrictEqual((yield* wire.request(1, "logging/setLevel", { level: "error" })).result, {})
    assert.deepStrictEqual((yield* wire.request(2, "resources/subscribe", { uri: watched })).result, {})
    const stream = yield* wire.listen

    const talk = yield* wire.call(3, "talk")
    yield* answersOnce(wire, talk, "said")
    assert.deepStrictEqual(talk.messages.map(({ params }) => params?.data), ["loud", undefined])

    const walk = yield* wire.call(4, "walk", { n: 3 })
    const ask = yield* wire.call(5, "ask")
    const question = yield* ask.first(Wire.isQuestion)
    assert.strictEqual((yield* wire.answer(question.id, accepted)).status, 202)
    yield* answersOnce(wire, ask, "booked for 4")
    assert.strictEqual(ask.messages.filter(Wire.isQuestion).length, 1)
    yield* answersOnce(wire, walk, "walked 3")
    assert.deepStrictEqual(walk.messages.map(({ params }) => params?.progress), [1, 2, 3, undefined])

    const mail = yield* wire.call(6, "mail")
    assert.include(["sent", "unknown"], textOf(yield* mail.response))
    assert.isAtMost(nodes.effects("mail"), 1)

    const roots = yield* wire.call(7, "roots")
    const request = yield* roots.first(Wire.isQuestion)
    assert.strictEqual((yield* wire.answer(request.id, { roots: [{ uri: "file:///a" }] })).status, 202)
    yield* answersOnce(wire, roots, "file:///a")
    assert.strictEqual(roots.messages.filter(Wire.isQuestion).length, 1)

    yield* answersOnce(wire, yield* wire.call(8, "touch"), "touched")
    const update = yield* stream.first(({ method }) => method === "notifications/resources/updated")
    assert.deepStrictEqual(update.params, { uri: watched })

    const cancelled = yield* waiting(wire, 9)
    assert.strictEqual((yield* wire.notify("notifications/cancelled", { requestId: 9 })).status, 202)
    assert.isUndefined(yield* cancelled.response)
    const left = yield* waiting(wire, 10)
    // 404 where the first one, whose answer was cut off, has ended it
    assert.include([204, 404], (yield* wire.delete).status)
    yield* isGone(wire)
    yield* until(Effect.map(nodes.unfinished, (states) => states.length === 0))
    for (const { messages } of [cancelled, left]) {
      assert.deepStrictEqual(messages.map(({ params }) => params?.progress), [1])
    }
    assert.strictEqual(nodes.effects("seat"), 2)
    assert.strictEqual(nodes.effects("undo seat"), 2)
    assert.strictEqual(nodes.effects("late"), 0)
    for (const name of ["step 1", "step 2", "step 3", "book"]) {
      assert.strictEqual(nodes.effects(name), 1, name)
    }
  }
)
