/**
 * A server's command as a process that is killed and started again.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ChildProcess from "effect/process/ChildProcess"
import type * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../Client.ts"
import * as Wire from "./wire.ts"

/** @internal */
export interface Command {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string | undefined
  readonly url: string
  /** Returns when the server listens. Default: when the URL answers. */
  readonly ready: Effect.Effect<void> | undefined
  /** How long it may take to listen. */
  readonly startTimeout: Duration.Input
}

/** @internal */
export interface ServerProcess {
  /** Waits until there is a process that listens. */
  readonly connect: Effect.Effect<Client.Connection>
  readonly isListening: () => boolean
  /** Returns when it listens, at once if it does already. */
  readonly start: Effect.Effect<void>
  /** SIGKILL; returns when the process, and what it has started, is gone. */
  readonly kill: Effect.Effect<void>
  /** Returns why there is no process, when nobody killed it. */
  readonly failed: Effect.Effect<string>
  /** Milliseconds. */
  readonly slowestStart: () => number
  /** The end of what it wrote to stdout and stderr. */
  readonly output: () => string
}

interface Living {
  readonly scope: Scope.Closeable
  readonly handle: ChildProcessSpawner.ChildProcessHandle
  isKilled: boolean
}

/** Characters of output that are kept. */
const keptOutput = 4000

/** No process is left when the scope closes. @internal */
export const make = Effect.fnUntraced(function*(
  command: Command
): Effect.fn.Return<ServerProcess, never, ChildProcessSpawner.ChildProcessSpawner | Scope.Scope> {
  const context = yield* Effect.context<ChildProcessSpawner.ChildProcessSpawner | Scope.Scope>()
  const parent = yield* Effect.scope
  const failed = Deferred.makeUnsafe<string>()
  let listening = Deferred.makeUnsafe<Client.Connection>()
  let living: Living | undefined
  let output = ""
  let slowestStart = 0

  const fail = (why: string) => void Deferred.doneUnsafe(failed, Effect.succeed(why))

  const spawn = Effect.gen(function*() {
    const scope = yield* Scope.fork(parent)
    const handle = yield* ChildProcess.make(command.command, command.args, {
      env: command.env,
      extendEnv: true,
      ...command.cwd === undefined ? {} : { cwd: command.cwd },
      killSignal: "SIGKILL"
    }).pipe(Scope.provide(scope))
    const process: Living = { scope, handle, isKilled: false }
    // A pipe that nobody reads fills up, and stops the server.
    yield* handle.all.pipe(
      Stream.decodeText(),
      Stream.runForEach((text) =>
        Effect.sync(() => {
          output = (output + text).slice(-keptOutput)
        })
      ),
      Effect.ignore,
      Effect.forkIn(scope)
    )
    yield* Effect.exit(handle.exitCode).pipe(
      Effect.map((exit) => {
        if (!process.isKilled) {
          fail(`the server ended by itself${Exit.isSuccess(exit) ? ` with code ${exit.value}` : ""}`)
        }
      }),
      Effect.forkIn(scope)
    )
    const began = performance.now()
    yield* (command.ready ?? untilAnswers(command.url)).pipe(
      Effect.timeoutOrElse({
        duration: command.startTimeout,
        orElse: () =>
          Effect.andThen(
            Effect.sync(() =>
              fail(
                `the server did not listen within ${Duration.format(Duration.fromInputUnsafe(command.startTimeout))}`
              )
            ),
            Effect.never
          )
      }),
      Effect.andThen(Effect.sync(() => {
        slowestStart = Math.max(slowestStart, performance.now() - began)
        Deferred.doneUnsafe(listening, Effect.succeed(Client.overHttp))
      })),
      Effect.forkIn(scope)
    )
    living = process
  }).pipe(
    Effect.uninterruptible,
    Effect.catch((error) => Effect.sync(() => fail(`the server could not be started: ${error.message}`)))
  )

  const start = Effect.gen(function*() {
    if (living === undefined) {
      // What answers now would be taken for the server.
      if (command.ready === undefined && (yield* answers(command.url))) {
        fail(`somebody else answers at ${command.url}`)
      } else {
        yield* spawn
      }
    }
    yield* Effect.raceFirst(Deferred.await(listening), Deferred.await(failed))
  }).pipe(Effect.provideContext(context))

  const kill = Effect.suspend(() => {
    const process = living
    if (process === undefined) {
      return Effect.void
    }
    process.isKilled = true
    living = undefined
    // who waits for a process waits on
    if (Deferred.isDoneUnsafe(listening)) {
      listening = Deferred.makeUnsafe()
    }
    return process.handle.kill({ killSignal: "SIGKILL" }).pipe(
      Effect.ignore,
      Effect.andThen(Effect.exit(process.handle.exitCode)),
      Effect.andThen(Scope.close(process.scope, Exit.void))
    )
  }).pipe(Effect.uninterruptible)

  return {
    connect: Effect.suspend(() => Deferred.await(listening)),
    isListening: () => Deferred.isDoneUnsafe(listening),
    start,
    kill,
    failed: Deferred.await(failed),
    slowestStart: () => slowestStart,
    output: () => output
  }
})

const answers = (url: string): Effect.Effect<boolean> =>
  Effect.match(
    Effect.tryPromise((signal) => fetch(url, { signal, headers: { accept: "text/event-stream" } })),
    {
      onFailure: () => false,
      onSuccess: (response) => {
        Wire.discard(response)
        return true
      }
    }
  )

const untilAnswers = (url: string): Effect.Effect<void> =>
  Effect.flatMap(answers(url), (isUp) => isUp ? Effect.void : Effect.andThen(Effect.sleep(20), untilAnswers(url)))
