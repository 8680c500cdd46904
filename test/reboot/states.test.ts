/**
 * The states beside calls: sessions as the model of the contract has them,
 * timers, pages of the directory, chunks.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import type { Machine, States, StateType } from "../../src/reboot/internal/Application.ts"
import * as callRead from "../../src/reboot/internal/callRead.ts"
import type { DirectoryEntry } from "../../src/reboot/internal/directoryState.ts"
import * as directoryState from "../../src/reboot/internal/directoryState.ts"
import { machines } from "../../src/reboot/internal/machines.ts"
import * as sessionState from "../../src/reboot/internal/sessionState.ts"
import * as timersState from "../../src/reboot/internal/timersState.ts"
import { anyWrite, sessionIds } from "../store/arbitraries.ts"
import * as Model from "../store/model.ts"

/** A state that takes one request after the other. */
const stateOf = <T extends StateType>(type: T) => {
  const machine = machines[type] as unknown as Machine<T>
  let state = machine.empty
  return {
    get state(): States[T]["state"] {
      return state
    },
    send: (request: States[T]["request"]) => {
      const applied = machine.apply(state, request)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(applied.state)), applied.state)
      assert.strictEqual(applied.state.version > state.version, applied.state !== state)
      assert.strictEqual(applied.response.version, applied.state.version)
      state = applied.state
      return applied
    }
  }
}

describe("sessionState", () => {
  const [id] = sessionIds
  const write = Arbitrary.map(
    anyWrite,
    (write): ReadonlyArray<sessionState.SessionWrite> =>
      write._tag === "OpenSession" || write._tag === "SetSession" || write._tag === "EndSession"
        ? [{ ...write, id }]
        : write._tag === "Forget"
        ? [{ _tag: "Erase" }]
        : []
  )

  it.prop(
    "random programs do what the model says",
    { program: Arbitrary.array(Arbitrary.array(write, { maxLength: 12 }), { minLength: 1, maxLength: 12 }) },
    ({ program }) => {
      const session = stateOf("Session")
      let model = Model.empty
      program.forEach((list, now) => {
        const writes = list.flat()
        const before = Model.session(model, id)
        let begun = false
        const expected = writes.map((write) => {
          if (write._tag === "Erase") {
            const fresh = model.length > 0
            model = Model.empty
            begun = false
            return { _tag: "Made", fresh }
          }
          const [after, outcome] = Model.write(model, write, now)
          begun ||= write._tag === "OpenSession" && after !== model
          model = after
          return outcome
        })
        const { response, state, task } = session.send({ writes, now })
        assert.deepStrictEqual(response.outcomes as ReadonlyArray<unknown>, expected)
        const record = Model.session(model, id)
        assert.deepStrictEqual(sessionState.record(state), record)
        assert.strictEqual(task, record !== undefined && (begun || (record.ended && before?.ended === false)))
        const writtenAt = sessionState.writtenAt(state)
        for (const writtenBefore of [0, 1, 2, 4, 8, 100]) {
          assert.strictEqual(
            writtenAt !== undefined && writtenAt < writtenBefore,
            Model.sessions(model, { writtenBefore }).length === 1
          )
        }
      })
    },
    { arbitrary: { runs: 1_000 } }
  )

  it("what does not change a session leaves its state", () => {
    const session = stateOf("Session")
    const writes: ReadonlyArray<sessionState.SessionWrite> = [
      { _tag: "OpenSession", id, principal: "ann", data: "{}" },
      { _tag: "SetSession", id, name: "a", writeKey: "1", value: "1" }
    ]
    const first = session.send({ writes, now: 1 })
    assert.strictEqual(session.send({ writes, now: 2 }).state, first.state)
  })
})

describe("timersState", () => {
  const timer = (name: string, at = 1, id = "e") => ({ id, name, at, exit: "1" })

  it("arms once, replaces, removes; its task is there while it has timers", () => {
    const wheel = stateOf("Timers")
    assert.isTrue(wheel.send({ arm: [timer("a"), timer("b", 2)], remove: [] }).task)
    const { state } = wheel
    assert.isFalse(wheel.send({ arm: [timer("a")], remove: [timer("c")] }).task)
    assert.strictEqual(wheel.state, state, "a repeat changes nothing")
    wheel.send({ arm: [timer("a", 3), timer("a", 4, "e2")], remove: [timer("b")] })
    assert.deepStrictEqual(timersState.timersOf(wheel.state), [timer("a", 3), timer("a", 4, "e2")])
    wheel.send({ arm: [], remove: [timer("a"), timer("a", 0, "e2")] })
    assert.deepStrictEqual(timersState.timersOf(wheel.state), [])
    assert.isTrue(wheel.send({ arm: [timer("a")], remove: [] }).task)
    assert.isFalse(wheel.send({ arm: [timer("a")], remove: [timer("a")] }).task, "it never was without")
  })

  it.prop(
    "what is armed is what was armed and not removed",
    {
      program: Schema.Array(Schema.Struct({
        id: Schema.Literals(["e", "e\"", "e/3 😀"]),
        name: Schema.Literals(["a", "a\",\"at", "ü"]),
        at: Schema.Literals([0, 1, 2])
      }))
    },
    ({ program }) => {
      const wheel = stateOf("Timers")
      const armed = new Map<string, unknown>()
      for (const { at, id, name } of program) {
        const entry = timer(name, at, id)
        if (at > 0) {
          wheel.send({ arm: [entry], remove: [] })
          armed.set(`${id} ${name}`, entry)
        } else {
          wheel.send({ arm: [], remove: [entry] })
          armed.delete(`${id} ${name}`)
        }
      }
      assert.deepStrictEqual(timersState.timersOf(wheel.state) as ReadonlyArray<unknown>, Array.from(armed.values()))
    }
  )
})

describe("directoryState", () => {
  const session = (id: string): DirectoryEntry => ({ _tag: "Session", id, createdAt: 1 })
  const written = (id: string, at: number): DirectoryEntry => ({ _tag: "Written", id, at })
  const entries = (page: { readonly state: directoryState.DirectoryState }) => directoryState.entriesOf(page.state)

  it("keeps each entry once, and of when a session was written the last", () => {
    const page = stateOf("Directory")
    const enter = [session("a"), written("a", 5), session("b")]
    page.send({ enter, remove: [] })
    const { state } = page
    page.send({ enter: [...enter, written("a", 4)], remove: [] })
    assert.strictEqual(page.state, state)
    page.send({ enter: [written("a", 6)], remove: [] })
    assert.deepStrictEqual(entries(page), [session("a"), written("a", 6), session("b")])
    page.send({ enter: [session("c")], remove: ["a"] })
    assert.deepStrictEqual(entries(page), [session("b"), session("c")])
  })

  it("a page that was full takes nothing more, also when some of it went", () => {
    const page = stateOf("Directory")
    const all = Array.from({ length: directoryState.maxEntries }, (_, i) => session(`s${i}`))
    assert.isFalse(page.send({ enter: all.slice(1), remove: [] }).response.full)
    assert.isTrue(page.send({ enter: [session("more"), session("and more")], remove: [] }).response.full)
    assert.deepStrictEqual(entries(page).slice(-2), [all.at(-1), { _tag: "Sealed", id: "" }])
    assert.isTrue(page.send({ enter: [session("one")], remove: ["s1", "s2"] }).response.full)
    assert.isFalse(page.send({ enter: [], remove: ["s3"] }).response.full)
    assert.isFalse(page.send({ enter: all.slice(10), remove: [] }).response.full, "it has these")
    assert.strictEqual(entries(page).length, directoryState.maxEntries - 1 - 3 + 1)
  })

  it("one request may bring more than a page has room for, to an empty one", () => {
    const page = stateOf("Directory")
    const enter = Array.from({ length: 400 }, (_, i) => session(`s${i}`))
    assert.isFalse(page.send({ enter, remove: [] }).response.full)
    assert.isFalse(page.send({ enter, remove: [] }).response.full)
    assert.isTrue(page.send({ enter: [session("more")], remove: [] }).response.full)
  })

  it("where pages begin only goes on", () => {
    const first = stateOf("Directory")
    const begin = (page: number) => first.send({ enter: [{ _tag: "First", id: "first", page }], remove: [] }).state
    begin(3)
    begin(7)
    const state = begin(5)
    assert.deepStrictEqual(directoryState.entriesOf(state), [{ _tag: "First", id: "first", page: 7 }])
  })
})

describe("chunkState", () => {
  it("the first value stands", () => {
    const chunk = stateOf("Chunk")
    assert.deepStrictEqual(chunk.send({ value: "" }).response, { version: 1, fresh: true, value: undefined })
    assert.deepStrictEqual(chunk.send({ value: "" }).response, { version: 1, fresh: false, value: undefined })
    assert.deepStrictEqual(chunk.send({ value: "b" }).response, { version: 1, fresh: false, value: "" })
  })
})

describe("machines", () => {
  it("an empty state is none", () => {
    assert.deepStrictEqual(Object.values(machines).map(({ empty }) => empty.version), [0, 0, 0, 0, 0])
    assert.isUndefined(sessionState.record(machines.Session.empty))
    assert.isUndefined(callRead.idOf(machines.Call.empty))
    assert.deepStrictEqual(callRead.directoryEntries(machines.Call.empty), [])
  })
})
