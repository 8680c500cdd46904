/**
 * Each test plants a bug in a store, below everything else; the audit of the
 * disk has to find it, in words that say what is wrong.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import type { Store } from "effect-durable-mcp"
import { isReadonlyArrayNonEmpty } from "effect/Array"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import type { Settled } from "../../src/testing/FaultStore.ts"
import * as Audit from "../../src/testing/internal/audit.ts"
import * as Ledger from "../../src/testing/internal/auditLedger.ts"
import * as AuditSqlite from "../../src/testing/internal/auditSqlite.ts"
import { ask, type Change, correct, diskThat, found, mail, over, program, step } from "./program.ts"

/** What is said of a store that behaves like this. */
const saidOf = (change: Change) =>
  Effect.map(
    found(CrashTest.run({ ...program(correct), disk: diskThat(change) })),
    ({ violations }) => violations.join("\n")
  )

const steps = (f: (steps: Store.ExecutionRecord["steps"]) => Store.ExecutionRecord["steps"]): Change => (store) => ({
  execution: (id) => Effect.map(store.execution(id), Option.map((record) => ({ ...record, steps: f(record.steps) })))
})

/** Shows executions otherwise, from when they are complete. */
const completed = (f: (record: Store.ExecutionRecord) => Partial<Store.ExecutionRecord>): Change => (store) => ({
  execution: (id) =>
    Effect.map(
      store.execution(id),
      Option.map((record) => record.result === undefined ? record : ({ ...record, ...f(record) }))
    )
})

const events = (
  f: (events: Store.EventPage["events"]) => Store.EventPage["events"]
): Change =>
(store) => ({
  events: (stream, afterSeq, limit) =>
    Effect.map(store.events(stream, afterSeq, limit), (page) => ({ ...page, events: f(page.events) }))
})

const drops = (isLost: (write: Store.Write) => boolean): Change => (store) => ({
  commit: (writes) => {
    const kept: ReadonlyArray<Store.Write> = writes.filter((write) => !isLost(write))
    const outcomeOf = (write: Store.Write): Store.Outcome =>
      write._tag === "RecordStep" ? { _tag: "Stands", fresh: true, value: write.exit } : { _tag: "Made", fresh: true }
    return Effect.map(
      isReadonlyArrayNonEmpty(kept) ? store.commit(kept) : Effect.succeed([]),
      (outcomes) =>
        writes.map((write) => (isLost(write) ? undefined : outcomes[kept.indexOf(write)]) ?? outcomeOf(write))
    )
  }
})

describe("the audit of a disk", () => {
  it.live("misses what was acknowledged", () =>
    Effect.gen(function*() {
      assert.include(
        yield* saidOf(drops((write) => write._tag === "RecordStep" && write.name === "second")),
        "the disk has lost step second of"
      )
      assert.include(
        yield* saidOf(drops((write) => write._tag === "SetSession" && write.name === "initialized")),
        "the disk has nothing for the session's initialized"
      )
      assert.include(
        yield* saidOf(
          (store) => ({
            submit: (writes) => writes[0]._tag === "Append" ? Effect.void : store.submit(writes)
          })
        ),
        "the disk has lost event progress/1 of"
      )
      assert.include(
        yield* saidOf((store) => ({ sessions: (query) => Stream.take(store.sessions(query), 0) })),
        "the disk has lost a session"
      )
    }), 30_000)

  it.live("finds what nobody wrote, and what came second", () =>
    Effect.gen(function*() {
      assert.include(
        yield* saidOf(completed(() => ({ cancel: "now" }))),
        "the disk has the cancelling of"
      )
      assert.include(
        yield* saidOf(steps((steps) => steps.map((step) => ({ ...step, key: "another" })))),
        "for step first of"
      )
      assert.include(
        yield* saidOf(completed(({ signals }) => ({
          signals: signals.map((signal) => ({ ...signal, exit: `{"_tag":"TimedOut"}` }))
        }))),
        "which came first"
      )
      assert.include(
        yield* saidOf(completed(({ steps: [first, ...rest] }) => ({
          steps: first === undefined ? rest : [first, ...rest, { ...first, name: "third" }]
        }))),
        "the disk has step third"
      )
    }), 30_000)

  it.live("finds events that are out of line", () =>
    Effect.gen(function*() {
      assert.include(
        yield* saidOf(events((events) => events.map((event) => ({ ...event, seq: event.seq + 1 })))),
        "has number 2 and not 1"
      )
      assert.include(
        yield* saidOf(events((events) => events.filter(({ key }) => key !== "progress/1"))),
        "the disk has lost event progress/1 of"
      )
      assert.include(
        yield* saidOf(
          events((events) =>
            events.flatMap((event) => event.key === "result" ? [event, { ...event, seq: event.seq + 1 }] : [event])
          )
        ),
        "comes after the last one"
      )
      assert.include(
        yield* saidOf((store) => ({
          streams: (query) => Stream.map(store.streams(query), (record) => ({ ...record, closed: false }))
        })),
        "is open after its last event"
      )
    }), 30_000)

  it.live("finds what is left of an execution that is over", () =>
    Effect.gen(function*() {
      assert.include(
        yield* saidOf(completed(() => ({ timers: new Map([["answer/go", 1]]) }))),
        "is complete, and has a timer"
      )
      assert.include(
        yield* saidOf(completed(() => ({ parked: { state: "waiting", reason: undefined } }))),
        "is complete, and parked"
      )
    }), 30_000)

  it.live("knows what a store may drop when an execution is complete", () =>
    Effect.gen(function*() {
      const drops = completed(() => ({ payload: "", steps: [], signals: [] }))
      const asks = program((world) =>
        Effect.flatMap(ask("1 minute"), ({ _tag }) => Effect.as(step(world, "first"), _tag))
      )
      const wakes = { ...asks, answer: () => Effect.delay(asks.answer(), "2 minutes") }
      for (const run of [program(correct), asks, wakes]) {
        const kept = yield* CrashTest.run({ ...run, crashes: "crash@20000ms" })
        const dropped = yield* CrashTest.run({ ...run, disk: diskThat(drops), crashes: "crash@20000ms" })
        assert.deepStrictEqual(dropped.excuses, kept.excuses)
      }
    }), 30_000)

  it.live(
    "finds a store that takes the same twice as new, or knows nothing of what it has",
    () =>
      Effect.gen(function*() {
        const forgetful: Change = (store) => ({
          commit: (writes) =>
            Effect.map(store.commit(writes), (outcomes) =>
              outcomes.map((outcome, i) =>
                writes[i]?._tag === "RecordStep" && outcome._tag === "Stands"
                  ? { ...outcome, fresh: true, value: writes[i].exit }
                  : outcome
              ))
        })
        const error = yield* found(CrashTest.run({
          // the beginning is not looked at, so it is written again
          ...over(
            program(mail),
            steps((steps) =>
              steps.filter(({ kind }) =>
                kind !== "begin"
              )
            )
          ),
          disk: diskThat(forgetful),
          crashes: "crash@after:mail:1"
        }))
        assert.include(error.message, "as new, though it had it already")
        assert.include(
          yield* saidOf((store) => ({
            commit: (writes) =>
              Effect.map(
                store.commit(writes),
                (outcomes) =>
                  outcomes.map((outcome, i) => writes[i]?._tag === "Signal" ? { _tag: "Missing" } as const : outcome)
              )
          })),
          "the store knows nothing of"
        )
      }),
    30_000
  )
})

describe("the audit of a park", () => {
  const park = (seenSignals: number, state: Store.Park["state"] = "waiting"): Store.Write => ({
    _tag: "Park",
    id: "x",
    seenSignals,
    seenCancel: false,
    state
  })
  const signal = (name: string): Store.Write => ({ _tag: "Signal", id: "x", name, exit: "1" })
  const cancel: Store.Write = { _tag: "RequestCancel", id: "x", mode: "now" }
  const resume: Store.Write = { _tag: "Resume", id: "x" }
  const start: Store.Write = { _tag: "StartExecution", id: "x", workflow: "w", payload: "1" }

  const outcomes: { readonly [Tag in Store.Write["_tag"]]?: Store.Outcome } = {
    StartExecution: { _tag: "Made", fresh: true },
    Signal: { _tag: "Stands", fresh: true, value: "1" },
    Park: { _tag: "Parked", parked: true }
  }

  /** Operations of a process, each told in its place, or never; the last ones are those of the one that died. */
  const saidOf = (
    script: ReadonlyArray<readonly [did: "begins" | "told", write: Store.Write]>,
    record: Partial<Store.ExecutionRecord>
  ): string => {
    const violations: Array<string> = []
    const ledger = Ledger.make((text) => violations.push(text))
    const begun = new Map<Store.Write, { index: number; kind: "commit"; what: string; writes: [Store.Write] }>()
    for (const [did, write] of script) {
      const operation = begun.get(write) ?? { index: begun.size + 1, kind: "commit", what: write._tag, writes: [write] }
      begun.set(write, operation)
      const outcome = outcomes[write._tag]
      if (did === "begins") {
        ledger.begin(1, operation)
      } else if (outcome !== undefined) {
        const settled: Settled = { _tag: "Acknowledged", outcomes: [outcome] }
        ledger.settle(1, operation, settled)
      }
    }
    const execution: Store.ExecutionRecord = {
      id: "x",
      workflow: "w",
      payload: "1",
      parent: undefined,
      createdAt: 0,
      steps: [],
      signals: [],
      timers: new Map(),
      cancel: undefined,
      parked: undefined,
      recoveries: 0,
      result: undefined,
      completedAt: undefined,
      ...record
    }
    const disk: Audit.Disk = { keys: new Map(), sessions: [], streams: [], executions: [execution] }
    return [...violations, ...Audit.compare(disk, ledger, { latest: 0, wereSetBack: false })].join("\n")
  }

  const both = (write: Store.Write) => [["begins", write], ["told", write]] as const
  const recorded = (...names: ReadonlyArray<string>) => ({
    signals: names.map((name) => ({ name, exit: "1", recordedAt: 0 }))
  })
  const lost = "is not parked, though it was said to be"

  it.live("that was lost, by an execution that had been answered before", () =>
    Effect.gen(function*() {
      const asks = program(() => ask().pipe(Effect.andThen(ask()), Effect.as("done")))
      const error = yield* found(CrashTest.run({
        ...asks,
        answer: () => Effect.delay(asks.answer(), "1 minute"),
        disk: diskThat((store) => ({
          execution: (id) =>
            Effect.map(
              store.execution(id),
              Option.map((record) => record.signals.length === 1 ? { ...record, parked: undefined } : record)
            )
        })),
        crashes: "crash@90000ms"
      }))
      assert.include(error.violations.join("\n"), lost)
    }), 30_000)

  it("that was lost", () => {
    assert.include(saidOf([...both(start), ...both(park(0))], {}), lost)
    const answer = signal("answer")
    assert.include(saidOf([...both(start), ...both(answer), ...both(park(1))], recorded("answer")), lost)
    assert.include(saidOf([...both(start), ...both(park(0)), ["begins", answer]], {}), lost)
    assert.include(saidOf([...both(start), ...both(park(0)), ["begins", cancel]], {}), lost)
  })

  it("that was lost with an answer that does not end it", () => {
    assert.include(
      saidOf([...both(start), ...both(park(0, "stuck")), ...both(signal("answer"))], recorded("answer")),
      lost
    )
  })

  it("that ended with what nobody was told of", () => {
    const parked = park(0)
    assert.strictEqual(saidOf([...both(start), ...both(parked), ["begins", cancel]], { cancel: "now" }), "")
    // written while the park was on its way
    for (
      const [write, record] of [[signal("answer"), recorded("answer")], [cancel, { cancel: "now" }], [
        resume,
        {}
      ]] as const
    ) {
      assert.strictEqual(
        saidOf([...both(start), ["begins", parked], ["begins", write], ["told", parked]], record),
        "",
        write._tag
      )
    }
  })
})

describe("the audit of a database", () => {
  /** A database that a server has worked with, damaged by a statement. */
  const damaged = Effect.fnUntraced(function*(damage: string) {
    const folder = mkdtempSync(join(tmpdir(), "audit-test-"))
    const keep = join(folder, "kept.db")
    let runs = 0
    const file = () => join(folder, `${runs}.db`)
    yield* CrashTest.run({
      ...program(correct),
      disk: {
        name: "kept",
        make: Effect.sync(() => {
          runs++
          return {
            layer: SqliteStore.layer({ filename: file(), synchronous: "NORMAL" }),
            check: Effect.sync(() => AuditSqlite.check(file()))
          }
        })
      }
    })
    copyFileSync(file(), keep)
    const db = new DatabaseSync(keep)
    db.exec(damage)
    db.close()
    const wrong = AuditSqlite.check(keep)
    rmSync(folder, { recursive: true })
    return wrong.join("\n")
  })

  const cases: ReadonlyArray<readonly [damage: string, wrong: string]> = [
    ["SELECT 1", ""],
    ["DELETE FROM event WHERE seq = 2", "the events of a stream are not numbered from 1"],
    ["DELETE FROM step WHERE no = 1", "the steps of an execution are not numbered from 1"],
    ["DELETE FROM signal", "counts other signals than it has"],
    ["UPDATE execution SET result = NULL", "is complete without a result"],
    ["UPDATE execution SET park = 'waiting'", "a complete execution is parked"],
    ["UPDATE execution SET cancel = 'soon'", "in a state that there is not"],
    [
      "INSERT INTO timer (execution, name, at, exit) SELECT no, 't', 1, '' FROM execution",
      "a complete execution has a timer"
    ],
    ["INSERT INTO event (stream, seq, key) VALUES (99, 1, 'k')", "a event belongs to no stream"],
    ["DELETE FROM name", "the name of a session has no id"],
    ["UPDATE stream SET kept_from = 3", "an event that was trimmed is still there"],
    ["UPDATE stream SET tombstone = 1", "a forgotten stream has events"],
    ["UPDATE execution SET tombstone = 1", "a forgotten execution is not complete, or has kept something"]
  ]

  it.live.each(cases)("after %s", ([damage, wrong]) =>
    Effect.map(damaged(damage), (said) => {
      assert.include(said, wrong)
      assert.strictEqual(said === "", wrong === "")
    }), 30_000)

  it("reads what is in the log and not in the file yet", () => {
    const folder = mkdtempSync(join(tmpdir(), "audit-test-"))
    const db = new DatabaseSync(join(folder, "log.db"))
    db.exec("PRAGMA journal_mode = WAL; CREATE TABLE a (n INTEGER); INSERT INTO a VALUES (7)")
    const rows = AuditSqlite.withCopy(join(folder, "log.db"), (db) => db.prepare("SELECT n FROM a").all())
    db.close()
    rmSync(folder, { recursive: true })
    assert.deepStrictEqual(rows.map(({ n }) => n), [7])
  })
})
