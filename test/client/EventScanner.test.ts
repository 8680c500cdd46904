import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { EventScanner } from "../../src/client/internal/eventScanner.ts"

/** Lines that, put together at random, often make events with and without an id. */
const Line = Arbitrary.all([
  Arbitrary.schema(
    Schema.Literals(["", "", "", "id: 1", "id: ", "id:", "id", "data: x", "data", ":é", "retry: 5", "xid: 1"])
  ),
  Arbitrary.schema(Schema.Literals(["\n", "\n", "\r\n", "\r", ""]))
])
const Text = Arbitrary.map(
  Arbitrary.array(Line, { maxLength: 12 }),
  (lines) => lines.map(([line, end]) => line + end).join("")
)

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/**
 * What a client has seen of these bytes, read line by line as the specification
 * says: where the last event ended, and whether it was one with an id. A CR at
 * the end may be half of a line end.
 */
const specified = (text: string) => {
  let id = ""
  let data = false
  let end = -1
  for (const match of text.matchAll(/([^\r\n]*)(?:\r\n|\n|\r(?=[^\n]))/g)) {
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/.exec(match[1]!)!
    if (field === "id") id = value ?? ""
    if (field === "data") data = true
    if (match[1] !== "") continue
    end = bytes(text.slice(0, match.index + match[0].length)).length
    if (id !== "" && data) return { begun: true, end }
    id = ""
    data = false
  }
  return { begun: false, end }
}

/** Scans chunks; where the first event with an id ended, or where the last event did. */
const scan = (chunks: ReadonlyArray<Uint8Array>) => {
  const scanner = new EventScanner()
  let offset = 0
  let end = -1
  for (const chunk of chunks) {
    const here = scanner.scan(chunk)
    if (here >= 0) end = offset + here
    offset += chunk.length
  }
  return { begun: scanner.begun, end }
}

describe("EventScanner", () => {
  it.effect.prop(
    "sees what a client sees, at every byte",
    { text: Text },
    ({ text }) =>
      Effect.sync(() => {
        for (let length = 0; length <= text.length; length++) {
          const prefix = text.slice(0, length)
          assert.deepStrictEqual(scan([bytes(prefix)]), specified(prefix), JSON.stringify(prefix))
        }
      }),
    { arbitrary: { runs: 1_000 } }
  )

  it.effect.prop(
    "finds the same ends, however the bytes are cut",
    {
      text: Text,
      cuts: Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 }))), {
        maxLength: 40
      })
    },
    ({ cuts, text }) =>
      Effect.sync(() => {
        const all = bytes(text)
        const chunks: Array<Uint8Array> = []
        let from = 0
        for (const size of [...cuts, all.length]) {
          chunks.push(all.subarray(from, from + size))
          from = Math.min(all.length, from + size)
        }
        assert.deepStrictEqual(scan(chunks), scan([all]))
      }),
    { arbitrary: { runs: 1_000 } }
  )
})
