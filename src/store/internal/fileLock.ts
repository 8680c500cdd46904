/**
 * One process at a time: a lock beside a file that the operating system frees
 * with its process, however that ends.
 *
 * @internal
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import { DatabaseSync } from "node:sqlite"
import { StoreError } from "../StoreError.ts"
import * as Errors from "./sqliteErrors.ts"

/** Says in words who holds the file, for people. Nothing is decided by it, since pids lie in containers. */
const holderFile = (file: string) => `${file}.holder`

/**
 * An exclusive transaction that is never ended, on a database beside the file:
 * a second store fails at once, in another process or in this one. Throws a
 * `StoreError`: `InUse` ends with `advice`.
 *
 * @internal
 */
export const lock = (file: string, advice: string): () => void => {
  const lockFile = `${file}.lock`
  let db: DatabaseSync | undefined
  try {
    create(lockFile)
    db = new DatabaseSync(lockFile, { timeout: 0 })
    db.exec("BEGIN EXCLUSIVE")
  } catch (cause) {
    db?.close()
    throw Errors.isBusy(cause) ? inUse(file, advice, cause) : Errors.fromCause(file, cause)
  }
  const held = db
  try {
    Fs.writeFileSync(
      holderFile(file),
      `process ${process.pid} on ${Os.hostname()} since ${new Date().toISOString()}\n`
    )
  } catch {
    // The name is a courtesy; the lock holds without it.
  }
  return () => {
    try {
      Fs.rmSync(holderFile(file), { force: true })
    } finally {
      held.close()
    }
  }
}

const inUse = (file: string, advice: string, cause: unknown): StoreError => {
  let who = "another process"
  try {
    who = Fs.readFileSync(holderFile(file), "utf8").trim() || who
  } catch {
    // Not written yet, or gone.
  }
  return new StoreError({
    reason: "InUse",
    message: `${file} is in use by ${who}. One process at a time may hold it: ${advice}.`,
    cause
  })
}

/**
 * A file for this user only, where there is none. One that exists is not even
 * opened: closing it would drop the locks that another store in this process
 * has on it.
 *
 * @internal
 */
export const create = (file: string): void => {
  try {
    Fs.closeSync(Fs.openSync(file, "wx", 0o600))
  } catch (cause) {
    if (!Errors.isErrno(cause, "EEXIST")) throw cause
  }
}
