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
import * as SqliteStore from "../store/SqliteStore.ts"
import type { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"

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
  /** Opens the disk: built once for each process. */
  readonly layer: Layer.Layer<Store, StoreError>
  /**
   * After a process has died while `unacknowledged` was being written: damages
   * what was not acknowledged, as a loss of power can. Undefined where a commit
   * is all or nothing.
   */
  readonly tear?: ((unacknowledged: Effect.Effect<void>) => Effect.Effect<void>) | undefined
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
  make: Effect.sync(() => ({ layer: MemoryStore.layerWith({ disk: MemoryStore.makeDisk() }) }))
}

/**
 * A SQLite file in a folder of its own below `directory`, gone with the run. It
 * does not wait for the disk, and lies in memory where the system has a folder
 * for that: what is simulated is the death of a process, not of the machine.
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
      return Fs.mkdtempSync(Path.join(directory, "effect-durable-mcp-"))
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  ).pipe(
    Effect.map((folder) => ({
      layer: SqliteStore.layer({ filename: Path.join(folder, "store.db"), synchronous: "NORMAL" })
    }))
  )
})

const sharedMemory = "/dev/shm"
