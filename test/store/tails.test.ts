import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import * as tails from "../../src/store/internal/tails.ts"
import type { EventRecord } from "../../src/store/Store.ts"

const event = (seq: number, data = ""): EventRecord => ({ seq, key: String(seq), data })

describe("tails", () => {
  it("answers what it holds whole, and nothing else", () => {
    const recent = tails.make(10_000)
    assert.isUndefined(recent.page("s", 0, 10))
    recent.open("s")
    assert.deepStrictEqual(recent.page("s", 0, 10), { events: [], trimmed: false, closed: false })
    recent.append("s", event(1), false)
    recent.append("s", event(2), true)
    assert.deepStrictEqual(recent.page("s", 0, 1), { events: [event(1)], trimmed: false, closed: false })
    assert.deepStrictEqual(recent.page("s", 1, 1), { events: [event(2)], trimmed: false, closed: true })
    assert.deepStrictEqual(recent.page("s", 2, 1), { events: [], trimmed: false, closed: true })
    recent.append("late", event(7), false)
    assert.isUndefined(recent.page("late", 5, 10))
    assert.deepStrictEqual(recent.page("late", 6, 10)?.events, [event(7)])
    recent.drop("s")
    assert.isUndefined(recent.page("s", 1, 1))
    recent.drop()
    assert.isUndefined(recent.page("late", 6, 10))
  })

  it("keeps the streams that were written last, and of one that is too long the newer half", () => {
    const recent = tails.make(3_000)
    recent.append("a", event(1, "x".repeat(1_000)), false)
    recent.append("b", event(1, "x".repeat(1_000)), false)
    recent.append("a", event(2), false)
    recent.append("c", event(1, "x".repeat(800)), false)
    assert.isUndefined(recent.page("b", 0, 10))
    assert.strictEqual(recent.page("a", 0, 10)?.events.length, 2)
    for (let seq = 1; seq <= 1_000; seq++) recent.append("long", event(seq), false)
    const first = [...Array(1_000).keys()].find((seq) => recent.page("long", seq, 1) !== undefined)!
    assert.isAtLeast(first, 975)
    assert.strictEqual(recent.page("long", first, 100)?.events.length, 1_000 - first)
    recent.append("huge", event(1, "x".repeat(3_000)), true)
    assert.isUndefined(recent.page("huge", 0, 1))
  })

  it.effect.prop(
    "never contradicts the whole log",
    [
      Arbitrary.array(
        Arbitrary.schema(Schema.Struct({
          stream: Schema.Literals(["a", "b", "c"]),
          action: Schema.Literals(["append", "append", "append", "last", "drop", "dropAll"]),
          size: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 600 }))
        })),
        { maxLength: 60 }
      ),
      Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })))
    ],
    ([script, limit]) =>
      Effect.sync(() => {
        const recent = tails.make(2_000)
        const log = new Map<string, { readonly events: Array<EventRecord>; closed: boolean }>()
        for (const { action, size, stream } of script) {
          let entry = log.get(stream)
          if (entry === undefined) {
            log.set(stream, entry = { events: [], closed: false })
            recent.open(stream)
          }
          if (action === "drop") recent.drop(stream)
          else if (action === "dropAll") recent.drop()
          else if (!entry.closed) {
            const added = event(entry.events.length + 1, "x".repeat(size))
            entry.events.push(added)
            entry.closed = action === "last"
            recent.append(stream, added, entry.closed)
          }
          for (let afterSeq = 0; afterSeq <= entry.events.length + 1; afterSeq++) {
            const page = recent.page(stream, afterSeq, limit)
            if (page === undefined) continue
            const events = entry.events.slice(afterSeq, afterSeq + limit)
            const closed = entry.closed && afterSeq + events.length >= entry.events.length
            assert.deepStrictEqual(page, { events, trimmed: false, closed })
          }
        }
      }),
    { arbitrary: { runs: 300 } }
  )
})
