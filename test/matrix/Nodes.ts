/**
 * The matrix' server in processes of their own, one after the other on the same
 * file: when one is killed, the next one starts, on another port.
 */
import { NodeServices } from "@effect/platform-node"
import { Context, Deferred, Effect, Exit, FileSystem, Layer, Schedule, type Scope } from "effect"
import type { ChildProcessSpawner } from "effect/process"
import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as EffectsFile from "./EffectsFile.ts"
import type { KillPoint } from "./KillPoint.ts"
import type { Release } from "./program.ts"

export class Nodes extends Context.Service<Nodes, {
  /** Waits for a process that serves. */
  readonly node: Effect.Effect<ServerProcess.ServerProcess>
  /** The present process dies here; returns when it is told. */
  readonly arm: (point: KillPoint) => Effect.Effect<void>
  /** SIGKILL, now; returns when the next process serves. */
  readonly kill: Effect.Effect<void>
  /** Returns when there have been this many kills and a process serves. */
  readonly killed: (kills: number) => Effect.Effect<void>
  readonly kills: () => number
  /** What the next processes are. */
  readonly next: (options: { readonly release?: Release; readonly dieAt?: KillPoint }) => void
  /** Another process on the same file, beside the present one: what it says before it ends. */
  readonly rival: Effect.Effect<string>
  /** States of the executions without a result. */
  readonly unfinished: Effect.Effect<ReadonlyArray<string>>
  /** What the present process did on its store since it was told where to die. */
  readonly operations: Effect.Effect<ReadonlyArray<{ readonly name: string; readonly writes: number }>>
  /** Where processes died by their own hand, the last one last. */
  readonly deaths: () => ReadonlyArray<string>
  /** How often an effect took place. */
  readonly effects: (name: string) => number
  /** Forgets the effects so far. */
  readonly forgetEffects: () => void
}>()("test/matrix/Nodes") {}

const program = fileURLToPath(new URL("server.ts", import.meta.url))

/** Waits for what another process brings about. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(condition, (met) => met ? Effect.void : Effect.andThen(Effect.sleep(5), until(condition)))

/** What the servers keep their state in. */
export const stores = ["sqlite", "reboot"] as const
export type Store = typeof stores[number]

const make: (store: Store) => Effect.Effect<
  Nodes["Service"],
  never,
  ChildProcessSpawner.ChildProcessSpawner | FileSystem.FileSystem | Scope.Scope
> = Effect.fnUntraced(function*(store) {
  const fs = yield* FileSystem.FileSystem
  const services = yield* Effect.context<ChildProcessSpawner.ChildProcessSpawner>()
  const directory = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "matrix-" }))
  const effectsFile = `${directory}/effects`
  const deathsFile = `${directory}/deaths`
  let present = Deferred.makeUnsafe<ServerProcess.ServerProcess>()
  let kills = 0
  let release: Release = "first"
  let dieAt: KillPoint | undefined
  let forgotten = 0

  const environment = () => ({
    DATA_DIR: directory,
    // halves what a start costs
    NODE_COMPILE_CACHE: `${directory}/cache`,
    PORT: "0",
    RELEASE: release,
    STORE: store,
    ...dieAt === undefined ? {} : { KILL_POINT: JSON.stringify(dieAt) }
  })

  const live = Effect.scoped(Effect.gen(function*() {
    const env = environment()
    const isDoomed = dieAt !== undefined
    dieAt = undefined
    const started = yield* Effect.exit(ServerProcess.start({ program, env }))
    if (Exit.isSuccess(started)) {
      yield* Deferred.succeed(present, started.value)
      const code = yield* started.value.gone
      present = Deferred.makeUnsafe()
      if (code !== undefined) {
        return yield* Effect.die(new Error(`The server ended with ${code}:\n${yield* started.value.output}`))
      }
    } else if (!isDoomed) {
      return yield* started
    }
    kills++
  }))
  yield* Effect.forever(live).pipe(
    Effect.catchCause((cause) => Effect.suspend(() => Deferred.failCause(present, cause))),
    Effect.forkScoped
  )

  const node = Effect.suspend(() => Deferred.await(present))
  const killed = (count: number) => until(Effect.map(node, () => kills >= count))
  const control = (path: string, init?: RequestInit) =>
    // It may die while it is asked.
    Effect.flatMap(node, ({ url }) => Effect.tryPromise(() => fetch(new URL(path, url), init))).pipe(
      Effect.retry(Schedule.spaced("10 millis")),
      Effect.orDie
    )
  const effects = () => EffectsFile.read(effectsFile).slice(forgotten)

  const nodes: Nodes["Service"] = {
    node,
    arm: (point) =>
      Effect.asVoid(control("/arm", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(point)
      })),
    kill: Effect.flatMap(node, (process) => {
      const before = kills
      return Effect.andThen(process.kill, killed(before + 1))
    }),
    killed,
    kills: () => kills,
    next: (options) => {
      release = options.release ?? release
      dieAt = options.dieAt
    },
    rival: Effect.exit(ServerProcess.start({ program, env: environment() })).pipe(
      Effect.map((started) => Exit.isSuccess(started) ? "it serves" : String(started.cause)),
      Effect.scoped,
      Effect.provideContext(services)
    ),
    unfinished: Effect.flatMap(control("/unfinished"), (response) => Effect.promise(() => response.json())),
    operations: Effect.flatMap(control("/operations"), (response) => Effect.promise(() => response.json())),
    deaths: () =>
      Fs.existsSync(deathsFile) ? Fs.readFileSync(deathsFile, "utf8").split("\n").filter((line) => line !== "") : [],
    effects: (name) => EffectsFile.count(effects(), name),
    forgetEffects: () => {
      forgotten = EffectsFile.read(effectsFile).length
    }
  }
  return nodes
})

export const layerOn = (store: Store): Layer.Layer<Nodes> =>
  Layer.effect(Nodes)(make(store)).pipe(Layer.provide(NodeServices.layer))

export const layer: Layer.Layer<Nodes> = layerOn("sqlite")
