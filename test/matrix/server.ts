/**
 * The matrix' server as a process of its own, with a disk, that kills itself
 * where it is told to: `POST /arm` with a `KillPoint`, from then on; or by
 * `KILL_POINT`, from its start.
 *
 * `PORT`: 0 for any free one. `DATA_DIR`: where the database and the journal of
 * effects are. `RELEASE`: what is deployed. `STORE`: `sqlite` or `reboot`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { DurableMcp, Limits, SqliteStore, Store } from "effect-durable-mcp"
import { RebootStore } from "effect-durable-mcp/reboot"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import * as Fs from "node:fs"
import { flushCompileCache } from "node:module"
import * as FaultStore from "../../src/testing/FaultStore.ts"
import * as EffectsFile from "./EffectsFile.ts"
import * as KillPoint from "./KillPoint.ts"
import * as Program from "./program.ts"

/** What this process is told to die at, and what it does until then. */
class Fate {
  readonly #deaths: string
  #point: KillPoint.KillPoint | undefined
  #watch: ReturnType<typeof KillPoint.watch> | undefined
  /** Since it was told. */
  operations: Array<FaultStore.Operation> = []
  #last = ""

  constructor(deaths: string) {
    this.#deaths = deaths
  }

  arm(point: KillPoint.KillPoint): void {
    this.#point = point
    this.#watch = KillPoint.watch(point)
    this.operations = []
  }

  operation(operation: FaultStore.Operation): FaultStore.Decision | undefined {
    this.operations.push(operation)
    const applied = this.#watch?.(operation)
    if (applied === undefined) {
      return undefined
    }
    this.#last = KillPoint.nameOf(operation)
    if (applied === 0) {
      this.die()
    }
    return { _tag: "Crash", applied }
  }

  effect(name: string, when: "before" | "after"): void {
    if (this.#point?._tag === "Effect" && this.#point.name === name && this.#point.when === when) {
      this.#last = `effect ${name}`
      this.die()
    }
  }

  /** Says where, then nothing more. */
  die(): void {
    Fs.appendFileSync(this.#deaths, `${this.#last}\n`)
    process.kill(process.pid, "SIGKILL")
  }
}

const program = Effect.gen(function*() {
  const { directory, kind, point, port, release } = yield* Config.all({
    directory: Config.String("DATA_DIR"),
    kind: Config.Literals(["sqlite", "reboot"], "STORE").pipe(Config.withDefault("sqlite")),
    point: Config.option(Config.String("KILL_POINT")),
    port: Config.Int("PORT").pipe(Config.withDefault(0)),
    release: Config.Literals(["first", "second", "bare"], "RELEASE").pipe(Config.withDefault("first"))
  })

  const fate = new Fate(`${directory}/deaths`)
  if (Option.isSome(point)) {
    fate.arm(yield* Schema.decodeUnknownEffect(Schema.fromJsonString(KillPoint.KillPoint))(point.value))
  }

  const store = Layer.effect(Store.Store)(Effect.gen(function*() {
    const inner = Context.get(
      yield* Layer.build(
        kind === "sqlite"
          ? SqliteStore.layer({ filename: `${directory}/matrix.db`, synchronous: "FULL" })
          : RebootStore.layer({ name: "matrix", stateDirectory: `${directory}/reboot` })
      ),
      Store.Store
    )
    const { store } = yield* FaultStore.make(inner, {
      decide: (operation) => fate.operation(operation),
      // The writes stand, and nobody has been told.
      onSettled: (_operation, settled) => {
        if (settled._tag === "Applied") {
          fate.die()
        }
      }
    })
    return store
  }))

  const control = Layer.mergeAll(
    HttpRouter.add("POST", "/arm", (request) =>
      Effect.gen(function*() {
        fate.arm(yield* Schema.decodeUnknownEffect(KillPoint.KillPoint)(yield* request.json))
        return HttpServerResponse.empty()
      })),
    /** What the process did on its store since it was told where to die. */
    HttpRouter.add(
      "GET",
      "/operations",
      Effect.suspend(() =>
        HttpServerResponse.json(fate.operations.map((operation) => ({
          name: KillPoint.nameOf(operation),
          writes: operation.writes.length
        })))
      )
    ),
    /** States of the executions that have no result. */
    HttpRouter.add(
      "GET",
      "/unfinished",
      Effect.gen(function*() {
        const { list } = yield* Store.Store
        const executions = yield* Stream.runCollect(list({ states: ["running", "waiting", "stopped", "stuck"] }))
        return yield* HttpServerResponse.json(executions.map(({ state }) => state))
      })
    )
  )

  const announce = Layer.effectDiscard(
    HttpServer.addressFormattedWith((address) => Console.log(`listening ${address}/mcp`)).pipe(
      // Node keeps its cache of compiled modules at an orderly end, which this process will not have.
      Effect.andThen(Effect.sync(flushCompileCache))
    )
  )

  const mcp = DurableMcp.layerHttp({
    name: "matrix",
    version: "1.0.0",
    path: "/mcp",
    registrations: Program.registrations(release)
  })

  return announce.pipe(
    Layer.provide(DurableMcp.serveNode({ port, disableListenLog: true })(Layer.merge(mcp, control))),
    Layer.provide(store),
    Layer.provide(EffectsFile.layer(`${directory}/effects`, (name, when) => fate.effect(name, when))),
    // Soon out of memory, so that what comes finds no run.
    Layer.provide(Layer.succeed(Limits.IdleDelay)("200 millis"))
  )
})

NodeRuntime.runMain(Layer.launch(Layer.unwrap(program)))
