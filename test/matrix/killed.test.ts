/**
 * Rows of the matrix with a real SIGKILL, one for each part of the server that a
 * process boundary cuts. `npm run kills` runs all rows, and kills at every
 * operation of a conversation; `ROWS`, a regular expression, chooses others here.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Nodes from "./Nodes.ts"
import { rows } from "./rows.ts"

const few = [
  "session commit / response header",
  "priming / handler start",
  "effect done / outcome journalled: at most once",
  "response appended / stream closed",
  "answer stored / 202",
  "DELETE: tombstone / children cancelled",
  "deploy with changed tools",
  "two owners, and the paused one is killed"
]

const chosen = process.env.ROWS === undefined
  ? rows.filter(({ between }) => few.includes(between))
  : rows.filter(({ between }) => new RegExp(process.env.ROWS!).test(between))

describe("SIGKILL between (7.5)", () => {
  it.layer(Nodes.layer, { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    for (const { asserts, between, run } of chosen) {
      it.effect(`${between}: ${asserts}`, () =>
        Effect.gen(function*() {
          const nodes = yield* Nodes.Nodes
          nodes.forgetEffects()
          yield* run(nodes)
        }), 60_000)
    }
  })

  it("is tested at points that there are", () => {
    assert.isAtLeast(chosen.length, process.env.ROWS === undefined ? few.length : 1)
  })
})
