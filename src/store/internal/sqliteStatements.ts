/**
 * Every SQL statement of the store, prepared when it is first used and then
 * kept for the life of the connection.
 *
 * @internal
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import { runnable } from "./sqliteSchema.ts"

/** A prepared statement with the types of its parameters and rows. */
export interface Statement<P extends ReadonlyArray<SQLInputValue>, R> {
  readonly get: (...parameters: P) => R | undefined
  readonly all: (...parameters: P) => ReadonlyArray<R>
  /** Number of rows that changed. */
  readonly run: (...parameters: P) => number
}

/** What a write has to know of its stream. */
export interface StreamHead {
  readonly no: number
  readonly digest: string
  readonly closed: number
  readonly kept_from: number
  readonly tombstone: number
  readonly last_seq: number
}

/** What a write has to know of its execution. */
export interface ExecutionHead {
  readonly no: number
  readonly done: number
  readonly signals: number
  readonly cancel: string | null
  readonly park: string | null
  readonly recoveries: number
  readonly boot: string | null
  readonly tombstone: number
  readonly parent: string | null
}

/** @internal */
export interface SessionRow {
  readonly no: number
  readonly id: string
  readonly principal: string
  readonly data: string
  readonly created_at: number
  readonly ended: number
}

/** @internal */
export interface StreamRow {
  readonly no: number
  readonly id: string
  readonly session: string | null
  readonly principal: string
  readonly digest: string
  readonly version: string
  readonly execution: string | null
  readonly created_at: number
  readonly last_seq: number
  readonly closed: number
  readonly tombstone: number
}

/** @internal */
export interface ExecutionRow {
  readonly no: number
  readonly id: string
  readonly workflow: string
  readonly payload: string
  readonly parent: string | null
  readonly created_at: number
  readonly completed_at: number | null
  readonly result: string | null
  readonly cancel: "safe" | "now" | null
  readonly park: "waiting" | "stopped" | "stuck" | null
  readonly reason: string | null
  readonly recoveries: number
}

/** @internal */
export interface SummaryRow {
  readonly no: number
  readonly id: string
  readonly workflow: string
  readonly created_at: number
  readonly completed_at: number | null
  readonly state: "running" | "waiting" | "stopped" | "stuck" | "completed"
  readonly cancel: "safe" | "now" | null
  readonly reason: string | null
  readonly recoveries: number
  readonly session: string | null
}

// Seqs are dense, and rows of trimmed events stay: the newest row has the last seq.
const lastSeq = "coalesce((SELECT max(seq) FROM event WHERE stream = stream.no), stream.tombstone_seq) AS last_seq"

const streamColumns = `
  stream.no, self.id, session.id AS session, stream.principal, stream.digest, stream.version,
  execution.id AS execution, stream.created_at, stream.closed_at IS NOT NULL AS closed, stream.tombstone, ${lastSeq}
  FROM stream JOIN name AS self ON self.no = stream.name
  LEFT JOIN name AS session ON session.no = stream.session
  LEFT JOIN name AS execution ON execution.no = stream.execution`

const sessionColumns = `
  session.no, name.id, principal, data, created_at, ended FROM session JOIN name ON name.no = session.name`

const state = "CASE WHEN completed_at IS NOT NULL THEN 'completed' ELSE coalesce(park, 'running') END"

type SummaryParameters = [
  after: number,
  limit: number,
  workflow: string | null,
  session: string | null,
  states: string | null,
  completedBefore: number | null
]

const sessionParameter = "(SELECT no FROM name WHERE id = ?4)"

/** `condition` repeats one of the optional ones in a form by which SQLite finds an index. */
const summaries = (condition: string) => `
  SELECT execution.no, self.id, workflow, execution.created_at, completed_at, ${state} AS state, cancel, reason,
  recoveries, owner.id AS session
  FROM execution JOIN name AS self ON self.no = execution.name
  LEFT JOIN stream ON stream.name = execution.name LEFT JOIN name AS owner ON owner.no = stream.session
  WHERE execution.tombstone = 0 AND execution.no > ?1 AND ${condition}
  AND (?3 IS NULL OR workflow = ?3) AND (?4 IS NULL OR stream.session = ${sessionParameter})
  AND (?5 IS NULL OR ${state} IN (SELECT value FROM json_each(?5))) AND (?6 IS NULL OR completed_at < ?6)
  ORDER BY execution.no LIMIT ?2`

/** Who else refers to an interned id: only an id that nobody refers to is dropped. */
const isUnused = `
  NOT EXISTS (SELECT 1 FROM session WHERE session.name = ?1)
  AND NOT EXISTS (SELECT 1 FROM stream WHERE stream.name = ?1)
  AND NOT EXISTS (SELECT 1 FROM stream WHERE stream.session = ?1)
  AND NOT EXISTS (SELECT 1 FROM stream WHERE stream.execution = ?1
    AND stream.execution IS NOT NULL AND stream.execution <> stream.name)
  AND NOT EXISTS (SELECT 1 FROM execution WHERE execution.name = ?1)
  AND NOT EXISTS (SELECT 1 FROM execution WHERE execution.parent = ?1)`

/** @internal */
export const make = (db: DatabaseSync) => {
  // The one place where rows get their types: `node:sqlite` has none.
  const sql = <P extends ReadonlyArray<SQLInputValue>, R = never>(text: string): Statement<P, R> => {
    let prepared: StatementSync | undefined
    const statement = () => prepared ??= db.prepare(text)
    return {
      get: (...parameters) => statement().get(...parameters) as R | undefined,
      all: (...parameters) => statement().all(...parameters) as unknown as ReadonlyArray<R>,
      run: (...parameters) => Number(statement().run(...parameters).changes)
    }
  }
  return {
    begin: sql<[]>("BEGIN IMMEDIATE"),
    commit: sql<[]>("COMMIT"),
    rollback: sql<[]>("ROLLBACK"),

    name: sql<[id: string], { readonly no: number }>("SELECT no FROM name WHERE id = ?"),
    addName: sql<[id: string], { readonly no: number }>("INSERT INTO name (id) VALUES (?) RETURNING no"),
    dropName: sql<[no: number]>(`DELETE FROM name WHERE no = ?1 AND ${isUnused}`),

    key: sql<[name: string], { readonly value: string }>("SELECT value FROM key WHERE name = ?"),
    addKey: sql<[name: string, value: string]>("INSERT INTO key (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING"),

    session: sql<[id: string], SessionRow & { readonly name: number }>(
      `SELECT session.name, ${sessionColumns} WHERE name.id = ?`
    ),
    addSession: sql<[name: number, principal: string, data: string, now: number]>(
      "INSERT INTO session (name, principal, data, created_at, written_at) VALUES (?1, ?2, ?3, ?4, ?4)"
    ),
    touchSession: sql<[no: number, now: number]>("UPDATE session SET written_at = ?2 WHERE no = ?1"),
    endSession: sql<[no: number]>("UPDATE session SET ended = 1 WHERE no = ?"),
    dropSession: sql<[no: number]>("DELETE FROM session WHERE no = ?"),
    sessions: sql<
      [principal: string | null, ended: number | null, writtenBefore: number | null, after: number, limit: number],
      SessionRow
    >(
      `SELECT ${sessionColumns} WHERE (?1 IS NULL OR principal = ?1) AND (?2 IS NULL OR ended = ?2)
      AND (?3 IS NULL OR written_at < ?3) AND session.no > ?4 ORDER BY session.no LIMIT ?5`
    ),

    facts: sql<[session: number], { readonly name: string; readonly value: string }>(
      "SELECT name, value FROM fact WHERE session = ?"
    ),
    // The same write key again is no change.
    setFact: sql<[session: number, name: string, writeKey: string, value: string]>(
      `INSERT INTO fact (session, name, write_key, value) VALUES (?1, ?2, ?3, ?4)
      ON CONFLICT DO UPDATE SET write_key = ?3, value = ?4 WHERE write_key <> ?3`
    ),
    dropFacts: sql<[session: number]>("DELETE FROM fact WHERE session = ?"),

    streamHead: sql<[id: string], StreamHead>(
      `SELECT stream.no, digest, closed_at IS NOT NULL AS closed, kept_from, tombstone, ${lastSeq}
      FROM name JOIN stream ON stream.name = name.no WHERE name.id = ?`
    ),
    addStream: sql<
      [
        name: number,
        session: number | null,
        principal: string,
        digest: string,
        version: string,
        execution: number | null,
        now: number
      ],
      { readonly no: number }
    >(
      `INSERT INTO stream (name, session, principal, digest, version, execution, created_at)
      VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING no`
    ),
    closeStream: sql<[no: number, now: number]>("UPDATE stream SET closed_at = ?2 WHERE no = ?1"),
    trimStream: sql<[no: number, keptFrom: number]>("UPDATE stream SET kept_from = ?2 WHERE no = ?1"),
    buryStream: sql<[no: number, lastSeq: number, now: number]>(
      `UPDATE stream SET tombstone = 1, tombstone_seq = ?2, kept_from = ?2 + 1, closed_at = coalesce(closed_at, ?3)
      WHERE no = ?1`
    ),
    dropStream: sql<[no: number]>("DELETE FROM stream WHERE no = ?"),
    streamById: sql<[id: string], StreamRow>(`SELECT ${streamColumns} WHERE self.id = ?`),
    streamByNo: sql<[no: number], StreamRow>(`SELECT ${streamColumns} WHERE stream.no = ?`),
    streamsOfSession: sql<
      [session: number],
      { readonly no: number; readonly name: number; readonly execution: number | null }
    >("SELECT no, name, execution FROM stream WHERE session = ?"),
    streams: sql<[after: number, limit: number], StreamRow>(
      `SELECT ${streamColumns} WHERE stream.no > ? ORDER BY stream.no LIMIT ?`
    ),
    streamsBySession: sql<[after: number, limit: number, session: string], StreamRow>(
      `SELECT ${streamColumns} WHERE stream.session = (SELECT no FROM name WHERE id = ?3)
      AND stream.no > ?1 ORDER BY stream.no LIMIT ?2`
    ),
    streamsClosedBefore: sql<[after: number, limit: number, closedBefore: number, session: string | null], StreamRow>(
      `SELECT ${streamColumns} WHERE stream.closed_at IS NOT NULL AND stream.tombstone = 0 AND stream.closed_at < ?3
      AND (?4 IS NULL OR session.id = ?4) AND stream.no > ?1 ORDER BY stream.no LIMIT ?2`
    ),

    append: sql<[stream: number, seq: number, key: string, data: string | null]>(
      "INSERT INTO event (stream, seq, key, data) VALUES (?, ?, ?, ?) ON CONFLICT (stream, key) DO NOTHING"
    ),
    seqOfKey: sql<[stream: number, key: string], { readonly seq: number }>(
      "SELECT seq FROM event WHERE stream = ? AND key = ?"
    ),
    events: sql<
      [stream: number, after: number, limit: number],
      { readonly seq: number; readonly key: string; readonly data: string | null }
    >("SELECT seq, key, data FROM event WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?"),
    trimEvents: sql<[stream: number, from: number, before: number]>(
      "UPDATE event SET data = NULL WHERE stream = ? AND seq >= ? AND seq < ?"
    ),
    dropEvents: sql<[stream: number]>("DELETE FROM event WHERE stream = ?"),

    executionHead: sql<[id: string], ExecutionHead>(
      `SELECT execution.no, completed_at IS NOT NULL AS done, signals, cancel, park, recoveries, boot, tombstone,
      parent.id AS parent
      FROM name JOIN execution ON execution.name = name.no LEFT JOIN name AS parent ON parent.no = execution.parent
      WHERE name.id = ?`
    ),
    addExecution: sql<[name: number, workflow: string, payload: string, parent: number | null, now: number]>(
      "INSERT INTO execution (name, workflow, payload, parent, created_at) VALUES (?, ?, ?, ?, ?)"
    ),
    children: sql<[parent: number], { readonly name: number }>("SELECT name FROM execution WHERE parent = ?"),
    executionByName: sql<
      [name: number],
      { readonly no: number; readonly done: number; readonly parent: number | null }
    >("SELECT no, completed_at IS NOT NULL AS done, parent FROM execution WHERE name = ?"),
    beginRecovery: sql<[no: number, boot: string]>(
      "UPDATE execution SET boot = ?2, recoveries = recoveries + 1 WHERE no = ?1"
    ),
    resetRecoveries: sql<[no: number]>("UPDATE execution SET recoveries = 0 WHERE no = ?"),
    // A waiting execution has news: its park is void.
    countSignal: sql<[no: number]>(
      `UPDATE execution SET signals = signals + 1, reason = CASE park WHEN 'waiting' THEN NULL ELSE reason END,
      park = CASE park WHEN 'waiting' THEN NULL ELSE park END WHERE no = ?`
    ),
    cancel: sql<[no: number, mode: string]>("UPDATE execution SET cancel = ?2 WHERE no = ?1"),
    park: sql<[no: number, state: string, reason: string | null]>(
      "UPDATE execution SET park = ?2, reason = ?3, recoveries = 0 WHERE no = ?1"
    ),
    unpark: sql<[no: number]>("UPDATE execution SET park = NULL, reason = NULL WHERE no = ?"),
    complete: sql<[no: number, result: string, now: number]>(
      "UPDATE execution SET result = ?2, completed_at = ?3, park = NULL, reason = NULL WHERE no = ?1"
    ),
    result: sql<[no: number], { readonly value: string }>("SELECT result AS value FROM execution WHERE no = ?"),
    buryExecution: sql<[no: number]>(
      "UPDATE execution SET tombstone = 1, payload = '', result = '', cancel = NULL, boot = NULL WHERE no = ?"
    ),
    dropExecution: sql<[no: number]>("DELETE FROM execution WHERE no = ?"),
    execution: sql<[id: string], ExecutionRow>(
      `SELECT execution.no, name.id, workflow, payload, parent.id AS parent, created_at, completed_at, result, cancel,
      park, reason, recoveries
      FROM name JOIN execution ON execution.name = name.no LEFT JOIN name AS parent ON parent.no = execution.parent
      WHERE name.id = ? AND tombstone = 0`
    ),
    executions: sql<SummaryParameters, SummaryRow>(summaries("TRUE")),
    executionsOfSession: sql<SummaryParameters, SummaryRow>(summaries(`stream.session = ${sessionParameter}`)),
    executionsCompleted: sql<SummaryParameters, SummaryRow>(summaries("completed_at IS NOT NULL")),
    standing: sql<
      [id: string],
      { readonly parent: string | null; readonly state: SummaryRow["state"] }
    >(
      `SELECT parent.id AS parent, ${state} AS state
      FROM name JOIN execution ON execution.name = name.no LEFT JOIN name AS parent ON parent.no = execution.parent
      WHERE name.id = ? AND tombstone = 0`
    ),
    runnable: sql<
      [after: number, limit: number],
      { readonly no: number; readonly id: string; readonly cutOff: number }
    >(
      `SELECT execution.no, name.id, park IS NOT 'stopped' AS cutOff
      FROM execution JOIN name ON name.no = execution.name
      WHERE ${runnable} AND execution.no > ? ORDER BY execution.no LIMIT ?`
    ),

    // Steps count themselves: their rows are never removed one by one.
    addStep: sql<
      [
        execution: number,
        name: string,
        key: string,
        kind: string,
        root: number,
        version: string,
        exit: string,
        now: number
      ]
    >(
      `INSERT INTO step (execution, no, name, key, kind, root, version, exit, recorded_at)
      SELECT ?1, coalesce(max(no), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM step WHERE execution = ?1
      ON CONFLICT (execution, name) DO NOTHING`
    ),
    stepExit: sql<[execution: number, name: string], { readonly value: string }>(
      "SELECT exit AS value FROM step WHERE execution = ? AND name = ?"
    ),
    steps: sql<
      [execution: number],
      {
        readonly name: string
        readonly key: string
        readonly kind: string
        readonly root: number
        readonly version: string
        readonly exit: string
        readonly recorded_at: number
      }
    >("SELECT name, key, kind, root, version, exit, recorded_at FROM step WHERE execution = ? ORDER BY no"),
    dropSteps: sql<[execution: number]>("DELETE FROM step WHERE execution = ?"),

    addSignal: sql<[execution: number, no: number, name: string, exit: string, now: number]>(
      `INSERT INTO signal (execution, no, name, exit, recorded_at) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (execution, name) DO NOTHING`
    ),
    signalExit: sql<[execution: number, name: string], { readonly value: string }>(
      "SELECT exit AS value FROM signal WHERE execution = ? AND name = ?"
    ),
    signals: sql<
      [execution: number],
      { readonly name: string; readonly exit: string; readonly recorded_at: number }
    >("SELECT name, exit, recorded_at FROM signal WHERE execution = ? ORDER BY no"),
    dropSignals: sql<[execution: number]>("DELETE FROM signal WHERE execution = ?"),

    addTimer: sql<[execution: number, name: string, at: number, exit: string]>(
      "INSERT INTO timer (execution, name, at, exit) VALUES (?, ?, ?, ?)"
    ),
    timer: sql<[execution: number, name: string], { readonly at: number }>(
      "SELECT at FROM timer WHERE execution = ? AND name = ?"
    ),
    // The row stays: its key is used.
    disarm: sql<[execution: number, name: string]>(
      "UPDATE timer SET armed = 0, exit = '' WHERE execution = ? AND name = ?"
    ),
    timers: sql<[execution: number], { readonly name: string; readonly at: number }>(
      "SELECT name, at FROM timer WHERE execution = ? AND armed = 1"
    ),
    nextTimer: sql<[], { readonly at: number | null }>("SELECT min(at) AS at FROM timer WHERE armed = 1"),
    dueTimers: sql<
      [now: number, limit: number],
      { readonly id: string; readonly name: string; readonly exit: string }
    >(
      `SELECT self.id, timer.name, timer.exit FROM timer JOIN execution ON execution.no = timer.execution
      JOIN name AS self ON self.no = execution.name WHERE timer.armed = 1 AND timer.at <= ? ORDER BY timer.at LIMIT ?`
    ),
    dropTimers: sql<[execution: number]>("DELETE FROM timer WHERE execution = ?")
  }
}

/** @internal */
export type Statements = ReturnType<typeof make>
