/**
 * The SQLite backend on a disk that is as slow as wanted.
 */
import type { Backend } from "../../src/store/internal/Backend.ts"
import * as SqliteBackend from "../../src/store/internal/sqliteBackend.ts"
import * as File from "../../src/store/internal/sqliteFile.ts"
import { migrations } from "../../src/store/internal/sqliteSchema.ts"

/** `diskMs` is waited after each COMMIT, in the thread that commits, as for an fsync. */
export const open = (
  filename: string,
  diskMs: number,
  syncs = true
): { readonly backend: Backend; readonly file: File.OpenFile } => {
  const file = File.open({ filename, synchronous: "FULL", maxPageCount: undefined, migrations })
  // SQLite's own way: the thread that commits waits for the disk.
  if (syncs) file.db.exec("PRAGMA synchronous = FULL")
  const backend = SqliteBackend.make(file)
  if (diskMs === 0) return { backend, file }
  const never = new Int32Array(new SharedArrayBuffer(4))
  return {
    file,
    backend: {
      ...backend,
      apply: (commits, now) => {
        const outcomes = backend.apply(commits, now)
        Atomics.wait(never, 0, 0, diskMs)
        return outcomes
      }
    }
  }
}
