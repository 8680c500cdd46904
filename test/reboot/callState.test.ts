/**
 * The state of a call against the model of the contract: the same outcomes and
 * the same reads, whenever old entries go into chunks, and however often a
 * request comes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as callRead from "../../src/reboot/internal/callRead.ts"
import {
  type CallOutcome,
  type CallRequest,
  type CallState,
  type CallWrite,
  machine,
  type Spill
} from "../../src/reboot/internal/callState.ts"
import { executionHead, oldCount, streamHead } from "../../src/reboot/internal/callTexts.ts"
import * as streamToken from "../../src/reboot/internal/streamToken.ts"
import type { ExecutionRecord, Write } from "../../src/store/Store.ts"
import { anyWrite } from "../store/arbitraries.ts"
import * as Model from "../store/model.ts"

const id = "e1"

// -----------------------------------------------------------------------------
// programs
// -----------------------------------------------------------------------------

type Command =
  | { readonly _tag: "Writes"; readonly writes: ReadonlyArray<CallWrite & Write> }
  | { readonly _tag: "Spill"; readonly list: Spill["list"]; readonly count: number }
  | { readonly _tag: "Repeat" }
  | { readonly _tag: "Erase" }
  | { readonly _tag: "TaskEnds" }

/** Of what one can do to a store, what one can do to a call; all to the same one. */
const onCall = (write: Write): ReadonlyArray<CallWrite & Write> => {
  switch (write._tag) {
    case "OpenSession":
    case "SetSession":
    case "EndSession":
    case "ForgetSession":
    case "PutKey": {
      return []
    }
    case "OpenStream":
    case "Append":
    case "Trim": {
      return [{ ...write, stream: id }]
    }
    default: {
      return [{ ...write, id }]
    }
  }
}

const writes = Arbitrary.array(anyWrite, { minLength: 1, maxLength: 6 }).pipe(
  Arbitrary.map((writes): Command => ({ _tag: "Writes", writes: writes.flatMap(onCall) }))
)

const other = Arbitrary.schema(Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("Spill"),
    list: Schema.Literals(["steps", "signals", "events"]),
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 }))
  }),
  Schema.Struct({ _tag: Schema.Literals(["Repeat", "TaskEnds"]) }),
  Schema.Struct({ _tag: Schema.Literals(["Repeat", "TaskEnds", "TaskEnds", "Erase"]) })
])) as Arbitrary.Arbitrary<Command>

const commands = Arbitrary.array(
  Arbitrary.flatMap(Arbitrary.schema(Schema.Literals([0, 1, 2])), (choice) => choice === 0 ? other : writes),
  { minLength: 1, maxLength: 30 }
)

const begin: Command = {
  _tag: "Writes",
  writes: [
    { _tag: "OpenStream", stream: id, principal: "ann", requestDigest: "d1", version: "1" },
    { _tag: "StartExecution", id, workflow: "w", payload: "{}" }
  ]
}

// -----------------------------------------------------------------------------
// a call and what is beside it
// -----------------------------------------------------------------------------

/** One call, as Reboot and the store hold it between them. */
class Call {
  state: CallState = machine.empty
  readonly chunks = new Map<string, string>()
  model = Model.empty
  /** Reboot has an incomplete task. */
  hasTask = false
  /** What the task has put into the directory. */
  listed: ReadonlyArray<string> = []
  /** Under which opening of the store the execution was made to run. */
  boot: string | undefined
  last: CallRequest | undefined
  /** All that was sent last became facts, which they are for ever. */
  private facts = false
  private readonly tokens = new Set<string>()
  private readonly seen: Set<string>
  private requests = 0

  constructor(seen: Set<string> = new Set()) {
    this.seen = seen
  }

  readonly chunkText = (chunk: string): string => {
    const text = this.chunks.get(chunk)
    assert.isDefined(text, `chunk ${chunk} was never written`)
    return text!
  }

  send(writes: ReadonlyArray<CallWrite & Write>): void {
    const request = { writes, now: ++this.requests, boot: `boot ${this.requests}` }
    const expected = writes.map((write) => {
      const stateBefore = this.modelState
      const [model, outcome] = Model.write(this.model, write, request.now)
      this.model = model
      if (this.modelState === "running" && stateBefore !== "running") {
        this.boot = request.boot
      }
      return outcome
    })
    const outcomes = this.apply(request)
    assert.deepStrictEqual(outcomes.map((outcome) => this.asModel(outcome)), expected)
    this.last = request
    this.facts = writes.every(({ _tag }) => !again.has(_tag)) &&
      outcomes.every((outcome) => "fresh" in outcome && outcome.fresh)
  }

  private get modelState() {
    return Model.execution(this.model, id) === undefined ? undefined : Model.stateOf(this.model, id)
  }

  apply(request: CallRequest): ReadonlyArray<CallOutcome> {
    const wasRunnable = this.isRunnable
    const { response, state, task } = machine.apply(this.state, request)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(state)), state, "a state is what its JSON says")
    assert.strictEqual(state.version > this.state.version, state !== this.state)
    assert.deepStrictEqual(response.standing, callRead.standing(state))
    this.state = state
    response.outcomes.forEach((outcome, i) => {
      const { _tag } = request.writes[i]!
      const detail = "fresh" in outcome ? ` ${outcome.fresh}` : "parked" in outcome ? ` ${outcome.parked}` : ""
      this.seen.add(`${_tag}: ${outcome._tag}${detail}`)
    })
    assert.isFalse(task && wasRunnable, "an execution that runs has its task")
    this.hasTask ||= task
    assert.isTrue(this.hasTask || !this.isRunnable, "an execution that must run has a task")
    assert.isTrue(this.hasTask || this.unlisted.length === 0, "what listings do not know has a task")
    return response.outcomes
  }

  private get isRunnable(): boolean {
    const state = callRead.standing(this.state)?.state
    return state === "running" || state === "stopped"
  }

  /** A call that is forgotten has been listed; that it is forgotten is not worth a task. */
  private get unlisted(): ReadonlyArray<string> {
    return callRead.directoryEntries(this.state)
      .filter(({ _tag }) => _tag !== "Forgotten")
      .map((entry) => JSON.stringify(entry))
      .filter((entry) => !this.listed.includes(entry))
  }

  private asModel(outcome: CallOutcome): Model.ModelOutcome {
    switch (outcome._tag) {
      case "Opened": {
        const { token, ...rest } = outcome
        if (outcome.fresh) {
          assert.isFalse(this.tokens.has(token), "a token is never used again")
          this.tokens.add(token)
        }
        assert.strictEqual(streamToken.parse(token)?.id, id)
        return rest
      }
      case "StandsInChunk": {
        const value = callRead.exitInChunk(this.chunkText(outcome.chunk), outcome.index)
        return { _tag: "Stands", fresh: false, value: value as string }
      }
      default: {
        return outcome as Model.ModelOutcome
      }
    }
  }

  spill(list: Spill["list"], count: number): void {
    const head = list === "events" ? streamHead(this.state) : executionHead(this.state)
    const old = list === "signals" ? executionHead(this.state)?.oldSignals : this.state[oldField[list]]
    if (head !== undefined && this.state[list].length >= count) {
      const spill = { list, nonce: head.nonce, after: oldCount(old ?? ""), count }
      const chunk = `chunk ${this.chunks.size}`
      this.chunks.set(chunk, callRead.spilled(this.state, spill)!)
      const write: Spill = { _tag: "Spill", ...spill, chunk }
      const request = { writes: [write], now: this.requests, boot: undefined }
      assert.deepStrictEqual(this.apply(request), [{ _tag: "Made", fresh: true }])
      const after = this.state
      assert.deepStrictEqual(this.apply(request), [{ _tag: "Made", fresh: false }])
      assert.strictEqual(this.state, after)
    }
  }

  /** What was sent is sent again. */
  repeat(): void {
    if (this.last !== undefined) {
      const before = this.state
      const { facts } = this
      this.send(this.last.writes as ReadonlyArray<CallWrite & Write>)
      if (facts) {
        assert.strictEqual(this.state, before)
      }
    }
  }

  erase(): void {
    const fresh = callRead.idOf(this.state) !== undefined
    const outcomes = this.apply({ writes: [{ _tag: "Erase" }], now: this.requests, boot: undefined })
    assert.deepStrictEqual(outcomes, [{ _tag: "Made", fresh }])
    this.model = Model.empty
    this.listed = []
    this.last = undefined
    this.hasTask = false
  }

  endTask(): void {
    if (!this.isRunnable) {
      this.listed = callRead.directoryEntries(this.state).map((entry) => JSON.stringify(entry))
      this.hasTask = false
    }
  }

  check(): void {
    const { chunkText, model, state } = this
    const stream = callRead.stream(state)
    if (stream === undefined) {
      assert.isUndefined(Model.stream(model, id))
    } else {
      const { token, ...rest } = stream
      assert.isTrue(this.tokens.has(token))
      assert.deepStrictEqual(rest, Model.stream(model, id))
    }
    assert.deepStrictEqual(callRead.execution(state, chunkText), withDropped(Model.execution(model, id)))
    assert.deepStrictEqual(callRead.summary(state), Model.list(model, {})[0])
    assert.deepStrictEqual(
      callRead.armedTimers(state).map((timer) => ({ ...timer, id })),
      Model.armedTimers(model).map(({ at, exit, name }) => ({ name, at, exit, id }))
    )
    for (const [after, limit] of [[0, 100], [0, 1], [1, 2], [2, 3], [3, 100], [100, 1], [0, 0]] as const) {
      const needed = new Set(callRead.eventChunks(state, after, limit))
      const page = callRead.events(state, after, limit, (chunk) => {
        assert.isTrue(needed.has(chunk))
        this.seen.add(stream!.lastSeq > 3 && after > 0 ? "events from a chunk's middle" : "events from a chunk")
        return chunkText(chunk)
      })
      assert.deepStrictEqual(page, Model.events(model, id, after, limit), `events ${after} ${limit}`)
    }
    if (callRead.standing(state)?.state === "running") {
      assert.strictEqual(callRead.boot(state), this.boot)
    }
  }
}

/** A run parks again, only the last recovery is known, and there may be more to trim. */
const again: ReadonlySet<Write["_tag"]> = new Set(["Park", "Resume", "BeginRecovery", "Trim"] as const)

const oldField = { steps: "oldSteps", events: "oldEvents" } as const

/** What only a run needs is not kept with the result. */
const withDropped = (record: ExecutionRecord | undefined): ExecutionRecord | undefined =>
  record?.result === undefined ? record : { ...record, payload: "", steps: [], signals: [] }

const run = (program: ReadonlyArray<Command>, seen: Set<string>): void => {
  const call = new Call(seen)
  for (const command of program) {
    switch (command._tag) {
      case "Writes": {
        call.send(command.writes)
        break
      }
      case "Spill": {
        call.spill(command.list, command.count)
        break
      }
      case "Repeat": {
        call.repeat()
        break
      }
      case "Erase": {
        call.erase()
        break
      }
      case "TaskEnds": {
        call.endTask()
        break
      }
    }
    call.check()
  }
}

/** What random programs have to come by beside what the suite of every store looks for. */
const toSee: ReadonlyArray<string> = [
  "RecordStep: StandsInChunk",
  "Signal: StandsInChunk",
  "Spill: Made true",
  "Spill: Made false",
  "Erase: Made true",
  "Erase: Made false",
  "Append: Appended false",
  "Append: Closed",
  "Trim: Made true",
  "ArmTimer: Armed false",
  "Park: Parked true",
  "Park: Parked false",
  "Complete: Completed",
  "Forget: Made true",
  "events from a chunk",
  "events from a chunk's middle"
]

const appends = (from: number, to: number, data = "1"): ReadonlyArray<CallWrite & Write> =>
  Array.from({ length: to - from }, (_, i) => ({ _tag: "Append", stream: id, key: `k${from + i}`, data }))

const step = (name: string, exit = "1"): CallWrite & Write => ({
  _tag: "RecordStep",
  id,
  name,
  key: name,
  kind: "step",
  root: true,
  version: "1",
  exit
})

const complete: CallWrite & Write = { _tag: "Complete", id, result: "1" }
const last: CallWrite & Write = { _tag: "Append", stream: id, key: "end", data: "1", last: true }

describe("callState", () => {
  const runs = 4_000
  const seen = new Set<string>()

  it.prop(
    `${runs} random programs do what the model says`,
    { begins: Schema.Boolean, program: commands },
    ({ begins, program }) => run(begins ? [begin, ...program] : program, seen),
    { timeout: 120_000, arbitrary: { runs, size: 30 } }
  )

  it("the programs came by every outcome that chunks and tasks make", () => {
    assert.deepStrictEqual(toSee.filter((name) => !seen.has(name)), [])
  })

  it("a state says what should go into chunks, and stays small when that is done", () => {
    const call = new Call()
    let largest = 0
    const send = (writes: ReadonlyArray<CallWrite & Write>) => {
      call.send(writes)
      for (let asked = 0;; asked++) {
        const { response } = machine.apply(call.state, { writes: [], now: 0, boot: undefined })
        if (response.spill === undefined) {
          break
        }
        assert.isBelow(asked, 10, "it is never satisfied")
        call.spill(response.spill.list, response.spill.count)
      }
      largest = Math.max(largest, JSON.stringify(call.state).length)
    }
    send(begin.writes)
    const long = JSON.stringify("x".repeat(20_000))
    for (let i = 0; i < 300; i++) {
      send([
        step(`step ${i}`, i % 10 === 0 ? long : "1"),
        { _tag: "Signal", id, name: `signal ${i}`, exit: i % 7 === 0 ? long : "1" },
        ...appends(i * 3, i * 3 + 3, i % 20 === 0 ? long : "1")
      ])
    }
    assert.isBelow(largest, 1_000_000)
    assert.isAbove(call.chunks.size, 20)
    for (const text of call.chunks.values()) {
      assert.isAtMost(text.length, 300_000)
    }
    call.check()
    const record = callRead.execution(call.state, call.chunkText)!
    assert.strictEqual(record.steps.length, 300)
    assert.strictEqual(record.signals[77]!.exit, long)
    assert.strictEqual(callRead.events(call.state, 0, 10_000, call.chunkText).events.length, 900)
    assert.deepStrictEqual(
      callRead.eventChunks(call.state, 895, 10),
      [],
      "a follower needs nothing but the state"
    )
    send([{ _tag: "Trim", stream: id, beforeSeq: 500 }])
    call.check()
    send([last, complete])
    call.check()
    send([{ _tag: "Forget", id }])
    call.check()
    assert.isBelow(JSON.stringify(call.state).length, 1_000)
  })

  it("a chunk of a call that has never been is not one of the call that comes after it", () => {
    const call = new Call()
    call.send([...begin.writes, ...appends(0, 5)])
    const { nonce } = streamHead(call.state)!
    const late: Spill = { _tag: "Spill", list: "events", nonce, after: 0, count: 5, chunk: "old" }
    call.erase()
    call.send([...begin.writes, ...appends(10, 15)])
    assert.deepStrictEqual(call.apply({ writes: [late], now: 0, boot: undefined }), [{ _tag: "Made", fresh: false }])
    call.check()
  })

  it("an execution can be erased and leave the stream of its id", () => {
    const call = new Call()
    call.send([...begin.writes, ...appends(0, 5), complete])
    const stream = callRead.stream(call.state)
    call.apply({ writes: [{ _tag: "Erase", keepStream: true }], now: 0, boot: undefined })
    assert.deepStrictEqual(callRead.stream(call.state), stream)
    assert.isUndefined(callRead.standing(call.state))
    const { events } = callRead.events(call.state, 0, 10, call.chunkText)
    assert.deepStrictEqual(events.map(({ key }) => key), ["k0", "k1", "k2", "k3", "k4"])
  })

  it("a task is due when a call must run, and once for what listings have to learn", () => {
    const [open, start] = begin.writes as [CallWrite, CallWrite]
    const due = (...requests: ReadonlyArray<ReadonlyArray<CallWrite>>) => {
      let state = machine.empty
      return requests.map((writes) => {
        const applied = machine.apply(state, { writes, now: 0, boot: undefined })
        state = applied.state
        return applied.task
      })
    }
    const park = (state: "waiting" | "stopped" | "stuck"): CallWrite => ({
      _tag: "Park",
      id,
      seenSignals: 0,
      seenCancel: false,
      state
    })
    const signal: CallWrite = { _tag: "Signal", id, name: "s", exit: "1" }
    const resume: CallWrite = { _tag: "Resume", id }
    const cancel: CallWrite = { _tag: "RequestCancel", id, mode: "safe" }
    assert.deepStrictEqual(due([open, start, last, complete], [open, start, last, complete]), [true, false])
    assert.deepStrictEqual(due([open, start], [step("a")], [last, complete]), [true, false, false])
    assert.deepStrictEqual(due([open, start], [park("waiting")], [signal], [signal]), [true, false, true, false])
    assert.deepStrictEqual(due([start], [park("stopped")], [resume]), [true, false, false])
    assert.deepStrictEqual(due([start], [park("stuck")], [signal], [resume]), [true, false, false, true])
    assert.deepStrictEqual(due([start], [park("stuck")], [cancel]), [true, false, true])
    assert.deepStrictEqual(due([start], [park("waiting")], [complete]), [true, false, true])
    assert.deepStrictEqual(due([open], [...appends(0, 3)], [last]), [true, false, true], "a stream alone")
    assert.deepStrictEqual(due([open, start, complete], [last]), [true, true], "an event after the result")
  })
})
