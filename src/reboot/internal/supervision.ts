/**
 * One end for all processes of an application. Reboot does not notice when a
 * server process dies, and calls to its states would hang for ever; nor do the
 * servers notice when their parent does. Here whoever ends takes the others
 * along, and who started the application starts it again: what was acknowledged
 * is on disk.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { ChildProcess, fork as Fork } from "node:child_process"
import { createRequire, syncBuiltinESMExports } from "node:module"
import { StoreError } from "../../store/StoreError.ts"

/**
 * For the parent, before Reboot is loaded: fails when a server process has ended.
 * With the scope the servers end, in order when it closes with a success or an
 * interrupt, else at once.
 *
 * @internal
 */
export const servers = (
  stopTimeout: Duration.Input
): Effect.Effect<Effect.Effect<never, StoreError>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ended = yield* Deferred.make<never, StoreError>()
    const children = new Set<ChildProcess>()
    const forked = (child: ChildProcess): void => {
      children.add(child)
      child.once("exit", (code, signal) => {
        children.delete(child)
        Deferred.doneUnsafe(ended, Effect.fail(endOf(child, code, signal)))
      })
    }
    const killAll = (): void => {
      for (const child of children) child.kill("SIGKILL")
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        process.once("exit", killAll)
        return onFork(forked)
      }),
      (restore, exit) =>
        Effect.gen(function*() {
          restore()
          if (Exit.isSuccess(exit) || Exit.hasInterrupts(exit)) {
            yield* Effect.timeoutOption(Effect.interruptible(stopAll(children)), stopTimeout)
          }
          killAll()
          process.off("exit", killAll)
        })
    )
    return Deferred.await(ended)
  })

/**
 * For a server process: ends it when its parent has ended.
 *
 * @internal
 */
export const endWithParent = (): void => {
  process.once("disconnect", () => {
    process.stderr.write("The parent of this server process has ended; it ends too\n")
    process.exit(1)
  })
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const endOf = (child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): StoreError =>
  new StoreError({
    reason: "Io",
    message: `Server process ${child.pid} of the Reboot application has ended (${signal ?? code}), and with it ends `
      + "the application. Start it again: nothing acknowledged is lost."
  })

/** Reboot starts its servers by `fork`, which it imports. */
const onFork = (forked: (child: ChildProcess) => void): () => void => {
  const builtin: { fork: typeof Fork } = createRequire(import.meta.url)("node:child_process")
  const { fork } = builtin
  const watched = (...args: Parameters<typeof fork>): ChildProcess => {
    const child = fork(...args)
    forked(child)
    return child
  }
  const set = (value: typeof Fork): void => {
    builtin.fork = value
    syncBuiltinESMExports()
  }
  set(watched as typeof Fork)
  return () => set(fork)
}

const stopAll = (children: ReadonlySet<ChildProcess>): Effect.Effect<void> =>
  Effect.forEach(Array.from(children), (child) =>
    Effect.callback<void>((resume) => {
      child.once("exit", () => resume(Effect.void))
      if (!child.kill("SIGTERM")) resume(Effect.void)
    }), { concurrency: "unbounded", discard: true })
