/** A small server under test, and stores that behave otherwise than they should. */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp, Store } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type * as Client from "../../src/testing/Client.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import type { Disk } from "../../src/testing/Disk.ts"
import { World } from "../../src/testing/World.ts"

/** What the tool does. */
export type Body = (world: World["Service"]) => Effect.Effect<string>

const Run = Toolkit.make(Tool.make("run", { success: Schema.String }))

/** A server whose one tool has this body, called once. */
export const program = (body: Body) => ({
  app: DurableMcp.layerHttp({
    name: "kit",
    version: "1.0.0",
    path: "/mcp",
    registrations: DurableMcp.toolkit(Run).pipe(
      Layer.provide(Run.toLayer(Effect.map(World, (world) => Run.of({ run: () => body(world) }))))
    )
  }),
  answer: () => Effect.succeed({ action: "accept", content: { ok: true } }),
  script: (client: Client.Client) => client.callTool("run")
})

export type Program = ReturnType<typeof program>

/** An effect in a step, under the step's key. */
export const step = (world: World["Service"], what: string) =>
  Durable.step(what, ({ key }) => Effect.as(world.effect(what, { key }), what))

/** An effect that must not be repeated. */
export const mail = (world: World["Service"]) =>
  Durable.step("mail", () => Effect.as(world.effect("mail"), "sent"), { atMostOnce: true }).pipe(
    Effect.catchTag("StepInterrupted", () => Effect.succeed("unknown"))
  )

export const ask = (timeout?: "1 minute") =>
  Durable.elicit("go", { message: "Go on?", schema: Schema.Struct({ ok: Schema.Boolean }), timeout })

export const correct: Body = Effect.fnUntraced(function*(world) {
  yield* step(world, "first")
  yield* Durable.progress({ progress: 1 })
  yield* ask()
  yield* step(world, "second")
  yield* Durable.progress({ progress: 2 })
  return "done"
})

/** A store, and how it behaves otherwise. */
export type Change = (store: Store.Store["Service"]) => Partial<Store.Store["Service"]>

const changed = (change: Change): Layer.Layer<Store.Store, never, Store.Store> =>
  Layer.effect(Store.Store)(Effect.map(Store.Store, (store) => ({ ...store, ...change(store) })))

/** The program over a store that behaves otherwise: a bug of the server. */
export const over = (program: Program, change: Change): Program => ({
  ...program,
  app: program.app.pipe(Layer.provide(changed(change)))
})

/** The program with other writes than it meant. */
export const writing = (
  program: Program,
  f: (writes: ReadonlyArray<Store.Write>) => ReadonlyArray<Store.Write>
): Program =>
  over(program, (store) => ({
    commit: (writes) => store.commit(f(writes) as NonEmptyReadonlyArray<Store.Write>),
    submit: (writes) => store.submit(f(writes) as NonEmptyReadonlyArray<Store.Write>)
  }))

/** A disk that behaves otherwise: a bug of the store. */
export const diskThat = (change: Change): Disk => ({
  name: "broken",
  make: Effect.sync(() => {
    const disk = MemoryStore.makeDisk()
    return { layer: Layer.provide(changed(change), MemoryStore.layerWith({ disk })) }
  })
})

/** The failure of a run that must fail. */
export const found = <A>(run: Effect.Effect<A, CrashTest.CrashTestError>) =>
  Effect.flatMap(
    Effect.flip(run),
    (error) => error instanceof CrashTest.CrashTestError ? Effect.succeed(error) : Effect.die(error)
  )
