/**
 * A program that says lines of JSON, as a process that can be killed; `child.ts`
 * for one.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Cause, Effect, Queue, type Scope, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"

export interface Line {
  readonly pid?: number
  readonly n?: number
  readonly reason?: string
  readonly message?: string
}

export interface StoreProcess<A = Line> {
  /** What it says next; fails with `Done` after its end. */
  readonly next: Effect.Effect<A, Cause.Done>
  /** SIGKILL; returns what it had said and nobody had read. */
  readonly kill: Effect.Effect<ReadonlyArray<A>>
}

/** Starts `child.ts` with these arguments; it is killed when the scope closes. */
export const start = (...args: ReadonlyArray<string>): Effect.Effect<StoreProcess, never, Scope.Scope> =>
  startProgram(new URL("child.ts", import.meta.url), args)

/** Starts a program; it is killed when the scope closes. */
export const startProgram = <A = Line>(
  url: URL,
  args: ReadonlyArray<string>
): Effect.Effect<StoreProcess<A>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const program = fileURLToPath(url)
    const handle = yield* ChildProcess.make(process.execPath, [program, ...args], {
      stderr: "inherit",
      killSignal: "SIGKILL"
    })
    const lines = yield* Queue.make<A, Cause.Done>()
    yield* handle.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.map((line): A => JSON.parse(line)),
      Stream.orDie,
      Stream.runIntoQueue(lines),
      Effect.forkScoped
    )
    const kill = handle.kill({ killSignal: "SIGKILL" })
    return {
      next: Queue.take(lines),
      kill: Effect.andThen(Effect.orDie(kill), Stream.runCollect(Stream.fromQueue(lines)))
    }
  }).pipe(Effect.orDie, Effect.provide(NodeServices.layer))
