import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import * as Fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import * as Backend from "../../src/store/internal/sqliteBackend.ts"
import * as File from "../../src/store/internal/sqliteFile.ts"
import * as SqliteSchema from "../../src/store/internal/sqliteSchema.ts"
import * as Statements from "../../src/store/internal/sqliteStatements.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store, type Write } from "../../src/store/Store.ts"
import * as TempFile from "./sqlite/TempFile.ts"

const openStream = (stream: string, session?: string): Write => ({
  _tag: "OpenStream",
  stream,
  session,
  principal: "p",
  requestDigest: "d",
  version: "1",
  execution: stream
})

const openBackend = Effect.gen(function*() {
  const filename = yield* TempFile.make
  return yield* Effect.acquireRelease(
    Effect.sync(() =>
      File.open({ filename, synchronous: "NORMAL", maxPageCount: undefined, migrations: SqliteSchema.migrations })
    ),
    (file) => Effect.sync(file.close)
  )
})

describe("what SqliteStore keeps", () => {
  const keepsText = Effect.fnUntraced(function*(name: string, text: string) {
    const store = yield* Store
    yield* store.commit([
      { _tag: "OpenSession", id: name, principal: "p", data: text },
      { _tag: "SetSession", id: name, name: "fact", writeKey: "1", value: text },
      openStream(name),
      { _tag: "Append", stream: name, key: "a", data: text },
      { _tag: "StartExecution", id: name, workflow: "w", payload: text },
      { _tag: "RecordStep", id: name, name: "s", key: "k", kind: "step", root: true, version: "1", exit: text },
      { _tag: "Signal", id: name, name: "s", exit: text },
      { _tag: "Complete", id: name, result: text }
    ])
    const session = Option.getOrThrow(yield* store.session(name))
    const execution = Option.getOrThrow(yield* store.execution(name))
    const { events } = yield* store.events(name, 0, 10)
    for (
      const kept of [
        session.data,
        session.facts.get("fact"),
        events[0]?.data,
        execution.payload,
        execution.steps[0]?.exit,
        execution.signals[0]?.exit,
        execution.result
      ]
    ) {
      // Not a deep comparison: that would print megabytes.
      assert.isTrue(kept === text, `${kept?.length} characters instead of ${text.length}`)
    }
  }, Effect.provide(SqliteStore.layer({ filename: ":memory:" })))

  it.effect.prop("any JSON", { json: Schema.Json }, ({ json }) => keepsText("n", JSON.stringify(json)), {
    arbitrary: { runs: 200 }
  })

  it.effect("text that other stores stumble over", () =>
    Effect.forEach([
      "\u{1F600}\u{10FFFF}",
      "\u2028\u2029\u0085",
      "\u0000\u0001\u001f\u007f",
      "\ud800", // A lone surrogate is an escape in JSON text.
      "\ufeff\ufffe\uffff",
      "'; DROP TABLE event; --",
      "",
      "x".repeat(1_000_000),
      "\u{1F600}".repeat(250_000)
    ], (text) => keepsText("n", JSON.stringify(text))))

  it.effect("ids of any characters, each its own", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const ids = ["a", "A", "ä", "a\u0308", "a ", " a", "%", "1", "01", "1.0", "\u2028", "\u{1F600}"]
      for (const id of ids) yield* store.commit([{ _tag: "OpenSession", id, principal: id, data: "{}" }])
      const sessions = yield* Stream.runCollect(store.sessions({}))
      assert.deepStrictEqual(sessions.map((session) => session.id), ids)
    }).pipe(Effect.provide(SqliteStore.layer({ filename: ":memory:" }))))

  it.effect("nothing under an id that SQLite's text cannot hold, and the commit beside it is not harmed", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const open = (id: string) => store.commit([{ _tag: "OpenSession", id, principal: "p", data: "{}" }])
      const outcomes = yield* Effect.all(
        ["\0", "a\0b", "\ud800", "\udc00x", "", "x".repeat(1_025), "good"].map((id) =>
          Effect.match(open(id), { onFailure: (error) => error.reason, onSuccess: () => "stored" })
        ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(outcomes, [...Array.from({ length: 6 }, () => "InvalidText"), "stored"])
    }).pipe(Effect.provide(SqliteStore.layer({ filename: ":memory:" }))))

  it.effect("no number that its columns cannot hold", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const trim = (beforeSeq: number) => store.commit([{ _tag: "Trim", stream: "s", beforeSeq }])
      for (const beforeSeq of [1.5, Number.MAX_VALUE, Infinity, Number.NaN]) {
        assert.strictEqual((yield* Effect.flip(trim(beforeSeq))).reason, "InvalidText")
      }
      const arm = (at: number) => store.commit([{ _tag: "ArmTimer", id: "x", name: "t", at, exit: "1" }])
      yield* arm(Number.MAX_VALUE)
      assert.strictEqual((yield* Effect.flip(arm(Number.NaN))).reason, "InvalidText")
    }).pipe(Effect.provide(SqliteStore.layer({ filename: ":memory:" }))))

  it.effect("no payload above maxPayloadBytes, counted in UTF-8", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const put = (id: string, data: string) => store.commit([{ _tag: "OpenSession", id, principal: "p", data }])
      yield* put("a", "x".repeat(100))
      assert.strictEqual((yield* Effect.flip(put("b", "x".repeat(101)))).reason, "PayloadTooLarge")
      assert.strictEqual((yield* Effect.flip(put("c", "ä".repeat(51)))).reason, "PayloadTooLarge")
    }).pipe(Effect.provide(SqliteStore.layer({ filename: ":memory:", maxPayloadBytes: 100 }))))

  it.effect("times that are no whole milliseconds", () =>
    Effect.gen(function*() {
      const file = yield* openBackend
      const backend = Backend.make(file)
      backend.apply([[
        { _tag: "StartExecution", id: "x", workflow: "w", payload: "{}" },
        { _tag: "ArmTimer", id: "x", name: "t", at: 1.5, exit: "1" }
      ]], 0.25)
      assert.strictEqual(backend.nextTimer(), 1.5)
      assert.deepStrictEqual(backend.dueTimers(1.25, 10), [])
      assert.strictEqual(backend.execution("x")?.createdAt, 0.25)
    }))
})

describe("event ids that clients keep", () => {
  it.effect("never name another stream, also after the last one was forgotten", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const tokens: Array<string> = []
      for (const id of ["a", "b", "c"]) {
        const [, opened] = yield* store.commit([
          { _tag: "OpenSession", id, principal: "p", data: "{}" },
          openStream(id, id),
          { _tag: "EndSession", id },
          { _tag: "ForgetSession", id }
        ])
        assert.ok(opened?._tag === "Opened")
        tokens.push(opened.token)
      }
      assert.strictEqual(new Set(tokens).size, 3)
      assert.deepStrictEqual(yield* store.stream({ token: tokens[0]! }), Option.none())
    }).pipe(Effect.provide(SqliteStore.layer({ filename: ":memory:" }))))

  it.effect("have one spelling", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.commit([openStream("a")])
      assert.isTrue(Option.isSome(yield* store.stream({ token: "1" })))
      for (const token of ["01", "1.0", "+1", " 1", "1 ", "1e0", "0x1", "-1", "0", "", "NaN", "9".repeat(40)]) {
        assert.deepStrictEqual(yield* store.stream({ token }), Option.none(), token)
      }
    }).pipe(Effect.provide(SqliteStore.layer({ filename: ":memory:" }))))
})

describe("the size of the file", () => {
  /** The life of a session with ten calls, from its start until retention takes it. */
  const life = (session: string): ReadonlyArray<Write> => {
    const calls = Array.from({ length: 10 }, (_, i) => `${session}/${i}`)
    const data = JSON.stringify("x".repeat(500))
    return [
      { _tag: "OpenSession", id: session, principal: "p", data },
      { _tag: "SetSession", id: session, name: "level", writeKey: "1", value: data },
      ...calls.flatMap((id): ReadonlyArray<Write> => [
        openStream(id, session),
        { _tag: "StartExecution", id, workflow: "w", payload: data, parent: id === calls[0] ? undefined : calls[0] },
        { _tag: "RecordStep", id, name: "s", key: "k", kind: "step", root: true, version: "1", exit: data },
        { _tag: "ArmTimer", id, name: "t", at: 1, exit: data },
        { _tag: "Signal", id, name: "s", exit: data },
        { _tag: "Append", stream: id, key: "a", data },
        { _tag: "Append", stream: id, key: "b", data, last: true },
        { _tag: "Complete", id, result: data }
      ]),
      ...calls.map((id): Write => ({ _tag: "Forget", id })),
      { _tag: "EndSession", id: session }
    ]
  }

  it.effect("levels off under steady load, log included: what retention frees is used again", () =>
    Effect.gen(function*() {
      const file = yield* openBackend
      const backend = Backend.make(file)
      const sizes: Array<number> = []
      for (let n = 0; n < 400; n++) {
        const writes: Array<Write> = [...life(`session-${n}`)]
        // Retention runs twenty sessions behind.
        if (n >= 20) writes.push({ _tag: "ForgetSession", id: `session-${n - 20}` })
        backend.apply([writes], n)
        sizes.push(Number(file.db.prepare("PRAGMA page_count").get()?.page_count))
        assert.isBelow(Fs.statSync(`${file.file}-wal`).size, 8 * 1024 * 1024)
      }
      assert.isAtMost(sizes[399]!, sizes[99]! * 1.1)
    }))

  it.effect("a forgotten session leaves nothing", () =>
    Effect.gen(function*() {
      const file = yield* openBackend
      const backend = Backend.make(file)
      backend.apply([[...life("a"), { _tag: "ForgetSession", id: "a" }]], 1)
      for (const table of ["name", "session", "fact", "stream", "event", "execution", "step", "signal", "timer"]) {
        assert.deepInclude(file.db.prepare(`SELECT count(*) AS rows FROM ${table}`).get(), { rows: 0 }, table)
      }
    }))
})

describe("a start with many parked executions", () => {
  it.effect("reads those that must run, and no other", () =>
    Effect.gen(function*() {
      const file = yield* openBackend
      const backend = Backend.make(file)
      const parked = Array.from({ length: 2_000 }, (_, i): ReadonlyArray<Write> => [
        { _tag: "StartExecution", id: `x${i}`, workflow: "w", payload: "{}" },
        { _tag: "Park", id: `x${i}`, seenSignals: 0, seenCancel: false, state: "waiting" }
      ])
      backend.apply(parked, 1)
      backend.apply([[{ _tag: "Signal", id: "x7", name: "s", exit: "1" }]], 2)
      assert.deepStrictEqual(backend.runnable(0, 100).items, [{ id: "x7", cutOff: true }])
    }))

  it("every statement finds its rows by a key: none reads a table from end to end", () => {
    const texts: Array<string> = []
    class Recording extends DatabaseSync {
      override prepare(text: string) {
        texts.push(text)
        return super.prepare(text)
      }
    }
    const db = new Recording(":memory:")
    SqliteSchema.migrate(db, SqliteSchema.migrations)
    texts.length = 0
    const statements = Object.values(Statements.make(db))
    for (const statement of statements) {
      try {
        // Prepares it; without parameters most then find nothing or fail.
        Reflect.apply(statement.get, undefined, [])
      } catch {}
    }
    assert.strictEqual(texts.length, statements.length)
    for (const text of texts.filter((text) => !/^(BEGIN|COMMIT|ROLLBACK)/.test(text))) {
      for (const row of db.prepare(`EXPLAIN QUERY PLAN ${text}`).all()) {
        const detail = String(row.detail)
        if (!detail.startsWith("SCAN json_each")) assert.notMatch(detail, /^SCAN/, text)
      }
    }
  })
})

describe("a transaction that fails", () => {
  it.effect("leaves nothing of it in memory either: the next event has the next place", () =>
    Effect.gen(function*() {
      const backend = Backend.make(yield* openBackend)
      const append = (key: string, data: unknown = "{}"): Write => ({
        _tag: "Append",
        stream: "s",
        key,
        data: data as string
      })
      backend.apply([[openStream("s"), append("a")]], 0)
      // no value of SQLite's: fails the batch after its first events
      assert.throws(() => backend.apply([[append("b"), append("c")], [append("d", {})]], 0))
      assert.throws(() => backend.apply([[openStream("t")], [append("d", {})]], 0))
      assert.strictEqual(backend.stream({ id: "s" })?.lastSeq, 1)
      assert.isUndefined(backend.stream({ id: "t" }))
      const outcomes = backend.apply([[append("c")], [{ ...append("a"), stream: "t" } as Write]], 0)
      assert.deepStrictEqual(outcomes, [[{ _tag: "Appended", fresh: true, seq: 2 }], [{ _tag: "Missing" }]])
    }))
})
