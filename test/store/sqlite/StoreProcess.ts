/**
 * `child.ts` as a process that can be killed.
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

export interface StoreProcess {
  /** What it says next; fails with `Done` after its end. */
  readonly next: Effect.Effect<Line, Cause.Done>
  /** SIGKILL; returns what it had said and nobody had read. */
  readonly kill: Effect.Effect<ReadonlyArray<Line>>
}

/** Starts the process with these arguments; it is killed when the scope closes. */
export const start: (...args: ReadonlyArray<string>) => Effect.Effect<StoreProcess, never, Scope.Scope> = (...args) =>
  Effect.gen(function*() {
    const program = fileURLToPath(new URL("child.ts", import.meta.url))
    const handle = yield* ChildProcess.make(process.execPath, [program, ...args], {
      stderr: "inherit",
      killSignal: "SIGKILL"
    })
    const lines = yield* Queue.make<Line, Cause.Done>()
    yield* handle.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.map((line): Line => JSON.parse(line)),
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
