/**
 * Disks for simulations: each run gets an empty one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
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
 * does not wait for the disk: what is simulated is the death of a process, not
 * of the machine.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sqlite = (directory: string): Disk =>
  Effect.acquireRelease(
    Effect.sync(() => {
      Fs.mkdirSync(directory, { recursive: true })
      return Fs.mkdtempSync(Path.join(directory, "disk-"))
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  ).pipe(
    Effect.map((folder) => SqliteStore.layer({ filename: Path.join(folder, "store.db"), synchronous: "NORMAL" }))
  )
