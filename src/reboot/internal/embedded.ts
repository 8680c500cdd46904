/**
 * Reboot in this process: one server, its database in the state directory, no
 * Envoy, no open port.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FileLock from "../../store/internal/fileLock.ts"
import * as FileErrors from "../../store/internal/sqliteErrors.ts"
import { StoreError } from "../../store/StoreError.ts"
import type { Application } from "./Application.ts"
import type { Harness, Loaded, RebootApplication } from "./generated.ts"
import type { Installation } from "./installation.ts"
import { messageOf, within } from "./limits.ts"
import * as Owner from "./owner.ts"
import * as Patches from "./patches.ts"
import * as Probe from "./probe.ts"
import * as Process from "./process.ts"

/** @internal */
export interface Options {
  /** Of the application. Its states do not depend on it. */
  readonly name: string
  /** Made when it does not exist. */
  readonly stateDirectory: string
  readonly installation: Installation
  /** Reboot runs each method twice, to find effects that a repeat would show. Default false. */
  readonly effectValidation?: boolean | undefined
  /** For each read and write. Default 10 s. */
  readonly callTimeout?: Duration.Input | undefined
}

/** For Reboot to start, which reads what tasks it has, and to stop. */
const startTimeout: Duration.Input = "2 minutes"
const stopTimeout: Duration.Input = "20 seconds"

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Application, StoreError, Scope.Scope> {
  const directory = Path.resolve(options.stateDirectory)
  const count = yield* Process.hold(directory)
  yield* lockedDirectory(directory)
  const sockets = yield* socketDirectory(directory)
  yield* Probe.openable(options.installation, database(directory))
  const loaded = yield* Process.load(options.installation)
  const owner = Owner.make({
    loaded,
    secret: Crypto.randomBytes(32).toString("base64url"),
    callTimeout: options.callTimeout ?? "10 seconds"
  })
  const harness = yield* constructed(loaded, directory, {
    name: options.name,
    stateDirectory: directory,
    sockets,
    effectValidation: options.effectValidation === true ? "QUIET" : "DISABLED"
  }, count)
  yield* running(harness, directory, new loaded.library.Application({ servicers: owner.servicers }))
  return owner.application(Patches.directCalls(loaded, harness))
})

/** Where Reboot puts it. */
const database = (directory: string): string => Path.join(directory, "p000000")

/** The folder is there, what is in it is this user's only, and this process holds it. */
const lockedDirectory = (directory: string): Effect.Effect<void, StoreError, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.try({
      try: () => {
        Fs.mkdirSync(database(directory), { recursive: true, mode: 0o700 })
        return FileLock.lock(Path.join(directory, "store"), "stop that one, or set another stateDirectory")
      },
      catch: (cause) => FileErrors.fromCause(directory, cause)
    }),
    (release) => Effect.sync(release)
  ))

/** Longest path of a socket's folder, so that the path of a socket has at most 107 bytes. */
const longestSocketDirectory = 96

/**
 * A folder for sockets that nobody else can enter, empty. In the state directory,
 * so that a process that dies leaves no litter elsewhere, unless that path is too
 * long for sockets.
 */
const socketDirectory = (directory: string): Effect.Effect<string, StoreError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const inside = Path.join(directory, "sockets")
        if (Buffer.byteLength(inside) > longestSocketDirectory) {
          return Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-mcp-"))
        }
        Fs.rmSync(inside, { recursive: true, force: true })
        Fs.mkdirSync(inside, { mode: 0o700 })
        return inside
      },
      catch: (cause) => FileErrors.fromCause(directory, cause)
    }),
    (sockets) => Effect.sync(() => Fs.rmSync(sockets, { recursive: true, force: true }))
  )

const constructed = (
  loaded: Loaded,
  directory: string,
  settings: Patches.Settings,
  count: number
): Effect.Effect<Harness, StoreError> =>
  Effect.try({
    try: () => {
      Patches.prepare(loaded, settings, count)
      return Patches.construct(loaded)
    },
    catch: (cause) =>
      new StoreError({
        reason: "Io",
        message: `${directory}: ${messageOf(cause)}. Check the folder and its volume.`,
        cause
      })
  })

const running = (
  harness: Harness,
  directory: string,
  application: RebootApplication
): Effect.Effect<void, StoreError, Scope.Scope> => {
  const advice = `See what it has printed, and check ${directory}.`
  return Effect.asVoid(Effect.acquireRelease(
    within({ what: "start", duration: startTimeout, advice }, async () => {
      await harness.start()
      await harness.up(application)
    }).pipe(Effect.onError(() => stop(harness))),
    () => stop(harness)
  ))
}

const stop = (harness: Harness): Effect.Effect<void> =>
  within({ what: "stop", duration: stopTimeout, advice: "End the process." }, () => harness.stop()).pipe(
    Effect.catch((error) =>
      Effect.andThen(
        Process.abandon,
        Effect.logWarning("Reboot did not stop in order; nothing acknowledged is lost", error)
      )
    )
  )
