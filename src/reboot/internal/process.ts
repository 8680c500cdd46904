/**
 * Reboot, of which a process has one: its Python lives as long as the process,
 * and its harness is open at most once at a time. This file is the one place
 * that knows what the process already has.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { isMainThread } from "node:worker_threads"
import { StoreError } from "../../store/StoreError.ts"
import * as Generated from "./generated.ts"
import type { Installation } from "./installation.ts"
import { failed } from "./limits.ts"
import * as Patches from "./patches.ts"

interface OfProcess {
  /** The state directory that is open, or that could not be closed. */
  open: string | undefined
  stuck: boolean
  /** Openings so far. */
  count: number
  loaded: { readonly packageFolder: string; readonly result: Promise<Generated.Loaded> } | undefined
}

/** Found by name, so that two copies of this package share it. */
const ofProcess = (): OfProcess => {
  const key = Symbol.for("effect-durable-mcp/reboot/OfProcess")
  const holder = globalThis as { [key]?: OfProcess }
  return holder[key] ??= { open: undefined, stuck: false, count: 0, loaded: undefined }
}

/**
 * The only opening in this process, until the scope closes. Its number.
 *
 * @internal
 */
export const hold = (stateDirectory: string): Effect.Effect<number, StoreError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const held = ofProcess()
      if (held.open !== undefined) {
        return Effect.fail(
          new StoreError({
            reason: "InUse",
            message: held.stuck
              ? `Reboot did not stop in this process, for ${held.open}, and a process has one. End the process.`
              : `Reboot is open in this process, for ${held.open}, and a process has one. `
                + "Share one layer, or close that one first."
          })
        )
      }
      held.open = stateDirectory
      return Effect.succeed(++held.count)
    }),
    () =>
      Effect.sync(() => {
        const held = ofProcess()
        if (!held.stuck) held.open = undefined
      })
  )

/**
 * Reboot did not stop: nobody can open it in this process any more.
 *
 * @internal
 */
export const abandon: Effect.Effect<void> = Effect.sync(() => {
  ofProcess().stuck = true
})

const setup = "Run npm run reboot:setup again if Reboot was moved or changed."

/**
 * Reboot, loaded and patched.
 *
 * @internal
 */
export const load = (installation: Installation): Effect.Effect<Generated.Loaded, StoreError> =>
  Effect.suspend(() => {
    const held = ofProcess()
    const { packageFolder } = installation
    if (process.platform !== "linux" || !isMainThread) {
      return Effect.fail(
        new StoreError({
          reason: "Io",
          message: "Reboot runs in the main thread of a process on Linux. Take another store here, or a front "
            + "(RebootStore.layerClient) of a Reboot application elsewhere."
        })
      )
    }
    if (held.loaded !== undefined && held.loaded.packageFolder !== packageFolder) {
      return Effect.fail(
        new StoreError({
          reason: "Io",
          message: `Reboot was loaded from ${held.loaded.packageFolder} in this process, `
            + `and cannot be loaded from ${packageFolder} too. Use one installation.`
        })
      )
    }
    held.loaded ??= { packageFolder, result: loadAndPatch(installation) }
    const { result } = held.loaded
    return Effect.tryPromise({
      try: () => result,
      catch: (cause) => failed({ what: "be loaded", advice: setup }, cause)
    })
  })

const loadAndPatch = async (installation: Installation): Promise<Generated.Loaded> => {
  const withoutTraces = keepOut()
  try {
    Object.assign(process.env, installation.environment)
    const loaded = await Generated.load(installation)
    Patches.apply(loaded)
    return loaded
  } finally {
    withoutTraces(installation)
  }
}

/** Signals and events that Reboot takes to itself when it is imported: it would end the process. */
const events = ["exit", "SIGTERM", "SIGINT", "unhandledRejection"] as const

/**
 * Puts back what the import of Reboot changes for the rest of the process: its
 * listeners, which exit, and the environment, which would make each Python that
 * is started from here use Reboot's.
 */
const keepOut = (): (installation: Installation) => void => {
  const listeners = new Map(events.map((event) => [event, new Set(process.rawListeners(event))]))
  const environment = { ...process.env }
  return ({ environment: preset }) => {
    for (const [event, before] of listeners) {
      for (const listener of process.rawListeners(event)) {
        if (!before.has(listener)) process.off(event, listener as (...args: ReadonlyArray<unknown>) => void)
      }
    }
    for (const name of Object.keys(preset)) {
      if (environment[name] === undefined) delete process.env[name]
      else process.env[name] = environment[name]
    }
  }
}
