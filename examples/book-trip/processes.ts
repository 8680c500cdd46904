/**
 * The world and the server as child processes. The server comes back on the
 * same port and the same data after each kill.
 */
import { Deferred, Effect, type Scope, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"

export interface Child {
  readonly pid: number
  readonly url: string
  /** SIGKILL; returns when it is gone. */
  readonly kill: Effect.Effect<void>
  readonly awaitExit: Effect.Effect<void>
}

/** Starts a program of this folder that prints `listening <url>`; other lines go to `onLine`. Killed with the scope. */
export const start = Effect.fn("start")(function*(options: {
  readonly program: string
  readonly env: Record<string, string>
  readonly onLine: (line: string) => Effect.Effect<void>
}): Effect.fn.Return<Child, never, ChildProcessSpawner.ChildProcessSpawner | Scope.Scope> {
  const handle = yield* ChildProcess.make(
    process.execPath,
    ["--conditions=source", fileURLToPath(new URL(options.program, import.meta.url))],
    { env: options.env, extendEnv: true, killSignal: "SIGKILL" }
  ).pipe(Effect.orDie)
  const listening = yield* Deferred.make<string>()
  yield* handle.all.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) =>
      line.startsWith("listening ")
        ? Deferred.succeed(listening, line.slice("listening ".length))
        : options.onLine(line)
    ),
    Effect.orDie,
    Effect.forkScoped
  )
  const awaitExit = Effect.ignore(handle.exitCode)
  const url = yield* Deferred.await(listening).pipe(
    Effect.raceFirst(Effect.andThen(awaitExit, Effect.die(new Error(`${options.program} ended before it listened`))))
  )
  return { pid: handle.pid, url, kill: Effect.ignore(handle.kill({ killSignal: "SIGKILL" })), awaitExit }
})
