/**
 * The model checker is trusted with a proof, so it must find what is wrong:
 * bugs between the engine and its store, each of them found with a program
 * small enough to see why.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Store } from "effect-durable-mcp"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { modelChecking } from "./modelChecking.ts"
import { print } from "./print.ts"

type Service = Store.Store["Service"]

/** A store that is given other writes than the engine meant. */
const writing = (f: (write: Store.Write) => Store.Write) => (store: Service): Partial<Service> => {
  const changed = (writes: NonEmptyReadonlyArray<Store.Write>): NonEmptyReadonlyArray<Store.Write> => {
    const [first, ...rest] = writes
    return [f(first), ...rest.map(f)]
  }
  return {
    commit: (writes) => store.commit(changed(writes)),
    submit: (writes) => store.submit(changed(writes))
  }
}

const planted = (
  name: string,
  over: (store: Service) => Partial<Service>,
  options: { readonly shows: string; readonly with: RegExp; readonly lines: number }
) =>
  it.live(name, () =>
    Effect.gen(function*() {
      const { message, program, violations } = yield* Effect.flip(
        modelChecking({ programs: 500, seed: 1, over, kinds: ["Crash"], maxShrinks: 120 })
      )
      assert.isTrue(violations.some((violation) => violation.startsWith(options.shows)), message)
      const printed = print(program)
      assert.match(printed, options.with)
      assert.isAtMost(printed.split("\n").length, options.lines, message)
    }), 120_000)

describe("a bug is found, and shown with a small program", () => {
  let messages = 1_000_000

  planted(
    "what a handler has given up is not recorded: another one wins the race in a replay",
    (store) => ({
      submit: (writes) =>
        writes.some((write) => write._tag === "RecordStep" && write.kind === "abandoned")
          ? Effect.void
          : store.submit(writes)
    }),
    { shows: "the outcome", with: /race[^]*sleep/, lines: 8 }
  )

  planted(
    "timers go off at once",
    writing((write) => write._tag === "ArmTimer" && write.name.startsWith("due/") ? { ...write, at: 0 } : write),
    { shows: "the outcome", with: /race[^]*sleep/, lines: 8 }
  )

  planted(
    "a replay reads the record backwards, and undoes the first step first",
    (store) => ({
      execution: (id) =>
        Effect.map(
          store.execution(id),
          Option.map((record) => ({ ...record, steps: record.steps.toReversed() }))
        )
    }),
    { shows: "what was undone", with: /undone[^]*undone/, lines: 6 }
  )

  planted(
    "log messages have no key: a replay tells them again",
    writing((write) =>
      write._tag === "Append" && write.key.startsWith("body/") ? { ...write, key: `body/${++messages}` } : write
    ),
    { shows: "what the client was told", with: /tell log/, lines: 3 }
  )
})
