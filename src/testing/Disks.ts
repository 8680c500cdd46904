/**
 * Disks for simulations: each run gets an empty one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as MemoryStore from "../store/MemoryStore.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import type { Disk } from "./Simulation.ts"

/**
 * In memory: the fastest.
 *
 * @category constructors
 * @since 0.1.0
 */
export const memory: Disk = Effect.sync(() => MemoryStore.layerWith({ disk: MemoryStore.makeDisk() }))

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
}): Disk =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = options?.directory ?? (Fs.existsSync(sharedMemory) ? sharedMemory : Os.tmpdir())
      return Fs.mkdtempSync(Path.join(directory, "effect-durable-mcp-"))
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  ).pipe(
    Effect.map((folder) => SqliteStore.layer({ filename: Path.join(folder, "store.db"), synchronous: "NORMAL" }))
  )

const sharedMemory = "/dev/shm"
