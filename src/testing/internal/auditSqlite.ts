/**
 * Reads a database file with SQL of its own: shares no code with the store, only
 * the format.
 *
 * @internal
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { DatabaseSync } from "node:sqlite"

/**
 * Opens a copy of a database, so that it disturbs nobody, and gives what
 * `read` does. What was not checkpointed is in the log, which is copied too.
 *
 * @internal
 */
export const withCopy = <A>(filename: string, read: (db: DatabaseSync) => A): A => {
  const folder = Fs.mkdtempSync(Path.join(Fs.existsSync(sharedMemory) ? sharedMemory : Os.tmpdir(), "audit-"))
  try {
    const copy = Path.join(folder, "copy.db")
    for (const suffix of ["", "-wal"]) {
      if (Fs.existsSync(filename + suffix)) {
        Fs.copyFileSync(filename + suffix, copy + suffix)
      }
    }
    const db = new DatabaseSync(copy)
    try {
      return read(db)
    } finally {
      db.close()
    }
  } finally {
    Fs.rmSync(folder, { recursive: true })
  }
}

const sharedMemory = "/dev/shm"

/** What is wrong with a database: its pages, then what its rows say of each other. @internal */
export const check = (filename: string): ReadonlyArray<string> => {
  if (!Fs.existsSync(filename)) {
    return []
  }
  return withCopy(filename, (db) => {
    const damage = db.prepare("PRAGMA integrity_check").all().map((row) => String(Object.values(row)[0]))
    if (damage.join() !== "ok") {
      return damage.map((text) => `the file is damaged: ${text}`)
    }
    return rules.flatMap(({ sql, wrong }) =>
      db.prepare(sql).all().map((row) => `${wrong}: ${Object.values(row).join(", ")}`)
    )
  })
}

/** Each finds the rows that must not be. */
const rules: ReadonlyArray<{ readonly wrong: string; readonly sql: string }> = [
  ...([
    ["session", "name"],
    ["stream", "name"],
    ["stream", "session"],
    ["stream", "execution"],
    ["execution", "name"],
    ["execution", "parent"]
  ] as const).map(([table, column]) => ({
    wrong: `the ${column} of a ${table} has no id`,
    sql: `SELECT no FROM ${table} WHERE ${column} IS NOT NULL AND ${column} NOT IN (SELECT no FROM name)`
  })),
  ...([
    ["fact", "session", "session"],
    ["event", "stream", "stream"],
    ["step", "execution", "execution"],
    ["signal", "execution", "execution"],
    ["timer", "execution", "execution"]
  ] as const).map(([table, column, owner]) => ({
    wrong: `a ${table} belongs to no ${owner}`,
    sql: `SELECT DISTINCT ${column} FROM ${table} WHERE ${column} NOT IN (SELECT no FROM ${owner})`
  })),
  {
    wrong: "a stream belongs to a session that is not there",
    sql: "SELECT no FROM stream WHERE session IS NOT NULL AND session NOT IN (SELECT name FROM session)"
  },
  {
    wrong: "the events of a stream are not numbered from 1 (stream, first, last, how many)",
    sql: `SELECT stream, min(seq), max(seq), count(*) FROM event GROUP BY stream
      HAVING min(seq) <> 1 OR max(seq) <> count(*)`
  },
  {
    wrong: "an event that was trimmed is still there",
    sql: `SELECT event.stream, event.seq FROM event JOIN stream ON stream.no = event.stream
      WHERE event.seq < stream.kept_from AND event.data IS NOT NULL`
  },
  {
    wrong: "a forgotten stream has events, or is open",
    sql: `SELECT no FROM stream WHERE tombstone = 1
      AND (closed_at IS NULL OR EXISTS (SELECT 1 FROM event WHERE event.stream = stream.no))`
  },
  ...(["step", "signal"] as const).map((table) => ({
    wrong: `the ${table}s of an execution are not numbered from 1 (execution, first, last, how many)`,
    sql: `SELECT execution, min(no), max(no), count(*) FROM ${table} GROUP BY execution
      HAVING min(no) <> 1 OR max(no) <> count(*)`
  })),
  {
    wrong: "an execution counts other signals than it has (execution, counted, there)",
    sql: `SELECT no, signals, (SELECT count(*) FROM signal WHERE execution = execution.no) AS there FROM execution
      WHERE tombstone = 0 AND signals <> there`
  },
  {
    wrong: "an execution has a result and is not complete, or is complete without a result",
    sql: "SELECT no FROM execution WHERE (result IS NULL) <> (completed_at IS NULL)"
  },
  {
    wrong: "a complete execution is parked",
    sql: "SELECT no, park FROM execution WHERE completed_at IS NOT NULL AND park IS NOT NULL"
  },
  {
    wrong: "a complete execution has a timer",
    sql: `SELECT timer.execution, timer.name FROM timer JOIN execution ON execution.no = timer.execution
      WHERE execution.completed_at IS NOT NULL`
  },
  {
    wrong: "a timer is armed though its signal has come",
    sql: `SELECT timer.execution, timer.name FROM timer
      JOIN signal ON signal.execution = timer.execution AND signal.name = timer.name WHERE timer.armed = 1`
  },
  {
    wrong: "a timer has gone off without its signal",
    sql: `SELECT execution, name FROM timer WHERE armed = 0 AND NOT EXISTS
      (SELECT 1 FROM signal WHERE signal.execution = timer.execution AND signal.name = timer.name)`
  },
  {
    wrong: "an execution is in a state that there is not",
    sql: `SELECT no, park, cancel FROM execution
      WHERE park NOT IN ('waiting', 'stopped', 'stuck') OR cancel NOT IN ('safe', 'now')`
  },
  {
    wrong: "a forgotten execution is not complete, or has kept something",
    sql: `SELECT no FROM execution WHERE tombstone = 1 AND (completed_at IS NULL OR payload <> '' OR result <> ''
      OR EXISTS (SELECT 1 FROM step WHERE step.execution = execution.no)
      OR EXISTS (SELECT 1 FROM signal WHERE signal.execution = execution.no))`
  },
  {
    wrong: "a child has ended and its parent has not been told",
    sql: `SELECT child.no, parent.no FROM execution AS child JOIN execution AS parent ON parent.name = child.parent
      JOIN name ON name.no = child.name
      WHERE child.completed_at IS NOT NULL AND parent.completed_at IS NULL AND NOT EXISTS
      (SELECT 1 FROM signal WHERE signal.execution = parent.no AND signal.name = 'child/' || name.id)`
  }
]
