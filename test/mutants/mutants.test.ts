/**
 * Of `npm run mutants` as much as a test run has time for: that each bug can
 * still be planted, and that a few of them are found.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { hunt } from "./hunt.ts"
import { mutants } from "./mutants.ts"
import { copy, huntIn, stale } from "./tree.ts"

const settings = { runs: 100, seed: 1 }

const named = (name: string) => {
  const mutant = mutants.find((mutant) => mutant.name === name)
  assert.isDefined(mutant)
  return mutant
}

describe("mutants", () => {
  it("are enough, each with a name of its own and one way to be planted", () => {
    assert.isAtLeast(mutants.length, 18)
    assert.strictEqual(new Set(mutants.map(({ name }) => name)).size, mutants.length)
    for (const { edits, name, planted } of mutants) {
      assert.strictEqual((edits === undefined ? 0 : 1) + (planted === undefined ? 0 : 1), 1, name)
    }
  })

  it("in the sources still fit them", () => {
    assert.deepStrictEqual(mutants.flatMap(({ edits }) => stale(edits ?? [])), [])
  })

  it.live.each(["key-of-one-process", "random-event-key"])("as a layer: %s is found", (name) =>
    Effect.gen(function*() {
      const found = yield* hunt(named(name), "exhaustive", settings)
      assert.match(found?.token ?? "not found", /^crash@/)
    }), 60_000)

  it.live("as a patch: is found in a process over the patched sources", () =>
    Effect.gen(function*() {
      const mutant = named("compensation-order")
      const found = yield* huntIn(yield* copy(mutant.edits ?? []), mutant, "random", settings)
      assert.strictEqual(found?.token, "none", "every run shows it")
    }).pipe(Effect.scoped), 60_000)
})
