/**
 * The load generator as seen by the bench: jobs in, results out.
 */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { pinned } from "../../test/support/ServerProcess.ts"
import type { Job, Result } from "../load.ts"

export interface Load {
  readonly pid: number
  readonly run: (job: Job) => Effect.Effect<Result>
}

type Reply = "ready" | { readonly result: Result } | { readonly error: string }

/** Starts the generator on a core of its own; it ends with the scope. */
export const start = (core: number): Effect.Effect<Load, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly load: Load; readonly close: () => void }>((resume) => {
      const [command, args] = pinned(core, process.execPath, [
        "--conditions=source",
        fileURLToPath(new URL("../load.ts", import.meta.url))
      ])
      const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] })
      const run = (job: Job) =>
        Effect.callback<Result>((resume) => {
          child.once("message", (reply: Reply) => {
            resume(
              typeof reply === "object" && "result" in reply
                ? Effect.succeed(reply.result)
                : Effect.die(new Error(typeof reply === "string" ? reply : reply.error))
            )
          })
          child.send(job)
        })
      child.once("message", () =>
        resume(Effect.succeed({ load: { pid: child.pid ?? 0, run }, close: () => child.disconnect() })))
      child.once("error", (error) =>
        resume(Effect.die(error)))
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ load }) => load))
