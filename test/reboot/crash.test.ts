/**
 * A process dies before or after each single write that a conversation makes of
 * Reboot. The next one sends the list again that was not acknowledged, and goes
 * on; what is stored in the end is what a process makes that never died.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Latch, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as store from "../../src/reboot/internal/store.ts"
import type { Store, Write } from "../../src/store/Store.ts"
import type { Writes } from "../store/arbitraries.ts"
import { append, openStream, park, settle, start } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

const last = (stream: string, key: string): Write => ({ _tag: "Append", stream, key, data: "1", last: true })
const complete = (id: string, result = "1"): Write => ({ _tag: "Complete", id, result })
const arm = (id: string, name: string): Write => ({ _tag: "ArmTimer", id, name, at: 3_600_000, exit: "\"late\"" })
const signal = (id: string, name: string): Write => ({ _tag: "Signal", id, name, exit: "1" })
const step = (id: string, name: string, exit = "1"): Write => ({
  _tag: "RecordStep",
  id,
  name,
  key: name,
  kind: "step",
  root: true,
  version: "1",
  exit
})

/** Longer than what a state holds of one value. */
const long = JSON.stringify("é".repeat(40_000))

const many = (count: number, f: (i: number) => Write): Writes =>
  Array.from({ length: count }, (_, i) => f(i)) as unknown as Writes

const conversations: { readonly [name: string]: ReadonlyArray<Writes> } = {
  "a session, its call, and a child that ends first": [
    [{ _tag: "OpenSession", id: "s", principal: "ann", data: "{}" }, { ...openStream("get"), session: "s" }],
    [{ ...openStream("call"), session: "s" }, start("call"), append("call", "1")],
    [step("call", "a"), { ...openStream("child"), session: "s" }, start("child", "call"), append("call", "2")],
    [arm("call", "deadline"), park("call", "waiting")],
    [last("child", "end"), complete("child", "\"c\""), step("call", "b")],
    [arm("call", "second"), { _tag: "SetSession", id: "s", name: "level", writeKey: "1", value: "1" }],
    [park("call", "waiting", 1)]
  ],
  "long values and long lists": [
    [{ _tag: "PutKey", name: "k", value: "\"secret\"" }, openStream("call"), start("call")],
    [step("call", "long", long), { ...append("call", "long"), data: long } as Write],
    many(100, (i) => append("call", `e${i}`)),
    many(100, (i) => step("call", `s${i}`)),
    [step("call", "after"), append("call", "after"), step("call", "s1")],
    [append("call", "long"), append("call", "e1")]
  ],
  "sessions that are forgotten": [
    [{ _tag: "OpenSession", id: "s", principal: "ann", data: "{}" }, { ...openStream("a"), session: "s" }, start("a")],
    [{ ...openStream("b"), session: "s" }, start("b", "a"), start("c", "b"), arm("c", "sleep")],
    [openStream("other"), start("other"), signal("other", "x")],
    [last("a", "end"), complete("a"), last("b", "end"), complete("b"), complete("c")],
    [{ _tag: "EndSession", id: "s" }, { _tag: "Forget", id: "b" }, { _tag: "ForgetSession", id: "s" }],
    [openStream("a"), start("a")]
  ]
}

/** Everything that can be read; a token says nothing of the conversation. */
const readAll = Effect.fnUntraced(function*(open: Store["Service"], conversation: ReadonlyArray<Writes>) {
  const ids = Array.from(new Set(conversation.flat().flatMap((write) => "id" in write ? [write.id] : [])))
  const streams = yield* Stream.runCollect(open.streams({}))
  return {
    sessions: yield* Stream.runCollect(open.sessions({})),
    streams: streams.map(({ token: _, ...record }) => record),
    executions: yield* Stream.runCollect(open.list({})),
    records: yield* Effect.forEach(ids, (id) => Effect.map(open.execution(id), Option.getOrUndefined)),
    events: yield* Effect.forEach(ids, (id) => open.events(id, 0, 1_000)),
    key: Option.isSome(yield* open.key("k"))
  }
})

/** Not who made a fact, and nothing of what may be forgotten already. */
const outcomesOf = (writes: Writes, outcomes: ReadonlyArray<object>): ReadonlyArray<string> =>
  writes.some(({ _tag }) => _tag === "ForgetSession")
    ? []
    : outcomes.map((outcome) => JSON.stringify({ ...outcome, fresh: undefined, token: undefined }))

/** Where the process dies. */
interface Death {
  readonly n: number
  readonly half: "before" | "after"
}

/** Sends what is left of the conversation, until all is acknowledged or the process is dead. */
const converse = Effect.fnUntraced(function*(
  disk: Simulated.Disk,
  conversation: ReadonlyArray<Writes>,
  done: Array<ReadonlyArray<string>>,
  death?: Death
) {
  const died = Latch.makeUnsafe(false)
  const die = ({ number }: Simulated.HookedWrite, opening: Simulated.Opening) =>
    number === death?.n
      ? Effect.andThen(Effect.sync(opening.die), Effect.andThen(died.open, Effect.never))
      : Effect.void
  const scope = yield* Scope.make()
  const opening = yield* Scope.provide(Simulated.open(disk, death && { [death.half]: die }), scope)
  const untilDeath = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Option.Option<A>> =>
    Effect.raceFirst(Effect.option(effect), Effect.as(died.await, Option.none()))
  const opened = yield* untilDeath(Scope.provide(store.make(opening.application), scope))
  if (Option.isSome(opened)) {
    yield* Scope.provide(opened.value.drive(() => Effect.never), scope)
    while (done.length < conversation.length) {
      const writes = conversation[done.length]!
      const outcomes = yield* untilDeath(opened.value.commit(writes))
      if (Option.isNone(outcomes)) {
        break
      }
      done.push(outcomesOf(writes, outcomes.value))
      // what is held back is written
      yield* settle
      yield* TestClock.adjust("1 second")
    }
  }
  return {
    open: Option.getOrUndefined(opened),
    scope,
    writes: Object.values(opening.counts.writes).reduce((sum, count) => sum + count)
  }
})

/** The whole conversation, with a process for each death and one that lives. */
const run = Effect.fnUntraced(function*(conversation: ReadonlyArray<Writes>, deaths: ReadonlyArray<Death>) {
  const disk = new Simulated.Disk()
  const done: Array<ReadonlyArray<string>> = []
  let writes = 0
  for (const death of deaths) {
    // what is left of it hears of nothing any more
    writes = (yield* converse(disk, conversation, done, death)).writes
  }
  const { open, scope } = yield* converse(disk, conversation, done)
  assert.isDefined(open)
  yield* settle
  const read = yield* readAll(open, conversation)
  yield* TestClock.setTime(3_600_000)
  yield* settle
  const fired = yield* readAll(open, conversation)
  yield* Scope.close(scope, Exit.void)
  return { result: { done, read, fired }, writes, tasks: disk.incomplete("Call") }
}, Effect.provide(TestClock.layer()))

describe("a process that dies between two writes of Reboot", () => {
  for (const [name, conversation] of Object.entries(conversations)) {
    for (const half of ["before", "after"] as const) {
      it.effect(`${name}: ${half} each of them`, () =>
        Effect.gen(function*() {
          const { result: expected, tasks } = yield* run(conversation, [])
          let n = 1
          while (true) {
            const actual = yield* run(conversation, [{ n, half }])
            assert.deepStrictEqual(actual.result, expected, `it died ${half} write ${n}`)
            assert.strictEqual(actual.tasks, tasks, `it died ${half} write ${n}`)
            if (actual.writes < n) {
              break
            }
            n++
          }
          assert.isAtLeast(n, conversation.length)
        }), 60_000)
    }
  }
})
