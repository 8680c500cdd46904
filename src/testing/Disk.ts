/**
 * What outlives the processes of a run: each run gets an empty disk.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as MemoryStore from "../store/MemoryStore.ts"
import type { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as SqliteFiles from "./internal/sqliteFiles.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Disk {
  /** For reports. */
  readonly name: string
  /** An empty one, gone with the scope. */
  readonly make: Effect.Effect<Instance, never, Scope.Scope>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Instance {
  /** Opens the disk: built once for each process. Fails where another process has it and keeps it. */
  readonly layer: Layer.Layer<Store, StoreError>
  /**
   * Told in the moment at which the process that has the disk dies: what it has
   * not written by then must never be found on the disk, and the next process
   * may open it before the store of this one is closed. Default: nothing, and
   * the store is closed first.
   */
  readonly died?: (() => void) | undefined
  /**
   * Writes `unacknowledged`, the last of a process, as a loss of power leaves
   * it: damaged somewhere in what was not on the disk before. Undefined where a
   * commit is all or nothing.
   */
  readonly tear?: ((unacknowledged: Effect.Effect<void>) => Effect.Effect<void>) | undefined
  /**
   * Told when a process has the disk, with what kills that process at once: for
   * a disk that dies at points which only it knows, between two requests to a
   * database, say. Such a death is in no schedule: the disk counts, and says
   * which point it was. Default: it never does.
   */
  readonly opened?: ((kill: () => void) => void) | undefined
  /**
   * Whether the disk is at work, beyond the operations it was asked for: no
   * virtual time passes meanwhile. For a store that is served by something that
   * lives in real time. Default: never.
   */
  readonly isBusy?: (() => boolean) | undefined
  /** Files of the disk that this program has open. Default: none. */
  readonly openFiles?: Effect.Effect<ReadonlyArray<string>> | undefined
  /** What is wrong with the disk at rest, found by code that is not the store's. Default: nothing. */
  readonly check?: Effect.Effect<ReadonlyArray<string>> | undefined
}

/**
 * In memory: the fastest, and the default.
 *
 * @category constructors
 * @since 0.1.0
 */
export const memory: Disk = {
  name: "memory",
  make: Effect.sync(() => {
    const disk = MemoryStore.makeDisk()
    return {
      layer: MemoryStore.layerWith({ disk }),
      // Opening it fences the store before, and with it what that one has queued.
      died: () => Effect.runSync(Effect.scoped(Effect.asVoid(MemoryStore.make({ disk }))))
    }
  })
}

/**
 * A SQLite file in a folder of its own below `directory`, gone with the run.
 *
 * A process that dies leaves the file and its log as they are in that moment,
 * as after `kill -9`: the next one finds a log to recover from. It does not wait
 * for the disk (`synchronous: "NORMAL"`), and the folder lies in memory where
 * the system has one for that: of a loss of power it shows what `TornCommit`
 * does to the end of the log, not what a drive does that lies.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sqlite = (options?: {
  /** Default: `/dev/shm`, or else the folder for temporary files. */
  readonly directory?: string | undefined
}): Disk => ({
  name: "sqlite",
  make: Effect.acquireRelease(
    Effect.sync(() => {
      const directory = options?.directory ?? (Fs.existsSync(sharedMemory) ? sharedMemory : Os.tmpdir())
      return Fs.realpathSync(Fs.mkdtempSync(Path.join(directory, "effect-durable-mcp-")))
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  ).pipe(Effect.map(SqliteFiles.make))
})

const sharedMemory = "/dev/shm"
