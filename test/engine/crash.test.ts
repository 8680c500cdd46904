/**
 * A crash before, after and within every operation on the store of a handler
 * that does everything, and random sequences of several crashes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Schedule, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Activity, DurableClock, Workflow } from "effect/workflow"
import { Durable } from "../../src/index.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type { Operation } from "../../src/testing/FaultStore.ts"
import {
  boot,
  callOf,
  type Event,
  events,
  type Handlers,
  idOf,
  limits,
  type Options,
  record,
  type Server,
  until
} from "./harness.ts"

/** At which operation on the store (from 1) the process dies, and how many of its writes are applied before. */
interface Crash {
  readonly at: number
  readonly applied: number
}

/** The outside world: what happened, by key. */
class World {
  readonly starts: Array<string> = []
  readonly effects = new Map<string, number>()
  act(name: string, key: string): Effect.Effect<string> {
    return Effect.sync(() => {
      this.starts.push(name)
      this.effects.set(key, (this.effects.get(key) ?? 0) + 1)
      return name
    })
  }
}

const Consent = Schema.Struct({ ok: Schema.Boolean })

/** A server: what it does to the world. */
type Program = (world: World) => Pick<Options, "workflows"> & { readonly handlers: Handlers }

const calls = (outcome: "done" | "no"): Program => (world) => ({
  handlers: {
    tool: () =>
      Effect.gen(function*() {
        const flight = yield* Durable.step("flight", ({ key }) => world.act("flight", key), {
          compensate: (_value, _cause, { key }) => Effect.asVoid(world.act("release", key))
        })
        for (let i = 1; i <= 3; i++) {
          yield* Durable.step("loop", ({ key }) => world.act(`loop ${i}`, key))
          yield* Durable.progress({ progress: i })
          yield* Durable.log(`line ${i}`)
        }
        yield* Effect.forEach(["x", "y", "z"], (name) => Durable.step(name, ({ key }) => world.act(name, key)), {
          concurrency: 2
        })
        yield* Durable.step(
          "flaky",
          ({ attempt, key }) => attempt <= 2 ? Effect.fail("busy") : world.act("flaky", key),
          {
            error: Schema.String,
            retry: { times: 3, schedule: Schedule.spaced("10 seconds") }
          }
        )
        const answer = yield* Durable.elicit("pay", { message: "Pay?", schema: Consent })
        yield* Durable.sleep("nap", "1 minute")
        const mailed = yield* Durable.step("mail", ({ key }) => world.act("mail", key), { atMostOnce: true }).pipe(
          Effect.catchTag("StepInterrupted", () => Effect.succeed("unknown"))
        )
        if (outcome === "no") {
          return yield* Effect.fail(`${answer._tag} ${mailed}`)
        }
        return [flight, answer._tag, mailed]
      })
  }
})

class Refused extends Schema.TaggedError<Refused>("Refused")("Refused", { id: Schema.String }) {}

const Order = Workflow.make("Order", {
  payload: { id: Schema.String },
  success: Schema.Array(Schema.String),
  error: Refused,
  idempotencyKey: ({ id }) => id
})

const workflows: Program = (world) => ({
  workflows: Order.toLayer(({ id }) =>
    Effect.gen(function*() {
      const act = (name: string) =>
        Activity.make({ name, success: Schema.String, execute: world.act(`${name} ${id}`, `${name} ${id}`) })
      const reserved = yield* act("reserve").pipe(
        Workflow.withCompensation(() => Effect.asVoid(act("release")))
      )
      yield* DurableClock.sleep({ name: "cool-off", duration: "1 minute" })
      const packed = yield* Durable.step("pack", ({ key }) => world.act(`pack ${id}`, key))
      return id === "bad" ? yield* new Refused({ id }) : [reserved, packed]
    })
  ),
  handlers: {
    tool: () =>
      Effect.gen(function*() {
        yield* Order.execute({ id: "detached" }, { discard: true })
        const good = yield* Order.execute({ id: "good" })
        const bad = yield* Effect.flip(Order.execute({ id: "bad" }))
        const detached = yield* Order.execute({ id: "detached" })
        return [good, bad._tag, detached]
      })
  }
})

/** Ids of workflows are hashed by WebCrypto, outside of fibers and the test clock. */
const turnOfLoop = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Repeats its POST, answers each question, and lets time pass, until the call has its last event. */
const client = (server: Server) =>
  Effect.gen(function*() {
    const id = idOf("call")
    // Not so many turns but so long: another thread hashes ids of workflows, and may have to wait for a busy machine.
    const began = performance.now()
    while (performance.now() - began < 20_000) {
      yield* server.calls.start(callOf("tool", { progressToken: "t" }))
      const all = yield* events(server, id)
      const asked = all.find(({ key }) => key === "question/pay")
      if (asked !== undefined) {
        const answered = yield* server.calls.answer({
          wireId: asked.data.id,
          session: undefined,
          principal: "anonymous",
          answer: { result: { action: "accept", content: { ok: true } } }
        })
        assert.strictEqual(answered, "Accepted", "a question that a client has seen can be answered")
      }
      const last = all.at(-1)
      if (last?.key === "result" || last?.key === "end") {
        return
      }
      yield* turnOfLoop
      yield* TestClock.adjust("7 seconds")
      yield* turnOfLoop
    }
    return yield* Effect.die(new Error("The call did not end"))
  })

const scenario = Effect.fnUntraced(function*(program: Program, crashes: ReadonlyArray<Crash>) {
  const disk = MemoryStore.makeDisk()
  const world = new World()
  let boots = 0
  let operations: ReadonlyArray<Operation> = []
  while (true) {
    const crash = crashes[boots++]
    const died = yield* Deferred.make<void>()
    const begun: Array<Operation> = []
    const scope = yield* Scope.make()
    const { handlers, ...rest } = program(world)
    const ended = yield* boot(handlers, {
      ...rest,
      disk,
      faults: {
        decide: (operation) => {
          begun.push(operation)
          return operation.index === crash?.at ? { _tag: "Crash", applied: crash.applied } : undefined
        },
        onDeath: () => Deferred.doneUnsafe(died, Effect.void)
      },
      limits: Context.make(limits.DrainTimeout, 0) as Context.Context<never>,
      randomBytes: (size) => new Uint8Array(size).fill(boots)
    }).pipe(
      Scope.provide(scope),
      Effect.tap(client),
      // The result event is there before the result: a crash between the two leaves one more replay.
      Effect.tap((server) => until(record(server, idOf("call")), (found) => found?.result !== undefined)),
      Effect.exit,
      Effect.raceFirst(Effect.andThen(Deferred.await(died), Effect.succeed(undefined)))
    )
    operations = begun
    if (ended !== undefined && Exit.isSuccess(ended)) {
      const all = yield* events(ended.value, idOf("call"))
      const found = yield* record(ended.value, idOf("call"))
      yield* Scope.close(scope, Exit.void)
      return { all, boots, operations, record: found, world }
    }
    if (ended !== undefined && crash === undefined) {
      return yield* Effect.die(ended.cause)
    }
    // Opening the disk fences the store below the engine too: a dead process writes nothing.
    yield* Effect.scoped(MemoryStore.make({ disk }))
    yield* Scope.close(scope, Exit.void)
    assert.isBelow(boots, 20)
  }
})

interface Result {
  readonly all: ReadonlyArray<Event>
  readonly world: World
  readonly boots: number
  readonly record: any
}

const checkCall = (result: Result, outcome: "done" | "no") => {
  const { all, boots, world } = result
  const data = (tag: string) => all.filter((event) => event.data?._tag === tag).map((event) => event.data)
  assert.deepStrictEqual(data("Progress").map(({ progress }) => progress), [1, 2, 3], "progress")
  assert.deepStrictEqual(data("Log").map((log) => log.data), ["line 1", "line 2", "line 3"], "logs")
  assert.strictEqual(all.filter(({ key }) => key === "question/pay").length, 1, "asked once")
  assert.strictEqual(new Set(all.map(({ key }) => key)).size, all.length, "keys")
  const answer = all.at(-1)!.data.result
  const mailed = world.starts.filter((start) => start === "mail").length
  assert.isAtMost(mailed, 1, "at most once")
  if (outcome === "done") {
    assert.oneOf(JSON.stringify(answer.value), [`["flight","Accepted","mail"]`, `["flight","Accepted","unknown"]`])
    assert.notInclude(world.starts, "release")
  } else {
    assert.oneOf(answer.text, ["Accepted mail", "Accepted unknown"])
    assert.include(world.starts, "release")
  }
  for (const name of ["flight", "loop 1", "loop 2", "loop 3", "x", "y", "z", "flaky"]) {
    const starts = world.starts.filter((start) => start === name).length
    assert.isTrue(starts >= 1 && starts <= boots, `${name} started ${starts} times in ${boots} boots`)
  }
  // One key for each step: flight, 3 loops, x, y, z, flaky, mail, and release.
  assert.isAtMost(world.effects.size, outcome === "done" ? 9 : 10)
  assert.strictEqual(all.filter(({ key }) => key === "result").length, 1)
  assert.isDefined(result.record?.result, "complete")
}

const checkWorkflows = ({ all, boots, record, world }: Result) => {
  const pair = (id: string) => [`reserve ${id}`, `pack ${id}`]
  assert.deepStrictEqual(all.at(-1)!.data.result.value, [pair("good"), "Refused", pair("detached")])
  for (const name of ["good", "bad", "detached"].flatMap(pair).concat("release bad")) {
    const starts = world.starts.filter((start) => start === name).length
    assert.isTrue(starts >= 1 && starts <= boots, `${name} started ${starts} times in ${boots} boots`)
  }
  assert.notInclude(world.starts, "release good")
  assert.strictEqual(world.effects.size, 7, "one key for each")
  assert.isDefined(record?.result, "complete")
}

/** One crash before, after and within every operation of a run; returns how many. */
const everyCrash = Effect.fnUntraced(function*(program: Program, check: (result: Result) => void) {
  const whole = yield* scenario(program, [])
  check(whole)
  let points = 0
  for (const { index, what, writes } of whole.operations) {
    for (let applied = 0; applied <= writes.length; applied++) {
      const result = yield* scenario(program, [{ at: index, applied }])
      try {
        check(result)
      } catch (error) {
        throw new Error(`crash at ${index} (${what}), ${applied} writes applied: ${error}`, { cause: error })
      }
      points++
    }
  }
  return points
})

describe("crashes", () => {
  for (const outcome of ["done", "no"] as const) {
    it.effect(
      `before, after and within every operation of a call that ends as "${outcome}"`,
      () =>
        Effect.map(
          everyCrash(calls(outcome), (result) => checkCall(result, outcome)),
          (points) => assert.isAbove(points, 100)
        ),
      120_000
    )
  }

  it.effect(
    "before, after and within every operation of users' workflows",
    () => Effect.map(everyCrash(workflows, checkWorkflows), (points) => assert.isAbove(points, 60)),
    120_000
  )

  const Crashes = Schema.Array(Schema.Struct({
    at: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 80 })),
    applied: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
  })).check(Schema.isMaxLength(6))

  it.effect.prop(
    "any number of crashes, also during recovery",
    [Crashes, Schema.Literals(["done", "no"])],
    ([crashes, outcome]) => Effect.map(scenario(calls(outcome), crashes), (result) => checkCall(result, outcome)),
    { timeout: 120_000, arbitrary: { runs: 100 } }
  )

  it.effect.prop(
    "any number of crashes of users' workflows",
    [Crashes],
    ([crashes]) => Effect.map(scenario(workflows, crashes), checkWorkflows),
    { timeout: 120_000, arbitrary: { runs: 30 } }
  )
})
