/**
 * Mutants over the services of the framework.
 */
import { Array as Arr, Effect } from "effect"
import type { Ids, Store } from "effect-durable-mcp"
import type { Mutant } from "./Mutant.ts"
import type { Planted } from "./programs.ts"

type Write = Store.Write
type Commit = Store.Store["Service"]["commit"]

/** Other writes than were meant. */
const writing = (f: (writes: ReadonlyArray<Write>) => ReadonlyArray<Write>): Planted => ({
  store: (store) => {
    const changed = (writes: Arr.NonEmptyReadonlyArray<Write>) => f(writes) as Arr.NonEmptyReadonlyArray<Write>
    return {
      commit: (writes) => store.commit(changed(writes)),
      submit: (writes) => store.submit(changed(writes))
    }
  }
})

const eachWrite = (f: (write: Write) => Write): Planted => writing((writes) => writes.map(f))

/** What a store says of a write that is the first under its key. */
const promised = (write: Write): Store.Outcome => {
  switch (write._tag) {
    case "Signal":
    case "RecordStep":
      return { _tag: "Stands", fresh: true, value: write.exit }
    case "BeginRecovery":
      return { _tag: "Recovering", fresh: true, recoveries: 1 }
    default:
      return { _tag: "Made", fresh: true }
  }
}

const committing = (f: (commit: Commit) => Commit): Planted => ({ store: ({ commit }) => ({ commit: f(commit) }) })

/** A commit of these is acknowledged at once, and happens a little later. */
const acknowledgedEarly = (isConcerned: (write: Write) => boolean): Planted =>
  committing((commit) => (writes) =>
    writes.every(isConcerned)
      ? Effect.as(Effect.forkDetach(Effect.delay(commit(writes), "5 millis")), writes.map(promised))
      : commit(writes)
  )

/** These never come to disk, and nobody is told. */
const lost = (isConcerned: (write: Write) => boolean): Planted =>
  committing((commit) => (writes) => {
    const kept = writes.filter((write) => !isConcerned(write))
    const stored = Arr.isReadonlyArrayNonEmpty(kept) ? commit(kept) : Effect.succeed([])
    return Effect.map(stored, (outcomes) => {
      const real = outcomes.values()
      return writes.map((write) => isConcerned(write) ? promised(write) : real.next().value ?? promised(write))
    })
  })

/** The writes of a commit in another order; their outcomes in that which was asked for. */
const reordered = (rank: (write: Write) => number): Planted =>
  committing((commit) => (writes) => {
    const order = writes.map((_, i) => i).toSorted((a, b) => rank(writes[a]!) - rank(writes[b]!))
    const [first, ...rest] = order.map((i) => writes[i]!)
    return Effect.map(commit([first!, ...rest]), (outcomes) => writes.map((_, i) => outcomes[order.indexOf(i)]!))
  })

const isStep = (write: Write, ...kinds: ReadonlyArray<string>) =>
  write._tag === "RecordStep" && kinds.includes(write.kind)

/** Ids of this kind, derived from something else as well or from less. */
const deriving = (
  kind: string,
  f: (tuple: ReadonlyArray<string | number>, ids: Ids.Ids["Service"]) => ReadonlyArray<string | number>
): Planted => ({
  ids: (ids) => ({ derive: (...tuple) => ids.derive(...(tuple[0] === kind ? f(tuple, ids) : tuple)) })
})

/** Built anew with each process, as the services that they replace are. */
export const wrappers: ReadonlyArray<Mutant> = [
  {
    name: "session-before-commit",
    bug: "initialize answers with a session that is not on disk yet",
    planted: () => acknowledgedEarly(({ _tag }) => _tag === "OpenSession")
  },
  {
    name: "answer-before-commit",
    bug: "202 for an answer that is not on disk yet",
    planted: () => acknowledgedEarly(({ _tag }) => _tag === "Signal")
  },
  {
    name: "level-before-commit",
    bug: "the log level is confirmed before it is on disk",
    program: "memos",
    planted: () => acknowledgedEarly((write) => write._tag === "SetSession" && write.name === "logLevel")
  },
  {
    name: "end-before-commit",
    bug: "204 for a session whose end is not on disk yet",
    program: "memos",
    planted: () => acknowledgedEarly(({ _tag }) => _tag === "EndSession")
  },
  {
    name: "cancel-in-memory",
    bug: "a cancellation is known to this process only",
    program: "memos",
    planted: () => lost(({ _tag }) => _tag === "RequestCancel")
  },
  {
    name: "begin-in-memory",
    bug: "that an at-most-once step has begun is known to this process only",
    planted: () => lost((write) => isStep(write, "begin"))
  },
  {
    name: "attempts-in-memory",
    bug: "failed attempts are known to this process only",
    planted: () => lost((write) => isStep(write, "attempt"))
  },
  {
    name: "recovery-in-memory",
    bug: "recoveries are not counted on disk",
    planted: () => lost(({ _tag }) => _tag === "BeginRecovery")
  },
  {
    name: "wrong-attempt",
    bug: "an attempt is recorded under the number of the next one",
    planted: () =>
      eachWrite((write) =>
        write._tag === "RecordStep" && write.kind === "attempt"
          ? { ...write, name: write.name.replace(/\d+$/, (n) => String(Number(n) + 1)) }
          : write
      )
  },
  {
    name: "wrong-step",
    bug: "the second step of a name is recorded under the first one's",
    planted: () =>
      eachWrite((write) =>
        write._tag === "RecordStep" && write.kind === "step" ? { ...write, name: write.name.replace("#2", "") } : write
      )
  },
  {
    name: "random-event-key",
    bug: "events have a key of their own in each run",
    planted: () => {
      const process = Math.random()
      return eachWrite((write) =>
        write._tag === "Append" && write.data !== undefined ? { ...write, key: `${write.key}/${process}` } : write
      )
    }
  },
  {
    name: "key-of-two-steps",
    bug: "the second step of a name has the idempotency key of the first",
    planted: () => deriving("step", (tuple) => tuple.map((part) => String(part).replace("#2", "")))
  },
  {
    name: "key-of-one-process",
    bug: "a step that is run again has another idempotency key",
    planted: () => deriving("step", (tuple, ids) => [...tuple, ids.boot])
  },
  {
    name: "call-of-one-process",
    bug: "a repeated POST begins a second execution after a restart",
    planted: () => deriving("call", (tuple, ids) => [...tuple, ids.boot])
  },
  {
    name: "answer-not-last",
    bug: "the stream stays open after the answer",
    planted: () => eachWrite((write) => write._tag === "Append" ? { ...write, last: undefined } : write)
  },
  {
    name: "complete-before-answer",
    bug: "a call is complete before its answer is in the log",
    planted: () => reordered(({ _tag }) => _tag === "Complete" ? 0 : 1)
  },
  {
    name: "question-before-record",
    bug: "a question is in the log before it is on record",
    planted: () => reordered((write) => write._tag === "Append" && write.key.startsWith("question/") ? 0 : 1)
  },
  {
    name: "trim-before-carry",
    bug: "queued messages are trimmed before the stream has them",
    program: "memos",
    planted: () => reordered(({ _tag }) => _tag === "Trim" ? 0 : 1)
  },
  {
    name: "lost-wake-up",
    bug: "a call is parked although an answer has come since it looked",
    planted: () => eachWrite((write) => write._tag === "Park" ? { ...write, seenSignals: 1_000_000 } : write)
  }
]
