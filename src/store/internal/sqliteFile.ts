/**
 * Opening a database file: who may hold it, whether it is whole, how it is
 * written.
 *
 * @internal
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { StoreError } from "../StoreError.ts"
import * as FileLock from "./fileLock.ts"
import * as Errors from "./sqliteErrors.ts"
import * as Schema from "./sqliteSchema.ts"

/** @internal */
export interface OpenOptions {
  readonly filename: string
  readonly synchronous: "FULL" | "NORMAL"
  readonly maxPageCount: number | undefined
  readonly migrations: ReadonlyArray<Schema.Migration>
}

/** An open database that no other store holds. */
export interface OpenFile {
  readonly db: DatabaseSync
  /** As errors name it: absolute, links resolved. */
  readonly file: string
  readonly isOpen: () => boolean
  /** Closes the database, then lets others have it. Idempotent. */
  readonly close: () => void
}

/** How long a commit waits for another program's write transaction, in milliseconds: it blocks the event loop. */
const busyTimeout = 1_000

/** The WAL is cut back to this size after a checkpoint, in bytes; SQLite checkpoints every 1,000 pages (4 MiB). */
const journalSizeLimit = 16 * 1024 * 1024

/** @internal */
export const memory = ":memory:"

/** @internal */
export const open = (options: OpenOptions): OpenFile => {
  if (options.filename === memory) {
    return opened(new DatabaseSync(memory), memory, options, () => {})
  }
  const file = resolve(options.filename)
  const release = FileLock.lock(file, "stop that one, or set another filename")
  try {
    // Before SQLite opens the file: closing any descriptor of it would drop the locks that SQLite holds on it.
    const isWhole = inspect(file)
    const db = new DatabaseSync(file, { timeout: busyTimeout })
    if (!isWhole) check(db, file)
    return opened(db, file, options, release)
  } catch (cause) {
    release()
    throw Errors.fromCause(file, cause)
  }
}

const opened = (db: DatabaseSync, file: string, options: OpenOptions, release: () => void): OpenFile => {
  try {
    Schema.verify(db, file, options.migrations)
    configure(db, file, options)
    Schema.migrate(db, options.migrations)
  } catch (cause) {
    db.close()
    throw cause
  }
  let isOpen = true
  return {
    db,
    file,
    isOpen: () => isOpen,
    close: () => {
      if (!isOpen) return
      isOpen = false
      try {
        db.close()
      } finally {
        release()
      }
    }
  }
}

const configure = (db: DatabaseSync, file: string, options: OpenOptions): void => {
  // Without auto_vacuum: what `Forget` frees is used again, so the file levels off at its high-water mark. Keeping track
  // of every page's owner in order to give space back would be paid at each commit.
  if (file !== memory) {
    const mode = Object.values(db.prepare("PRAGMA journal_mode = WAL").get() ?? {})[0]
    if (mode !== "wal") {
      throw Errors.io(file, `its volume does not support SQLite's write-ahead log (journal mode is ${mode})`)
    }
  }
  // On macOS an fsync leaves the data in the drive's cache; fullfsync does not. Elsewhere it changes nothing.
  db.exec(`
    PRAGMA synchronous = NORMAL;
    PRAGMA fullfsync = ${options.synchronous === "FULL" ? 1 : 0};
    PRAGMA journal_size_limit = ${journalSizeLimit};
    PRAGMA temp_store = MEMORY;
  `)
  if (options.maxPageCount !== undefined) db.exec(`PRAGMA max_page_count = ${options.maxPageCount}`)
}

/** Two names of one file must lead to one lock. */
const resolve = (filename: string): string => {
  const absolute = Path.resolve(filename)
  let file: string
  try {
    file = Fs.existsSync(absolute)
      ? Fs.realpathSync(absolute)
      : Path.join(Fs.realpathSync(Path.dirname(absolute)), Path.basename(absolute))
  } catch (cause) {
    throw new StoreError({
      reason: "Io",
      message: `${absolute}: its folder does not exist or cannot be entered. Create it, or set another filename.`,
      cause
    })
  }
  if (Fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new StoreError({ reason: "Io", message: `${file} is a folder: set the name of a file in it.` })
  }
  return file
}

// -----------------------------------------------------------------------------
// is it ours, is it whole
// -----------------------------------------------------------------------------

const magic = "SQLite format 3\0"

/**
 * Looks at the file as it lies on disk. False when its size contradicts its
 * header but a log is there: then a checkpoint may have been cut off, whose
 * missing pages are in the log, and only reading all pages tells.
 */
const inspect = (file: string): boolean => {
  const size = sizeOf(file)
  const logSize = sizeOf(`${file}-wal`)
  if (size === 0) {
    // SQLite would delete the log, and with it whatever was not yet copied into the file.
    if (logSize > 0) throw Errors.corrupt(file, "it is empty or gone, but its -wal file holds data")
    // The store holds session ids and keys; SQLite gives `-wal` and `-shm` the mode of the file.
    FileLock.create(file)
    return true
  }
  // SQLite opens a file that it cannot write, and fails at the first write.
  Fs.accessSync(file, Fs.constants.W_OK)
  const header = readHeader(file)
  if (header.toString("latin1", 0, magic.length) !== magic) {
    throw Errors.notADatabase(file, "is not an SQLite database")
  }
  if (header.length < headerSize) throw Errors.corrupt(file, `it ends after ${header.length} bytes`)
  // https://sqlite.org/fileformat.html: page size at 16 (1 means 65,536), pages at 28
  const pageSize = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16)
  const expected = header.readUInt32BE(28) * pageSize
  if (size < expected && logSize === 0) throw Errors.corrupt(file, `it ends after ${size} of ${expected} bytes`)
  return size === expected
}

const sizeOf = (file: string): number => Fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0

const headerSize = 100

const readHeader = (file: string): Buffer => {
  const descriptor = Fs.openSync(file, "r")
  try {
    const buffer = Buffer.alloc(headerSize)
    return buffer.subarray(0, Fs.readSync(descriptor, buffer, 0, headerSize, 0))
  } finally {
    Fs.closeSync(descriptor)
  }
}

/** Reads the whole file, so only where there is a doubt. Closes the database when it is damaged. */
const check = (db: DatabaseSync, file: string): void => {
  try {
    const first = Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {})[0]
    if (first !== "ok") throw Errors.corrupt(file, String(first))
  } catch (cause) {
    db.close()
    throw cause
  }
}
