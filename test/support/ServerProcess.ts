/**
 * A server in a process of its own, which can be killed.
 */
import { Deferred, Effect, Fiber, Ref, type Scope, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"

export interface ServerProcess {
  readonly pid: number
  /** What it printed after `listening `. */
  readonly url: string
  /** From spawn to that line. */
  readonly startMs: number
  /** SIGKILL; returns when the process is gone. */
  readonly kill: Effect.Effect<void>
  /** SIGTERM; returns the exit code. */
  readonly stop: Effect.Effect<number>
  /** Returns when the process is gone, with its exit code; undefined when a signal ended it. */
  readonly gone: Effect.Effect<number | undefined>
  /** What it wrote to stdout and stderr, last 8,000 characters. */
  readonly output: Effect.Effect<string>
}

export interface Options {
  /** Path of a TypeScript program that prints `listening <url>`. */
  readonly program: string
  readonly env?: Record<string, string> | undefined
  readonly nodeArgs?: ReadonlyArray<string> | undefined
  /** Pins the process to a core, where the system can. */
  readonly core?: number | undefined
}

/** Pins a command to a core by `taskset`, which replaces itself by the command, so the pid stays. */
export const pinned = (
  core: number | undefined,
  command: string,
  args: ReadonlyArray<string>
): readonly [string, ReadonlyArray<string>] =>
  core === undefined || process.platform !== "linux"
    ? [command, args]
    : ["taskset", ["-c", String(core), command, ...args]]

/** Starts the program; it is killed when the scope closes. */
export const start: (
  options: Options
) => Effect.Effect<ServerProcess, never, ChildProcessSpawner.ChildProcessSpawner | Scope.Scope> = Effect.fnUntraced(
  function*(options) {
    const begun = performance.now()
    const [command, args] = pinned(options.core, process.execPath, [
      "--conditions=source",
      ...(options.nodeArgs ?? []),
      options.program
    ])
    const handle = yield* ChildProcess.make(command, args, {
      env: options.env,
      extendEnv: true,
      killSignal: "SIGKILL"
    }).pipe(Effect.orDie)
    const output = yield* Ref.make("")
    const ready = yield* Deferred.make<{ readonly url: string; readonly startMs: number }>()
    const reader = yield* handle.all.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.runForEach(Effect.fnUntraced(function*(line) {
        const url = /^listening (\S+)/.exec(line)?.[1]
        if (url !== undefined) {
          yield* Deferred.succeed(ready, { url, startMs: performance.now() - begun })
        }
        yield* Ref.update(output, (text) => (text + line + "\n").slice(-8000))
      })),
      Effect.orDie,
      Effect.forkScoped({ startImmediately: true })
    )
    const { startMs, url } = yield* Deferred.await(ready).pipe(
      Effect.raceFirst(Effect.gen(function*() {
        yield* Fiber.await(reader)
        const how = yield* Effect.match(handle.exitCode, {
          onFailure: ({ message }) => message,
          onSuccess: (code) => `code ${code}`
        })
        return yield* Effect.die(
          new Error(`${options.program} ended early, with ${how}:\n${yield* Ref.get(output)}`)
        )
      })),
      Effect.timeoutOrElse({
        duration: "30 seconds",
        orElse: () => Effect.die(new Error(`${options.program} did not start within 30 s`))
      })
    )
    const end = (signal: "SIGKILL" | "SIGTERM") =>
      handle.kill({ killSignal: signal }).pipe(
        Effect.ignore,
        Effect.andThen(Effect.orElseSucceed(handle.exitCode, () => ChildProcessSpawner.ExitCode(-1)))
      )
    return {
      pid: handle.pid,
      url,
      startMs,
      kill: Effect.asVoid(end("SIGKILL")),
      stop: end("SIGTERM"),
      gone: Effect.orElseSucceed(handle.exitCode, () => undefined),
      output: Ref.get(output)
    }
  }
)
