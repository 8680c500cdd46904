/**
 * The kit is trusted with the proof, so it must find what is wrong: each test
 * plants a bug below or in the program under test.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { Durable, DurableMcp, Store } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Client from "../../src/testing/Client.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import * as Schedule from "../../src/testing/Schedule.ts"
import { World } from "../../src/testing/World.ts"

type Body = (world: World["Service"]) => Effect.Effect<string>

const Run = Toolkit.make(Tool.make("run", { success: Schema.String }))

/** A server whose one tool has this body, called once. */
const program = (body: Body) => ({
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

const step = (world: World["Service"], what: string) =>
  Durable.step(what, ({ key }) => Effect.as(world.effect(what, { key }), what))

const correct: Body = Effect.fnUntraced(function*(world) {
  yield* step(world, "first")
  yield* Durable.progress({ progress: 1 })
  yield* Durable.elicit("go", { message: "Go on?", schema: Schema.Struct({ ok: Schema.Boolean }) })
  yield* step(world, "second")
  yield* Durable.progress({ progress: 2 })
  return "done"
})

type Program = ReturnType<typeof program>

/** The program over a store that behaves otherwise. */
const over = (
  program: Program,
  f: (store: Store.Store["Service"]) => Partial<Store.Store["Service"]>
): Program => ({
  ...program,
  app: program.app.pipe(
    Layer.provide(Layer.effect(Store.Store)(Effect.map(Store.Store, (store) => ({ ...store, ...f(store) }))))
  )
})

/** The program with other writes than it meant. */
const writing = (
  program: Program,
  f: (writes: ReadonlyArray<Store.Write>) => ReadonlyArray<Store.Write>
): Program =>
  over(program, (store) => ({
    commit: (writes) => store.commit(f(writes) as NonEmptyReadonlyArray<Store.Write>),
    submit: (writes) => store.submit(f(writes) as NonEmptyReadonlyArray<Store.Write>)
  }))

const found = (run: Effect.Effect<CrashTest.Report, CrashTest.CrashTestError>) =>
  Effect.flatMap(
    Effect.flip(run),
    (error) => error instanceof CrashTest.CrashTestError ? Effect.succeed(error) : Effect.die(error)
  )

describe("CrashTest", () => {
  it.live("passes a correct program", () =>
    Effect.gen(function*() {
      const every = yield* CrashTest.exhaustive(program(correct))
      assert.isAbove(every.crashes, 20)
      const random = yield* CrashTest.random({ ...program(correct), runs: 50, seed: 1 })
      assert.isAbove(random.crashes, 50)
    }), 60_000)

  it.live("finds an effect outside of a step", () =>
    Effect.gen(function*() {
      let count = 0
      const error = yield* found(
        CrashTest.exhaustive(
          program((world) => Effect.andThen(step(world, "first"), Effect.sync(() => String(++count))))
        )
      )
      assert.isTrue(error.violations.some((text) => text.startsWith("the result is")), error.message)
    }), 60_000)

  it.live("finds a key that differs from run to run", () =>
    Effect.gen(function*() {
      let n = 0
      const broken = writing(program(correct), (writes) =>
        writes.map((write) => write._tag === "Append" ? { ...write, key: `${write.key}/${n++}` } : write))
      const error = yield* found(CrashTest.exhaustive(broken))
      assert.include(error.message, "and not")
    }), 60_000)

  it.live("finds a record that is not looked at", () =>
    Effect.gen(function*() {
      const broken = over(program(correct), (store) => ({
        execution: (id) =>
          Effect.map(
            store.execution(id),
            Option.map((record) => ({ ...record, steps: record.steps.filter(({ name }) => name !== "first") }))
          )
      }))
      const error = yield* found(CrashTest.exhaustive(broken))
      assert.include(error.message, "first was done again after its exit had been recorded")
    }), 60_000)

  it.live("finds a question that is seen before its answer can be accepted", () =>
    Effect.gen(function*() {
      // time for the client to come back before the handler is there again
      const slow = program((world) => Effect.andThen(Effect.sleep("3 seconds"), correct(world)))
      const broken = writing(slow, (writes) =>
        writes.toSorted((a, b) => Number(b._tag === "Append") - Number(a._tag === "Append")))
      const error = yield* found(CrashTest.exhaustive(broken))
      assert.include(error.message, "the server refused answer to elicitation/create")
    }), 60_000)

  it.live("finds an effect without a key that a crash repeats, and says what to do", () =>
    Effect.gen(function*() {
      const error = yield* found(
        CrashTest.exhaustive(program((world) => Durable.step("mail", () => Effect.as(world.effect("mail"), "sent"))))
      )
      assert.include(error.message, "mail took place 2 times, and once without faults")
      assert.include(error.message, "make the step `atMostOnce`")
    }), 60_000)

  it.live("makes a failing schedule smaller, and replays it", () =>
    Effect.gen(function*() {
      const broken = program((world) =>
        Effect.andThen(
          step(world, "first"),
          Durable.step("mail", () => Effect.as(world.effect("mail"), "sent"))
        )
      )
      const error = yield* found(CrashTest.random({ ...broken, runs: 500, seed: 1, max: 4 }))
      assert.lengthOf(Schedule.decode(error.token) ?? [], 1)
      const again = yield* Effect.flip(CrashTest.replay(broken, error.token))
      assert.deepStrictEqual(again.violations, error.violations)
    }), 60_000)
})
