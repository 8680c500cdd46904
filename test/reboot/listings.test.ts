/**
 * Listings read what they need and no more. What they say is held to the model by
 * the contract suite.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { States } from "../../src/reboot/internal/Application.ts"
import * as callRead from "../../src/reboot/internal/callRead.ts"
import type { CallWrite } from "../../src/reboot/internal/callState.ts"
import type { DirectoryEntry } from "../../src/reboot/internal/directoryState.ts"
import * as directoryView from "../../src/reboot/internal/directoryView.ts"
import * as listings from "../../src/reboot/internal/listings.ts"
import { machines } from "../../src/reboot/internal/machines.ts"
import type { SessionWrite } from "../../src/reboot/internal/sessionState.ts"
import * as store from "../../src/reboot/internal/store.ts"
import type { ExecutionSummary } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { openStream } from "../store/harness.ts"
import * as Simulated from "./SimulatedApplication.ts"

const unfinished: ReadonlyArray<ExecutionSummary["state"]> = ["running", "waiting", "stopped", "stuck"]

/** States, a directory that knows them, and what was read. */
const make = () => {
  const calls = new Map<string, States["Call"]["state"]>()
  const sessions = new Map<string, States["Session"]["state"]>()
  const view = directoryView.make()
  const reads: Array<string> = []
  const entered: Array<DirectoryEntry> = []
  const write = (id: string, now: number, ...writes: ReadonlyArray<CallWrite>) => {
    const before = calls.get(id) ?? machines.Call.empty
    const { state } = machines.Call.apply(before, { writes, now, boot: "b" })
    calls.set(id, state)
    return callRead.directoryEntries(state)
  }
  return {
    view,
    reads,
    entered,
    call: (id: string, now: number, ...writes: ReadonlyArray<CallWrite>) =>
      write(id, now, ...writes).forEach(view.apply),
    /** Its process died before the directory knew. */
    lost: (id: string, now: number, ...writes: ReadonlyArray<CallWrite>) => void write(id, now, ...writes),
    session: (id: string, now: number, ...writes: ReadonlyArray<SessionWrite>) => {
      const { state } = machines.Session.apply(sessions.get(id) ?? machines.Session.empty, { writes, now })
      sessions.set(id, state)
      view.apply({ _tag: "Session", id, createdAt: now })
    },
    erase: (id: string) => void calls.delete(id),
    listings: listings.make({
      directory: {
        view: Effect.succeed(view),
        enter: (entry) => {
          entered.push(entry)
          view.apply(entry)
        }
      },
      read: (type, id) =>
        Effect.sync(() => {
          reads.push(id)
          return (type === "Call" ? calls.get(id) : sessions.get(id)) ?? machines[type].empty
        }) as Effect.Effect<never>
    })
  }
}

const open = (id: string, session?: string): CallWrite => ({
  _tag: "OpenStream",
  stream: id,
  session,
  principal: "anonymous",
  requestDigest: "d",
  version: "2025-11-25"
})
const start = (id: string): CallWrite => ({ _tag: "StartExecution", id, workflow: "w", payload: "{}" })
const end = (id: string): ReadonlyArray<CallWrite> => [
  { _tag: "Append", stream: id, key: "end", data: "1", last: true },
  { _tag: "Complete", id, result: "1" }
]
const forget = (id: string): CallWrite => ({ _tag: "Forget", id })

describe("listings", () => {
  it.effect("a front lists what it wrote, before any host has told others", () =>
    Effect.gen(function*() {
      const disk = new Simulated.Disk()
      yield* Simulated.open(disk, { role: "host" })
      const front = yield* store.make((yield* Simulated.open(disk, { role: "front" })).application)
      const ids = <A>(stream: Stream.Stream<A, StoreError>, id: (a: A) => string) =>
        Effect.map(Stream.runCollect(stream), (all) => all.map(id))
      for (const at of [1, 2]) {
        // before and after it has read the directory
        yield* front.commit([
          { _tag: "OpenSession", id: `s${at}`, principal: "anonymous", data: "{}" },
          { ...openStream(`a${at}`), session: `s${at}` },
          { _tag: "StartExecution", id: `a${at}`, workflow: "w", payload: "{}" },
          { ...openStream(`b${at}`), session: `s${at}` }
        ])
        assert.deepStrictEqual(yield* ids(front.list({ session: `s${at}` }), ({ id }) => id), [`a${at}`])
        const streams = yield* ids(front.streams({ session: `s${at}` }), ({ stream }) => stream)
        assert.deepStrictEqual(streams, [`a${at}`, `b${at}`])
        assert.include(yield* ids(front.sessions({}), ({ id }) => id), `s${at}`)
      }
      assert.deepStrictEqual(disk.ids("Directory"), [], "a front stores nothing")
    }))

  it.effect("a sweep over 20,000 closed calls reads those that are due, once", () =>
    Effect.gen(function*() {
      const all = make()
      for (let i = 0; i < 20_000; i++) {
        // tombstones, what is due, and what is not
        const createdAt = i < 15_000 ? 1_000 : i < 15_010 ? 2_000 : 10_000
        all.call(`e${i}`, createdAt, open(`e${i}`, `s${i % 100}`), start(`e${i}`))
        all.call(`e${i}`, createdAt + 5, ...end(`e${i}`))
        if (i < 15_000) {
          all.call(`e${i}`, 9_000, forget(`e${i}`))
        }
      }
      const due = yield* Stream.runCollect(all.listings.streams({ closedBefore: 10_000 }))
      assert.deepStrictEqual(due.map(({ stream }) => stream), Array.from({ length: 10 }, (_, i) => `e${15_000 + i}`))
      assert.strictEqual(all.reads.length, 10)
      assert.deepStrictEqual(yield* Stream.runCollect(all.listings.list({ session: "s7", states: unfinished })), [])
      assert.strictEqual(all.reads.length, 10, "what is closed has its result")
    }))

  it.effect("a tombstone of which the directory was not told is read once", () =>
    Effect.gen(function*() {
      const all = make()
      all.call("e", 0, open("e"), start("e"), ...end("e"))
      all.lost("e", 1, forget("e"))
      for (let sweep = 0; sweep < 3; sweep++) {
        assert.deepStrictEqual(yield* Stream.runCollect(all.listings.streams({ closedBefore: 100 })), [])
      }
      assert.deepStrictEqual(all.reads, ["e"])
      assert.deepStrictEqual(all.entered, [{ _tag: "Forgotten", id: "e" }])
      assert.strictEqual((yield* Stream.runCollect(all.listings.streams({}))).length, 1, "its stream is still there")
    }))

  it.effect("what is not there any more is looked for once", () =>
    Effect.gen(function*() {
      const all = make()
      all.call("e", 0, open("e", "s"), start("e"))
      all.erase("e")
      all.view.apply({ _tag: "Session", id: "s", createdAt: 0 })
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* Stream.runCollect(all.listings.list({})), [])
        assert.deepStrictEqual(yield* Stream.runCollect(all.listings.sessions({})), [])
      }
      assert.deepStrictEqual(all.reads, ["e", "s"])
    }))

  it.effect("streams and executions come in the order of their own creation", () =>
    Effect.gen(function*() {
      const all = make()
      all.call("a", 0, open("a"))
      all.call("b", 0, start("b"))
      all.call("a", 0, start("a"))
      all.call("c", 1, open("c"), start("c"))
      all.call("b", 2, open("b"))
      all.call("d", 3, open("d"), start("d"))
      // a clock that was set back, and an entry that a crash delayed
      all.call("e", 2, open("e"), start("e"))
      const streams = yield* Stream.runCollect(all.listings.streams({}))
      const executions = yield* Stream.runCollect(all.listings.list({}))
      assert.deepStrictEqual(streams.map(({ stream }) => stream), ["a", "c", "b", "e", "d"])
      assert.deepStrictEqual(executions.map(({ id }) => id), ["b", "a", "c", "e", "d"])
    }))

  it.effect("who wants one reads a page, and a session reads its own", () =>
    Effect.gen(function*() {
      const all = make()
      for (let i = 0; i < 1_000; i++) {
        all.call(`e${i}`, i, open(`e${i}`, i % 2 === 0 ? "even" : "odd"), start(`e${i}`))
      }
      const [first] = yield* Stream.runCollect(Stream.take(all.listings.list({ states: unfinished }), 1))
      assert.strictEqual(first?.id, "e0")
      assert.isAtMost(all.reads.length, 64)
      all.reads.length = 0
      assert.strictEqual((yield* Stream.runCollect(all.listings.list({ session: "odd" }))).length, 500)
      assert.isTrue(all.reads.every((id) => Number(id.slice(1)) % 2 === 1))
    }))

  it.effect("a session that was written lately is not read to see whether it is idle", () =>
    Effect.gen(function*() {
      const all = make()
      for (const id of ["idle", "used", "young"]) {
        all.session(id, id === "young" ? 900 : 0, { _tag: "OpenSession", id, principal: "anonymous", data: "{}" })
      }
      all.session("used", 800, { _tag: "SetSession", id: "used", name: "touched", writeKey: "k", value: "1" })
      all.view.apply({ _tag: "Written", id: "used", at: 800 })
      const idle = yield* Stream.runCollect(all.listings.sessions({ ended: false, writtenBefore: 500 }))
      assert.deepStrictEqual(idle.map(({ id }) => id), ["idle"])
      assert.deepStrictEqual(all.reads, ["idle"])
    }))
})
