/**
 * The checker is trusted with the proof, so it must find what is wrong.
 */
import { assert, describe, it } from "@effect/vitest"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Checker from "./checker.ts"

const ledger = (lines: ReadonlyArray<string>) => {
  const path = join(mkdtempSync(join(tmpdir(), "ledger-")), "ledger")
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""))
  return path
}

const check = (
  lines: ReadonlyArray<string>,
  kills: ReadonlyArray<{ readonly after: number; readonly recorded: ReadonlyArray<string> }>
) => {
  const path = ledger(lines)
  return Checker.violations(
    path,
    kills.map(({ after, recorded }) => ({ recorded: new Set(recorded), lines: new Map([[path, after]]) }))
  ).length
}

describe("the checker of ledgers", () => {
  it("accepts each step once", () => {
    assert.strictEqual(check(["a", "b", "c"], [{ after: 2, recorded: ["a"] }]), 0)
  })

  it("accepts that a step cut off by a kill is done again", () => {
    assert.strictEqual(check(["a", "b", "b"], [{ after: 2, recorded: ["a"] }]), 0)
    assert.strictEqual(check(["a", "a", "a"], [{ after: 1, recorded: [] }, { after: 2, recorded: [] }]), 0)
  })

  it("finds a finished step done again", () => {
    assert.isAbove(check(["a", "b", "a"], [{ after: 2, recorded: ["a"] }]), 0)
  })

  it("finds a step done twice without a kill", () => {
    assert.isAbove(check(["a", "a"], []), 0)
    assert.isAbove(check(["a", "a", "b"], [{ after: 2, recorded: [] }]), 0)
    assert.isAbove(check(["a", "b", "b"], [{ after: 1, recorded: ["a"] }]), 0)
  })

  it("finds a finished step done again for the first time in the ledger", () => {
    assert.isAbove(check(["a"], [{ after: 0, recorded: ["a"] }]), 0)
  })
})
