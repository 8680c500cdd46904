/**
 * `Calls` over the runs of this process.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as JsonRpc from "../../session/JsonRpc.ts"
import type { ExecutionRecord } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { type Accepted, type Call, CallRejected, type Calls } from "../Calls.ts"
import type { Dispatch } from "../Dispatch.ts"
import * as ToolCall from "../ToolCall.ts"
import type { Wire } from "../Wire.ts"
import * as Asked from "./asked.ts"
import type { Opening } from "./Journal.ts"
import type { Runs } from "./Runs.ts"

const rejected = (reason: CallRejected["reason"], message: string): CallRejected =>
  new CallRejected({ reason, message })

const conflict = rejected("Conflict", "This request id was used for another request")
const forgotten = rejected("Forgotten", "This request id was used, and its result has expired")
const stopping = rejected("Stopping", "The server is shutting down")

/** @internal */
export const make = (options: {
  readonly runs: Runs
  readonly dispatch: Dispatch["Service"]
  readonly wire: Wire["Service"]
}): Calls["Service"] => {
  const { dispatch, runs, wire } = options
  const { store } = runs.env

  const begin = (call: Call): Effect.Effect<Accepted, CallRejected | StoreError> =>
    Effect.gen(function*() {
      const { id, request } = call
      if (runs.get(id) !== undefined) {
        return yield* start(call)
      }
      // From the question above to the launch nothing yields: one run of an id.
      const startedAt = runs.env.clock.currentTimeMillisUnsafe()
      const run = runs.launch({
        id,
        startedAt,
        program: ToolCall.program(dispatch, request),
        peer: { request, wire },
        opening: openingOf(call, startedAt)
      })
      if (!run.journal.isBegun) {
        // The handler gets one turn to finish, or to do something durable.
        yield* Effect.yieldNow
        if (!run.journal.isBegun) {
          runs.env.fork(run.journal.open)
        }
      }
      return { stream: id, token: yield* Deferred.await(run.journal.accepted), joined: false }
    })

  /** Puts the call on disk for another process to run; the first write wins, so that tells what there is to know. */
  const relay = (call: Call): Effect.Effect<Accepted, CallRejected | StoreError> =>
    Effect.gen(function*() {
      if (runs.isStopping) {
        return yield* stopping
      }
      const opening = openingOf(call, runs.env.clock.currentTimeMillisUnsafe())
      const [opened] = yield* store.commit([opening.stream, opening.execution()])
      if (opened?._tag !== "Opened") {
        return yield* Effect.die(new Error("OpenStream must have the outcome Opened"))
      }
      if (opened.requestDigest !== call.digest) {
        return yield* conflict
      }
      if (opened.forgotten) {
        return yield* forgotten
      }
      return { stream: call.id, token: opened.token, joined: !opened.fresh }
    })

  const start = (call: Call): Effect.Effect<Accepted, CallRejected | StoreError> =>
    Effect.gen(function*() {
      const { digest, id } = call
      const begun = runs.get(id)?.journal.requestDigest
      const known = begun === undefined ? Option.getOrUndefined(yield* store.stream({ id })) : undefined
      const live = runs.get(id)
      if ((known?.requestDigest ?? live?.journal.requestDigest ?? digest) !== digest) {
        return yield* conflict
      }
      if (known?.forgotten === true) {
        return yield* forgotten
      }
      if (known !== undefined && (known.closed || live !== undefined)) {
        return { stream: id, token: known.token, joined: true }
      }
      if (live !== undefined) {
        return { stream: id, token: yield* Deferred.await(live.journal.accepted), joined: true }
      }
      // A stream alone is what is left of a call that was cut off before its execution was on disk.
      if (known !== undefined && Option.isSome(yield* store.execution(id))) {
        return { stream: id, token: known.token, joined: true }
      }
      if (runs.isStopping) {
        return yield* stopping
      }
      return yield* begin(call)
    })

  const cancel = (id: string): Effect.Effect<void, StoreError> =>
    Effect.gen(function*() {
      const run = runs.get(id)
      if (run !== undefined && !run.journal.isBegun) {
        yield* run.journal.open
      }
      const [outcome] = yield* store.commit([{ _tag: "RequestCancel", id, mode: "now" }])
      if (outcome?._tag === "Made") {
        runs.get(id)?.cancel("now")
      }
    })

  /** The question with this wire id, if it was put to somebody. */
  const questionOf = (wireId: string) =>
    Effect.gen(function*() {
      const parsed = Asked.parseWireId(wireId)
      const record = parsed === undefined ? undefined : Option.getOrUndefined(yield* store.execution(parsed.execution))
      const step = record?.steps.find(({ key, kind }) => kind === Asked.kind && key === parsed!.key)
      if (
        record === undefined || step === undefined || record.payload === "" ||
        record.workflow !== ToolCall.workflow._tag
      ) {
        return undefined
      }
      const asked = Asked.parseAsked(step.exit)
      return asked.text === undefined ? undefined : { record, path: step.name, asked, request: requestOf(record) }
    })

  /**
   * Whether the question is one of a call of this peer's that is over, and the
   * store has dropped what it had asked: an answer comes too late in any case.
   */
  const isOver = (asked: {
    readonly wireId: string
    readonly session: string | undefined
    readonly principal: string
  }): Effect.Effect<boolean, StoreError> =>
    Effect.gen(function*() {
      const id = Asked.parseWireId(asked.wireId)?.execution
      const record = id === undefined ? undefined : Option.getOrUndefined(yield* store.execution(id))
      if (record?.result === undefined || record.payload !== "") {
        return false
      }
      const stream = Option.getOrUndefined(yield* store.stream({ id: record.id }))
      return stream?.session === asked.session && stream?.principal === asked.principal
    })

  const signal = (id: string, name: string, exit: string): Effect.Effect<void, StoreError> =>
    Effect.map(store.commit([{ _tag: "Signal", id, name, exit }]), ([outcome]) => {
      if (outcome?._tag === "Stands") {
        // Sooner than the store's wake-up.
        runs.get(id)?.waits.add(name, outcome.value)
      }
    })

  const answer = (options: {
    readonly wireId: string
    readonly session: string | undefined
    readonly principal: string
    readonly answer: JsonRpc.Answer
  }): Effect.Effect<"Accepted" | "Unknown", StoreError> =>
    Effect.gen(function*() {
      const question = yield* questionOf(options.wireId)
      if (question === undefined && (yield* isOver(options))) {
        return "Accepted"
      }
      const profile = question?.request.profile
      if (question === undefined || profile?.session !== options.session || profile?.principal !== options.principal) {
        return "Unknown"
      }
      const exit = Asked.encodeAnswered({ _tag: "Answer", answer: options.answer })
      yield* signal(question.record.id, Asked.answerSignal(question.path), exit)
      return "Accepted"
    })

  const completeElicitation = (elicitationId: string): Effect.Effect<void, StoreError> =>
    Effect.gen(function*() {
      const question = yield* questionOf(elicitationId)
      if (
        question === undefined || question.asked.question._tag !== "ElicitUrl" || question.record.result !== undefined
      ) {
        return
      }
      const { path, record: { id }, request } = question
      const exit = Asked.encodeAnswered({ _tag: "Completed" })
      const data = yield* wire.notification(request.version, { _tag: "ElicitationComplete", elicitationId })
      if (data !== undefined) {
        yield* store.submit([{ _tag: "Append", stream: id, key: Asked.completionSignal(path), data }])
      }
      // First the one that is waited for last: between the two, consent may arrive.
      yield* signal(id, Asked.completionSignal(path), exit)
      yield* signal(id, Asked.answerSignal(path), exit)
    })

  return {
    start: (call) => Effect.uninterruptible(store.role === "front" ? relay(call) : start(call)),
    cancel,
    answer,
    completeElicitation,
    inFlight: (session) => runs.inFlight(session)
  }
}

/** What puts a call on disk. */
const openingOf = ({ digest, id, request }: Call, startedAt: number): Opening => ({
  stream: {
    _tag: "OpenStream",
    stream: id,
    session: request.profile.session,
    principal: request.profile.principal,
    requestDigest: digest,
    version: request.version,
    execution: id
  },
  execution: () => ({
    _tag: "StartExecution",
    id,
    workflow: ToolCall.workflow._tag,
    payload: ToolCall.encodePayload({ startedAt, request })
  })
})

const requestOf = (record: ExecutionRecord) => ToolCall.decodePayload(record.payload).request
