/**
 * The format of a database file and the way from each older one to the newest.
 *
 * @internal
 */
import type { DatabaseSync } from "node:sqlite"
import { StoreError } from "../StoreError.ts"
import * as Errors from "./sqliteErrors.ts"

/** One step from format `version - 1` to `version`. */
export interface Migration {
  readonly version: number
  readonly up: (db: DatabaseSync) => void
}

/** `PRAGMA application_id` of our files: "EDMc". It tells them from other programs' databases. */
export const applicationId = 0x45444d63

/**
 * Which executions a start has to run. A partial index and the query that uses
 * it say it in the same words, else SQLite does not see that they agree.
 */
export const runnable = "completed_at IS NULL AND (park IS NULL OR park = 'stopped')"

/**
 * Format 1.
 *
 * Ids come from outside and are random: a random key in front of an index costs
 * 25 µs an insert, a number that only grows 3 µs. So each id is interned once
 * in `name`, and all other keys are numbers that the store hands out.
 *
 * `event`: clustered by (stream, seq), since reading is following. The first
 * append under a key wins, also after the event was trimmed (its row stays,
 * without data), which takes an index on (stream, key). Measured at 10 events a
 * stream and 64 events a commit: 4.2 µs an insert with it, 3.3 µs without it
 * (keys of open streams in memory), 4.5 µs with a 32-bit hash in the key's
 * place; a whole `Append` takes 8 µs. The microsecond buys a store without a
 * cache that a rolled-back transaction could leave wrong, and open streams that
 * cost no memory.
 *
 * `stream.no` is the stream's token in event ids that clients keep, so it is
 * never used again (`AUTOINCREMENT`), also after its session was forgotten.
 *
 * `execution_runnable` lets a start with thousands of parked executions find
 * the few that must run.
 */
const initial = `
CREATE TABLE name (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE key (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  no INTEGER PRIMARY KEY,
  name INTEGER NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at REAL NOT NULL,
  written_at REAL NOT NULL,
  ended INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE fact (
  session INTEGER NOT NULL,
  name TEXT NOT NULL,
  write_key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (session, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  name INTEGER NOT NULL UNIQUE,
  session INTEGER,
  principal TEXT NOT NULL,
  digest TEXT NOT NULL,
  version TEXT NOT NULL,
  execution INTEGER,
  created_at REAL NOT NULL,
  closed_at REAL,
  kept_from INTEGER NOT NULL DEFAULT 1, -- events before this seq were trimmed
  tombstone INTEGER NOT NULL DEFAULT 0,
  tombstone_seq INTEGER NOT NULL DEFAULT 0 -- the last seq, when the events are gone
) STRICT;
CREATE INDEX stream_session ON stream (session) WHERE session IS NOT NULL;
CREATE INDEX stream_execution ON stream (execution) WHERE execution IS NOT NULL AND execution <> name;
CREATE INDEX stream_closed ON stream (no, closed_at) WHERE closed_at IS NOT NULL AND tombstone = 0;

CREATE TABLE event (
  stream INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  key TEXT NOT NULL,
  data TEXT,
  PRIMARY KEY (stream, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX event_key ON event (stream, key);

CREATE TABLE execution (
  no INTEGER PRIMARY KEY,
  name INTEGER NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  payload TEXT NOT NULL,
  parent INTEGER,
  created_at REAL NOT NULL,
  completed_at REAL,
  result TEXT,
  signals INTEGER NOT NULL DEFAULT 0, -- how many there are
  cancel TEXT,
  park TEXT, -- NULL: running
  reason TEXT,
  recoveries INTEGER NOT NULL DEFAULT 0,
  boot TEXT, -- of the last recovery
  tombstone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX execution_parent ON execution (parent) WHERE parent IS NOT NULL;
CREATE INDEX execution_completed ON execution (no, completed_at) WHERE completed_at IS NOT NULL AND tombstone = 0;
CREATE INDEX execution_runnable ON execution (no) WHERE ${runnable};

CREATE TABLE step (
  execution INTEGER NOT NULL,
  no INTEGER NOT NULL,
  name TEXT NOT NULL,
  key TEXT NOT NULL,
  kind TEXT NOT NULL,
  root INTEGER NOT NULL,
  version TEXT NOT NULL,
  exit TEXT NOT NULL,
  recorded_at REAL NOT NULL,
  PRIMARY KEY (execution, no)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX step_name ON step (execution, name);

CREATE TABLE signal (
  execution INTEGER NOT NULL,
  no INTEGER NOT NULL,
  name TEXT NOT NULL,
  exit TEXT NOT NULL,
  recorded_at REAL NOT NULL,
  PRIMARY KEY (execution, no)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX signal_name ON signal (execution, name);

CREATE TABLE timer (
  execution INTEGER NOT NULL,
  name TEXT NOT NULL,
  at REAL NOT NULL,
  exit TEXT NOT NULL,
  armed INTEGER NOT NULL DEFAULT 1, -- 0: it has fired, or its signal came first
  PRIMARY KEY (execution, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX timer_armed ON timer (at) WHERE armed = 1;
`

/** Every migration, oldest first. Never edit one that was released: add another. */
export const migrations: ReadonlyArray<Migration> = [
  { version: 1, up: (db) => db.exec(initial) }
]

const pragma = (db: DatabaseSync, name: "user_version" | "application_id"): number =>
  Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])

/**
 * Refuses a newer format, and a database that is not ours, before anything is
 * written.
 *
 * @internal
 */
export const verify = (db: DatabaseSync, file: string, known: ReadonlyArray<Migration>): void => {
  const isEmpty = db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined
  if (!isEmpty && pragma(db, "application_id") !== applicationId) {
    throw Errors.notADatabase(file, "is an SQLite database of another program")
  }
  const found = pragma(db, "user_version")
  const newest = newestOf(known)
  if (found > newest) {
    throw new StoreError({
      reason: "NewerFormat",
      message: `${file} has format ${found}, and this version of effect-durable-mcp knows formats up to ${newest}. `
        + "It was left as it is: run the newer version, or set another filename."
    })
  }
}

/**
 * Brings the database to the newest format, in one transaction: a crash leaves
 * the old format or the new one.
 *
 * @internal
 */
export const migrate = (db: DatabaseSync, known: ReadonlyArray<Migration>): void => {
  const found = pragma(db, "user_version")
  if (found === newestOf(known)) return
  db.exec("BEGIN IMMEDIATE")
  try {
    for (const migration of known) {
      if (migration.version > found) migration.up(db)
    }
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${newestOf(known)}; COMMIT`)
  } catch (cause) {
    if (db.isTransaction) db.exec("ROLLBACK")
    throw cause
  }
}

const newestOf = (known: ReadonlyArray<Migration>): number => known.at(-1)?.version ?? 0
