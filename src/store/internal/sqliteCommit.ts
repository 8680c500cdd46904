/**
 * Commits that do not stop the event loop while the disk works.
 *
 * SQLite's own `synchronous = FULL` waits for the disk inside COMMIT, on the
 * thread that commits. Here COMMIT writes the log (`NORMAL`), and the log is
 * synced by the thread pool; only then is the batch acknowledged. What is
 * acknowledged is on disk, as with `FULL`; while the disk works, the next batch
 * gathers. What SQLite itself needs in order (log before database, at each
 * checkpoint) it syncs in both modes.
 *
 * @internal
 */
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import { StoreError } from "../StoreError.ts"
import type { Backend } from "./Backend.ts"
import type { Commit } from "./commitQueue.ts"

/** Makes what was written to the log durable. */
export interface LogSync {
  readonly sync: (done: (error: Error | null) => void) => void
  readonly close: () => void
}

/**
 * Of the log beside a database file. SQLite takes no locks on it, so that
 * closing this descriptor drops none.
 *
 * @internal
 */
export const logSync = (file: string): LogSync => {
  // The log is there from the first read on, and the same file until the database is closed.
  const descriptor = Fs.openSync(`${file}-wal`, "r+")
  return {
    sync: (done) => Fs.fdatasync(descriptor, done),
    close: () => Fs.closeSync(descriptor)
  }
}

/** @internal */
export const make = (backend: Backend, file: string, log: LogSync): Commit => (batch, now, done) => {
  const applied = Result.try({ try: () => backend.apply(batch, now), catch: (cause) => cause as StoreError })
  if (Result.isFailure(applied)) {
    return done(applied)
  }
  log.sync((error) =>
    done(
      error === null ? applied : Result.fail(
        // What was applied cannot be taken back, and nobody knows what of it is on disk.
        new StoreError({
          reason: "Fenced",
          message: `${file}: the disk did not confirm what was written. Check the disk, then start again: ` +
            `what was acknowledged is there, and this process writes nothing more.`,
          cause: error
        })
      )
    )
  )
}
