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
import * as AuditSqlite from "../../src/testing/internal/auditSqlite.ts"
import { type Change, correct, diskThat, found, mail, over, program } from "./program.ts"

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
