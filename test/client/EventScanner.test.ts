import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { EventScanner } from "../../src/client/internal/eventScanner.ts"

/** Pieces that, put together at random, often make events with and without an id, with every line end. */
const Piece = Schema.Literals([
  "id: 1",
  "id:",
  "id",
  "data: x",
  "data:",
  "data",
  ":",
  "retry: 5",
  "x",
  " ",
  "é",
  "\n",
  "\r",
  "\r\n",
  "\n\n"
])

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Whether a client has seen an event with an id after these bytes. Reads the whole text, line by line, as the specification says. */
const hasBegun = (text: string): boolean => {
  // A CR at the end may be half of a line end.
  const lines = text.replace(/\r$/, "").split(/\r\n|\r|\n/).slice(0, -1)
  let id = ""
  let data = false
  for (const line of lines) {
    if (line === "") {
      if (id !== "" && data) return true
      id = ""
      data = false
      continue
    }
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/.exec(line)!
    if (field === "id") id = value ?? ""
    if (field === "data") data = true
  }
  return false
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
    { pieces: Arbitrary.array(Arbitrary.schema(Piece), { maxLength: 12 }) },
    ({ pieces }) =>
      Effect.sync(() => {
        const text = pieces.join("")
        for (let length = 0; length <= text.length; length++) {
          const prefix = text.slice(0, length)
          assert.strictEqual(scan([bytes(prefix)]).begun, hasBegun(prefix), JSON.stringify(prefix))
        }
      }),
    { arbitrary: { runs: 1_000 } }
  )

  it.effect.prop(
    "finds the same ends, however the bytes are cut",
    {
      pieces: Arbitrary.array(Arbitrary.schema(Piece), { maxLength: 12 }),
      cuts: Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 }))), {
        maxLength: 40
      })
    },
    ({ cuts, pieces }) =>
      Effect.sync(() => {
        const all = bytes(pieces.join(""))
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
