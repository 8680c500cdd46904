/**
 * What writes do to an execution and to the stream of its id: the rules of the
 * contract, for every backend that holds them as objects.
 *
 * @internal
 */
import type {
  Append,
  ArmTimer,
  BeginRecovery,
  Complete,
  ExecutionSummary,
  Outcome,
  Park,
  RecordStep,
  RequestCancel,
  Resume,
  Signal,
  SignalRecord,
  StepRecord,
  Trim
} from "../Store.ts"

/**
 * `W` with the values of these fields as the backend holds them.
 *
 * @internal
 */
export type WithValue<W, Field extends keyof W, V> =
  & Omit<W, Field>
  & { readonly [F in keyof Pick<W, Field>]: V | Extract<W[F], undefined> }

/** What a `Map` is, for backends that have none. */
export interface Entries<A, B extends A = A> {
  readonly size: number
  readonly has: (key: string) => boolean
  readonly get: (key: string) => A | undefined
  /** A new key comes behind all others; one that is there keeps its place. */
  readonly set: (key: string, entry: B) => unknown
  readonly clear: () => void
}

/** @internal */
export type Step<V> = WithValue<StepRecord, "exit", V>

/** @internal */
export type Received<V> = WithValue<SignalRecord, "exit", V>

/** @internal */
export interface Timer<V> {
  readonly at: number
  readonly exit: V
  readonly armed: boolean
}

/** @internal */
export interface Execution<V> {
  readonly steps: Entries<{ readonly exit: V }, Step<V>>
  readonly signals: Entries<{ readonly exit: V }, Received<V>>
  readonly timers: Entries<Timer<V>>
  cancel: "safe" | "now" | undefined
  parked: { readonly state: Park["state"]; readonly reason: string | undefined } | undefined
  recoveries: number
  /** Of the last `BeginRecovery`. */
  boot: string | undefined
  result: V | undefined
  completedAt: number | undefined
  /** A tombstone: only its id and its parent mean anything. */
  readonly forgotten: boolean
  /** Payload, steps, signals and what the result says go. */
  readonly forget: () => void
}

/** @internal */
export interface EventStream<V> {
  readonly token: string
  readonly requestDigest: string
  closedAt: number | undefined
  readonly forgotten: boolean
  readonly lastSeq: number
  /** Also of an event that was trimmed; of none when the stream is forgotten. */
  readonly seqOf: (key: string) => number | undefined
  /** Returns the event's seq. */
  readonly append: (key: string, data: V | undefined) => number
  /** Whether an event went. */
  readonly trim: (beforeSeq: number) => boolean
  /** All events and their keys go; `closedAt` is set already. */
  readonly forget: () => void
}

/** @internal */
export type OutcomeOf<V> = Exclude<Outcome, { readonly _tag: "Stands" }> | Stands<V>

interface Stands<V> {
  readonly _tag: "Stands"
  readonly fresh: boolean
  readonly value: V
}

/** Writes to an execution that has no result. */
export type RunWrite<V> =
  | BeginRecovery
  | WithValue<RecordStep, "exit", V>
  | WithValue<Signal, "exit", V>
  | WithValue<ArmTimer, "exit", V>
  | RequestCancel
  | Park
  | Resume

/** @internal */
export const missing: Extract<Outcome, { readonly _tag: "Missing" }> = { _tag: "Missing" }

/** @internal */
export const made = (fresh: boolean): Extract<Outcome, { readonly _tag: "Made" }> => ({ _tag: "Made", fresh })

const completed: Outcome & { readonly _tag: "Completed" } = { _tag: "Completed" }
const closed: Outcome & { readonly _tag: "Closed" } = { _tag: "Closed" }

/** @internal */
export const stands = <V>(fresh: boolean, value: V): Stands<V> => ({ _tag: "Stands", fresh, value })

/** @internal */
export const stateOf = <V>(execution: Execution<V>): ExecutionSummary["state"] =>
  execution.result !== undefined ? "completed" : execution.parked === undefined ? "running" : execution.parked.state

// -----------------------------------------------------------------------------
// streams
// -----------------------------------------------------------------------------

/** @internal */
export const opened = <V>(stream: EventStream<V>, fresh: boolean): Extract<Outcome, { readonly _tag: "Opened" }> => ({
  _tag: "Opened",
  fresh,
  token: stream.token,
  requestDigest: stream.requestDigest,
  closed: stream.closedAt !== undefined,
  forgotten: stream.forgotten
})

/** @internal */
export const append = <V>(
  stream: EventStream<V> | undefined,
  write: WithValue<Append, "data", V>,
  now: number
): OutcomeOf<V> => {
  if (stream === undefined) {
    return missing
  }
  const seq = stream.seqOf(write.key)
  if (seq !== undefined) {
    return { _tag: "Appended", fresh: false, seq }
  }
  if (stream.closedAt !== undefined) {
    return closed
  }
  if (write.last === true) {
    stream.closedAt = now
  }
  return { _tag: "Appended", fresh: true, seq: stream.append(write.key, write.data) }
}

/** @internal */
export const trim = <V>(stream: EventStream<V> | undefined, write: Trim): OutcomeOf<V> =>
  stream === undefined ? missing : made(stream.trim(write.beforeSeq))

// -----------------------------------------------------------------------------
// executions
// -----------------------------------------------------------------------------

/** @internal */
export const signal = <V>(execution: Execution<V>, name: string, exit: V, now: number): OutcomeOf<V> => {
  const timer = execution.timers.get(name)
  if (timer?.armed === true) {
    execution.timers.set(name, { ...timer, armed: false })
  }
  const before = execution.signals.get(name)
  if (before !== undefined) {
    return stands(false, before.exit)
  }
  execution.signals.set(name, { name, exit, recordedAt: now })
  if (execution.parked?.state === "waiting") {
    execution.parked = undefined
  }
  return stands(true, exit)
}

/** @internal */
export const run = <V>(execution: Execution<V> | undefined, write: RunWrite<V>, now: number): OutcomeOf<V> => {
  if (execution === undefined) {
    return missing
  }
  if (execution.result !== undefined) {
    return completed
  }
  switch (write._tag) {
    case "BeginRecovery": {
      const fresh = execution.boot !== write.boot
      if (fresh) {
        execution.boot = write.boot
        execution.recoveries++
      }
      return { _tag: "Recovering", fresh, recoveries: execution.recoveries }
    }
    case "RecordStep": {
      const before = execution.steps.get(write.name)
      if (before !== undefined) {
        return stands(false, before.exit)
      }
      const { exit, key, kind, name, root, version } = write
      execution.steps.set(name, { name, key, kind, root, version, exit, recordedAt: now })
      execution.recoveries = 0
      return stands(true, exit)
    }
    case "Signal": {
      return signal(execution, write.name, write.exit, now)
    }
    case "ArmTimer": {
      const before = execution.timers.get(write.name)
      if (before !== undefined || execution.signals.has(write.name)) {
        return { _tag: "Armed", fresh: false, at: before?.at ?? write.at }
      }
      execution.timers.set(write.name, { at: write.at, exit: write.exit, armed: true })
      return { _tag: "Armed", fresh: true, at: write.at }
    }
    case "RequestCancel": {
      if (execution.cancel !== undefined) {
        return made(false)
      }
      execution.cancel = write.mode
      if (execution.parked?.state !== "stopped") {
        execution.parked = undefined
      }
      return made(true)
    }
    case "Park": {
      const unseenCancel = execution.cancel !== undefined && !write.seenCancel
      const unseenSignals = execution.signals.size > write.seenSignals
      const news = write.state === "stopped"
        ? false
        : write.state === "stuck"
        ? unseenCancel
        : unseenCancel || unseenSignals
      execution.parked = news ? undefined : { state: write.state, reason: write.reason }
      if (!news) {
        execution.recoveries = 0
      }
      return { _tag: "Parked", parked: !news }
    }
    case "Resume": {
      const fresh = execution.parked !== undefined
      if (fresh) {
        execution.parked = undefined
        execution.recoveries = 0
      }
      return made(fresh)
    }
  }
}

/**
 * A parent is not told here: it may be another backend object, or state.
 *
 * @internal
 */
export const complete = <V>(
  execution: Execution<V> | undefined,
  write: WithValue<Complete, "result", V>,
  now: number
): OutcomeOf<V> => {
  if (execution === undefined) {
    return missing
  }
  if (execution.forgotten) {
    return completed
  }
  if (execution.result !== undefined) {
    return stands(false, execution.result)
  }
  execution.result = write.result
  execution.completedAt = now
  execution.parked = undefined
  execution.timers.clear()
  return stands(true, write.result)
}

/** @internal */
export const forget = <V>(
  execution: Execution<V> | undefined,
  stream: EventStream<V> | undefined,
  now: number
): OutcomeOf<V> => {
  const of = execution ?? stream
  if (of === undefined) {
    return missing
  }
  const finished = execution === undefined ? stream!.closedAt !== undefined : execution.result !== undefined
  if (!finished || of.forgotten) {
    return made(false)
  }
  execution?.forget()
  if (stream !== undefined) {
    stream.closedAt ??= now
    stream.forget()
  }
  return made(true)
}
