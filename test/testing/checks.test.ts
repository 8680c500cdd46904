/**
 * What no bug that is easily planted leads to: the checks by themselves.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Store } from "effect-durable-mcp"
import type { Disk } from "../../src/testing/internal/audit.ts"
import * as ClientChecks from "../../src/testing/internal/checksClient.ts"
import * as Rest from "../../src/testing/internal/checksRest.ts"
import * as StepChecks from "../../src/testing/internal/checksSteps.ts"

const execution: Store.ExecutionRecord = {
  id: "execution",
  workflow: "w",
  payload: "{}",
  parent: undefined,
  createdAt: 0,
  steps: [],
  signals: [],
  timers: new Map(),
  cancel: undefined,
  parked: undefined,
  recoveries: 0,
  result: undefined,
  completedAt: undefined
}

const diskOf = (...executions: ReadonlyArray<Partial<Store.ExecutionRecord>>): Disk => ({
  keys: new Map(),
  sessions: [],
  streams: [],
  executions: executions.map((record) => ({ ...execution, ...record }))
})

const record = (kind: string, name: string, exit: unknown): Store.StepRecord => ({
  name,
  key: "key",
  kind,
  root: true,
  version: "1",
  exit: JSON.stringify(exit),
  recordedAt: 0
})

const waiting = { state: "waiting", reason: undefined } as const

describe("what is left to do", () => {
  const left = (record: Partial<Store.ExecutionRecord>) => Rest.leftovers(diskOf(record), 100).join()

  it("is a run that nobody works on, a timer that did not fire, a wait for nothing", () => {
    assert.include(left({}), "has no result, and nobody works on it")
    assert.include(left({ parked: waiting, timers: new Map([["due/a", 99]]) }), "timer due/a did not fire")
    assert.include(left({ parked: { state: "stuck", reason: "why" } }), "is stuck: why")
    assert.include(
      left({ parked: waiting, steps: [record("question", "go", { deadline: 1 })] }),
      "waits for what never comes: question go is open"
    )
  })

  it("is not a wait for a time that comes, or for a child that has such a wait", () => {
    const timers = new Map([["due/a", 101]])
    assert.strictEqual(left({ parked: waiting, timers }), "")
    assert.strictEqual(left({ result: "1", completedAt: 1 }), "")
    const family = diskOf({ id: "parent", parked: waiting }, { id: "child", parent: "parent", parked: waiting, timers })
    assert.deepStrictEqual(Rest.leftovers(family, 100), [])
  })
})

describe("what excuses a result", () => {
  const timedOut = (recordedAt: number) =>
    Rest.circumstances(
      diskOf({
        completedAt: 100,
        steps: [record("question", "go", { deadline: 50 })],
        signals: [{ name: "answer/go", exit: `{"_tag":"TimedOut"}`, recordedAt }]
      }),
      () => false,
      { latest: 100, wereSetBack: false }
    )

  it("is a deadline that has passed, and not one before its time", () => {
    assert.deepStrictEqual(timedOut(50), { excuses: ["TimedOut go"], violations: [] })
    assert.deepStrictEqual(timedOut(40).violations, ["question go timed out 10 ms before its deadline"])
  })

  it("is a sleep that was slept to its end, and a step that a crash fell into", () => {
    const disk = diskOf({
      completedAt: 100,
      steps: [
        record("sleep", "long", 101),
        record("sleep", "short", 99),
        record("step", "mail", { _tag: "Interrupted" })
      ]
    })
    const excuses = (cut: boolean) => Rest.circumstances(disk, () => cut, { latest: 100, wereSetBack: false }).excuses
    assert.deepStrictEqual(excuses(true), ["Slept short", "StepInterrupted mail"])
    assert.deepStrictEqual(excuses(false), ["Slept short"])
  })

  it("is what the run without faults has not got, or has got besides", () => {
    assert.deepStrictEqual(Rest.difference(["a", "a", "b"], ["a", "c"]), ["a", "b", "c"])
    assert.deepStrictEqual(Rest.difference(["a"], ["a"]), [])
  })
})

describe("the checks of steps", () => {
  const attempt = { execution: "e", path: "charge", key: "k", attempt: 1 }

  const checked = (f: (checks: StepChecks.StepChecks) => void) => {
    const violations: Array<string> = []
    f(StepChecks.make((text) => violations.push(text)))
    return violations.join()
  }

  const records = (checks: StepChecks.StepChecks, process: number, name: string, exit: unknown, kind = "step") => {
    const write: Store.Write = { ...record(kind, name, exit), _tag: "RecordStep", id: "e", key: "k" }
    const operation = { index: 1, kind: "commit", what: "", writes: [write] } as const
    checks.operation(process, operation)
    checks.settled(process, operation, {
      _tag: "Acknowledged",
      outcomes: [{ _tag: "Stands", fresh: true, value: write.exit }]
    })
  }

  it("find a finished step that runs again, but not in a process that has lost the disk", () => {
    const again = (isHolder: boolean) =>
      checked((checks) => {
        checks.begins(1, attempt, true)
        checks.ended(1, attempt)
        records(checks, 1, "charge", { _tag: "Success" })
        checks.begins(2, attempt, isHolder)
      })
    assert.include(again(true), "step charge was begun again after its exit had been recorded")
    assert.strictEqual(again(false), "")
  })

  it("find a failed attempt that runs again", () => {
    assert.include(
      checked((checks) => {
        checks.begins(1, attempt, true)
        records(checks, 1, "charge@1", { outcome: { _tag: "Failure" } }, "attempt")
        checks.begins(2, attempt, true)
      }),
      "was begun again"
    )
  })

  it("find another key for the same step", () => {
    assert.include(
      checked((checks) => {
        checks.begins(1, attempt, true)
        checks.begins(2, { ...attempt, key: "l" }, true)
      }),
      "step charge runs under the key l, and ran under k before"
    )
  })

  it("find an effect under the key of a finished step", () => {
    assert.include(
      checked((checks) => {
        checks.effect("charge", "k")
        records(checks, 1, "charge", { _tag: "Success" })
        checks.effect("charge", "k")
      }),
      "charge was done again after its exit had been recorded"
    )
  })

  it("know why a step is interrupted", () => {
    const interrupted = (by: number, failed: boolean) =>
      checked((checks) => {
        records(checks, 1, "charge@1/%begin", "mine", "begin")
        checks.begins(1, attempt, true)
        checks.ended(1, attempt)
        if (failed) {
          const operation = { index: 2, kind: "commit", what: "", writes: [] } as const
          checks.operation(1, operation)
          checks.settled(1, operation, { _tag: "Failed" })
        }
        records(checks, by, "charge", { _tag: "Interrupted" })
      })
    assert.strictEqual(interrupted(2, false), "")
    assert.strictEqual(interrupted(1, true), "")
    assert.include(interrupted(1, false), "though nothing has cut it off")
  })
})

describe("the checks of what a client gets", () => {
  const checked = (
    messages: ReadonlyArray<readonly [eventId: string | undefined, message: object]>,
    replayed?: ReadonlyArray<string>
  ) => {
    const violations: Array<string> = []
    const checks = ClientChecks.make({
      say: () => {},
      isSetBack: () => false,
      violation: (text) => violations.push(text)
    })
    for (const [eventId, message] of messages) {
      if (eventId !== undefined) {
        checks.eventId({ client: 1, call: 1 }, eventId)
      }
      checks.received({ client: 1, call: 1, eventId, message, text: JSON.stringify(message) })
    }
    if (replayed !== undefined) {
      checks.replayed("call 1", replayed)
    }
    return violations.join()
  }

  const log = { method: "notifications/message" }
  const answer = { id: 1, result: {} }

  it("find an event twice, out of order, without an id, or after the answer", () => {
    assert.strictEqual(checked([["s:1", log], ["s:2", answer]]), "")
    assert.include(checked([["s:1", log], ["s:1", log]]), "event s:1 came twice")
    assert.include(checked([["s:2", log], ["s:1", log]]), "event s:1 came after event 2")
    assert.include(checked([[undefined, log]]), "came without an event id")
    assert.include(checked([["s:1", answer], ["s:2", log]]), "came after the answer")
  })

  it("find a replay that gives something else", () => {
    assert.strictEqual(checked([["s:1", log], ["s:2", answer]], [JSON.stringify(answer)]), "")
    assert.include(checked([["s:1", log], ["s:2", answer]], []), "a replay gives")
  })

  it("find progress that falls, also between heartbeats", () => {
    const progress = (progress: number) => ({ method: "notifications/progress", params: { progress } })
    assert.strictEqual(checked([["s:1", progress(1)], [undefined, progress(1.5)], ["s:2", progress(2)]]), "")
    assert.include(checked([["s:1", progress(1)], [undefined, progress(1)]]), "progress fell from 1 to 1")
  })
})
