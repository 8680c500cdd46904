/**
 * Whether Reboot's database can be opened, tried in a process of its own: the
 * native code throws what Python cannot catch, and that ends its process.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { StoreError } from "../../store/StoreError.ts"
import type { Installation } from "./installation.ts"
import { isFull } from "./limits.ts"

/** Opens the database as if it were of another application, which the native code finds out once it is open. */
const program = `
import resource, sys
from cffi import FFI
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
native = FFI()
native.cdef("void* database_server_create(const char*, const char*, size_t, int);")
other = b"\\n\\x03\\n\\x01x"  # rbt.v1alpha1.ServerInfo with one shard, "x"
native.dlopen(sys.argv[1]).database_server_create(sys.argv[2].encode(), other, len(other), 0)
`

/** What it then says, before it lists what it has and what it expected. */
const opened = "Could not validate server information"

/** A database that was not closed reads its log again. */
const timeoutMillis = 120_000

/**
 * Fails when there is a database that cannot be opened.
 *
 * @internal
 */
export const openable = (installation: Installation, database: string): Effect.Effect<void, StoreError> =>
  Effect.suspend(() => Fs.existsSync(Path.join(database, "CURRENT")) ? tried(installation, database) : Effect.void)

const tried = (installation: Installation, database: string): Effect.Effect<void, StoreError> =>
  Effect.callback<void, StoreError>((resume) => {
    const child = ChildProcess.execFile(
      Path.join(installation.venv, "bin", "python"),
      ["-c", program, Path.join(installation.sitePackages, "reboot", "server", "libdatabase_native.so"), database],
      {
        env: { ...process.env, ...installation.environment },
        maxBuffer: 64 * 1024 * 1024,
        timeout: timeoutMillis
      },
      (error, _stdout, stderr) => {
        resume(error === null || stderr.includes(opened) ? Effect.void : Effect.fail(unusable(database, stderr, error)))
      }
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const unusable = (database: string, stderr: string, cause: Error): StoreError => {
  const said = /what\(\):\s*([^\n]+)/.exec(stderr)?.[1] ?? stderr.trim().split("\n").at(-1) ?? cause.message
  const detail = said.slice(0, 500)
  if (isFull(said)) {
    return new StoreError({
      reason: "DiskFull",
      message: `No room for ${database}: ${detail}. Nothing acknowledged is lost; free space on its volume.`,
      cause
    })
  }
  if (/Permission denied|Read-only/.test(said)) {
    return new StoreError({
      reason: "ReadOnly",
      message: `${database} cannot be written by this user: ${detail}. Give the user of this process write access to `
        + "the folder, or set another stateDirectory.",
      cause
    })
  }
  return /Corruption|MANIFEST|checksum/.test(said)
    ? new StoreError({
      reason: "Corrupt",
      message: `${database} is damaged: ${detail}. Restore the state directory from a backup, or set another one.`,
      cause
    })
    : new StoreError({
      reason: "Io",
      message: `${database} cannot be opened: ${detail}. Check the folder and its volume.`,
      cause
    })
}
