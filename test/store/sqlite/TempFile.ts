/**
 * Database files of tests, removed with their folder.
 */
import { Effect, type Scope } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const makeIn = (parent: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(parent, "effect-durable-mcp-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  ).pipe(Effect.map((folder) => Path.join(folder, "store.db")))

/** A file on the disk. */
export const make: Effect.Effect<string, never, Scope.Scope> = makeIn(Os.tmpdir())

const memory = "/dev/shm"

/** A file in memory, where the system has such a folder: for tests that open thousands. */
export const makeInMemory: Effect.Effect<string, never, Scope.Scope> = makeIn(
  Fs.existsSync(memory) ? memory : Os.tmpdir()
)
