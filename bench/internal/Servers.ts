/**
 * The servers under comparison. All listen at `/mcp`, have the tools `echo` and
 * `slow_steps`, and run on the same core, one at work at a time.
 */
import { Effect, FileSystem, type Scope } from "effect"
import type { ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"
import * as ServerProcess from "../../test/support/ServerProcess.ts"

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

/**
 * Ours are durable: `ours` on SQLite (`synchronous=FULL`), `reboot` on Reboot,
 * `front` before a Reboot application. The others keep everything in memory.
 */
export const programs = {
  "ours": path("../../examples/everything/main.ts"),
  "reboot": path("../servers/reboot.ts"),
  "front": path("../servers/front.ts"),
  "sdk-v1": path("../servers/sdk-v1.ts"),
  "effect": path("../servers/effect.ts")
} as const

export type Name = keyof typeof programs

/** Those that are compared with each other. */
export const names: ReadonlyArray<Name> = ["ours", "sdk-v1", "effect"]

/** Arguments with which a server prints its live heap on SIGUSR2. */
export const heapProbe = ["--expose-gc", "--import", path("./heapProbe.ts")]

/** Arguments with which a server profiles itself between two SIGUSR2. */
export const cpuProbe = ["--import", path("./cpuProbe.ts")]

export const serverCore = 0
export const loadCore = 1

/** A folder on the disk of this checkout: a temporary folder may be memory, where an fsync costs nothing. */
export const dataDir: Effect.Effect<string, never, FileSystem.FileSystem | Scope.Scope> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = path("../../.artifacts/bench")
  yield* fs.makeDirectory(directory, { recursive: true })
  return yield* fs.makeTempDirectoryScoped({ directory })
}).pipe(Effect.orDie)

export const start = (
  name: Name,
  options: {
    readonly dataDir: string
    readonly nodeArgs?: ReadonlyArray<string> | undefined
    readonly env?: Record<string, string> | undefined
    /** Default: `serverCore`; undefined: any. */
    readonly core?: number | undefined
  }
): Effect.Effect<
  ServerProcess.ServerProcess,
  never,
  ChildProcessSpawner.ChildProcessSpawner | Scope.Scope
> =>
  ServerProcess.start({
    program: programs[name],
    core: "core" in options ? options.core : serverCore,
    env: { ...options.env, PORT: "0", DATA_DIR: options.dataDir },
    nodeArgs: options.nodeArgs
  })
