/**
 * What a call's state says, in the shapes of the contract. Values may be
 * `InChunks`; old entries are read from the texts of their chunks.
 *
 * @internal
 */
import type * as facts from "../../store/internal/callFacts.ts"
import type * as Store from "../../store/Store.ts"
import type { CallState, Spill } from "./callState.ts"
import {
  body,
  type EventText,
  type ExecutionHead,
  executionHead,
  type InChunk,
  lastSeq,
  oldCount,
  type SignalText,
  type StepText,
  type StreamHead,
  streamHead,
  type TimerText,
  token
} from "./callTexts.ts"
import type { DirectoryEntry } from "./directoryState.ts"
import type { Value } from "./value.ts"

/**
 * The text of a chunk that a function said to read.
 *
 * @internal
 */
export type ChunkText = (chunk: string) => string

/**
 * The id of the call, which the id of its state may not tell; undefined when
 * there is nothing.
 *
 * @internal
 */
export const idOf = (state: CallState): string | undefined => executionHead(state)?.id ?? streamHead(state)?.stream

// -----------------------------------------------------------------------------
// the execution
// -----------------------------------------------------------------------------

const standingOf = ({ completedAt, parked }: ExecutionHead): Store.ExecutionSummary["state"] =>
  completedAt !== undefined ? "completed" : parked?.state ?? "running"

/** Undefined also for a tombstone. */
const liveHead = (state: CallState): ExecutionHead | undefined => {
  const head = executionHead(state)
  return head?.forgotten === true ? undefined : head
}

/**
 * Where the execution stands; undefined without one, or when it is forgotten.
 *
 * @internal
 */
export const standing = (
  state: CallState
): { readonly state: Store.ExecutionSummary["state"]; readonly parent: string | undefined } | undefined => {
  const head = liveHead(state)
  return head && { state: standingOf(head), parent: head.parent }
}

/**
 * The opening of the store that made the execution run last. Another one that
 * finds it running knows that it was cut off.
 *
 * @internal
 */
export const boot = (state: CallState): string | undefined => executionHead(state)?.boot

/**
 * The parent also of a tombstone: who belongs to whom stays known.
 *
 * @internal
 */
export const parent = (state: CallState): string | undefined => executionHead(state)?.parent

/**
 * An execution with its values as the state holds them.
 *
 * @internal
 */
export interface ExecutionParts extends Omit<Store.ExecutionRecord, "payload" | "steps" | "signals" | "result"> {
  /** "" when it is completed: no run needs it any more. */
  readonly payload: Value
  readonly steps: ReadonlyArray<facts.Step<Value>>
  readonly signals: ReadonlyArray<facts.Received<Value>>
  readonly result: Value | undefined
}

/**
 * Chunks that `execution` reads.
 *
 * @internal
 */
export const executionChunks = (state: CallState): ReadonlyArray<string> => {
  const head = liveHead(state)
  return head === undefined ? [] : [...head.stepChunks, ...head.signalChunks].map(({ chunk }) => chunk)
}

const listOf = <A>(chunks: ReadonlyArray<InChunk>, texts: ReadonlyArray<string>, chunkText: ChunkText): Array<A> => [
  ...chunks.flatMap(({ chunk }): ReadonlyArray<A> => JSON.parse(chunkText(chunk))),
  ...texts.map((text): A => JSON.parse(text))
]

/**
 * Undefined also for a tombstone.
 *
 * @internal
 */
export const execution = (state: CallState, chunkText: ChunkText): ExecutionParts | undefined => {
  const head = liveHead(state)
  if (head === undefined) {
    return undefined
  }
  const value = body(state)
  const completed = head.completedAt !== undefined
  return {
    id: head.id,
    workflow: head.workflow,
    payload: completed ? "" : value,
    parent: head.parent,
    createdAt: head.createdAt,
    steps: listOf<StepText>(head.stepChunks, state.steps, chunkText).map(
      ([name, exit, recordedAt, key, kind, root, version]) => ({
        name,
        key,
        kind,
        root: root === 1,
        version,
        exit,
        recordedAt
      })
    ),
    signals: listOf<SignalText>(head.signalChunks, state.signals, chunkText).map(([name, exit, recordedAt]) => ({
      name,
      exit,
      recordedAt
    })),
    timers: new Map(armedTimers(state).map(({ at, name }) => [name, at])),
    cancel: head.cancel,
    parked: head.parked && { state: head.parked.state, reason: head.parked.reason },
    recoveries: head.recoveries,
    result: completed ? value : undefined,
    completedAt: head.completedAt
  }
}

/**
 * Timers that have not fired, for the wheel.
 *
 * @internal
 */
export const armedTimers = (
  state: CallState
): ReadonlyArray<{ readonly name: string; readonly at: number; readonly exit: Value }> =>
  state.timers.flatMap((text) => {
    const [name, at, exit] = JSON.parse(text) as TimerText
    return exit === undefined ? [] : [{ name, at, exit }]
  })

/**
 * Undefined also for a tombstone.
 *
 * @internal
 */
export const summary = (state: CallState): Store.ExecutionSummary | undefined => {
  const head = liveHead(state)
  return head && {
    id: head.id,
    workflow: head.workflow,
    createdAt: head.createdAt,
    completedAt: head.completedAt,
    state: standingOf(head),
    cancel: head.cancel,
    reason: head.parked?.reason,
    recoveries: head.recoveries,
    session: streamHead(state)?.session
  }
}

/**
 * The result and who waits for it; undefined before there is one.
 *
 * @internal
 */
export const completed = (
  state: CallState
): { readonly parent: string | undefined; readonly result: Value } | undefined => {
  const head = liveHead(state)
  return head?.completedAt === undefined ? undefined : { parent: head.parent, result: body(state) }
}

/**
 * The exit of an old step or signal (`StandsInChunk`), from the text of its chunk.
 *
 * @internal
 */
export const exitInChunk = (text: string, index: number): Value =>
  (JSON.parse(text) as ReadonlyArray<StepText | SignalText>)[index]![1]

// -----------------------------------------------------------------------------
// the stream
// -----------------------------------------------------------------------------

/**
 * @internal
 */
export const stream = (state: CallState): Store.StreamRecord | undefined => {
  const head = streamHead(state)
  return head && {
    stream: head.stream,
    token: token(head),
    session: head.session,
    principal: head.principal,
    requestDigest: head.requestDigest,
    version: head.version,
    execution: head.execution,
    createdAt: head.createdAt,
    lastSeq: lastSeq(state, head),
    closed: head.closedAt !== undefined,
    forgotten: head.forgotten === true
  }
}

/**
 * When the stream got its last event, or was forgotten without one.
 *
 * @internal
 */
export const closedAt = (state: CallState): number | undefined => streamHead(state)?.closedAt

/**
 * Events with their data as the state holds it.
 *
 * @internal
 */
export interface EventParts extends Omit<Store.EventPage, "events"> {
  readonly events: ReadonlyArray<facts.WithValue<Store.EventRecord, "data", Value>>
}

/** From `first` to before `end`: what a page of these arguments holds. */
const rangeOf = (state: CallState, head: StreamHead, afterSeq: number, limit: number) => {
  const first = Math.max(afterSeq, head.trimmed, 0) + 1
  return { first, end: Math.min(lastSeq(state, head) + 1, first + limit) }
}

const chunksIn = (head: StreamHead, first: number, end: number): StreamHead["chunks"] =>
  head.chunks.filter(({ count, firstSeq }) => firstSeq < end && firstSeq + count > first)

/**
 * Chunks that `events` of the same arguments reads.
 *
 * @internal
 */
export const eventChunks = (state: CallState, afterSeq: number, limit: number): ReadonlyArray<string> => {
  const head = streamHead(state)
  if (head === undefined) {
    return []
  }
  const { end, first } = rangeOf(state, head, afterSeq, limit)
  return chunksIn(head, first, end).map(({ chunk }) => chunk)
}

/**
 * As `Store.events`.
 *
 * @internal
 */
export const events = (state: CallState, afterSeq: number, limit: number, chunkText: ChunkText): EventParts => {
  const head = streamHead(state)
  if (head === undefined) {
    return { events: [], trimmed: false, closed: false }
  }
  const { end, first } = rangeOf(state, head, afterSeq, limit)
  const events: Array<EventParts["events"][number]> = []
  const add = (seq: number, [key, data]: EventText): void => {
    if (seq >= first && seq < end) {
      events.push({ seq, key, data })
    }
  }
  for (const { chunk, firstSeq } of chunksIn(head, first, end)) {
    const entries = JSON.parse(chunkText(chunk)) as ReadonlyArray<EventText>
    entries.forEach((entry, i) => add(firstSeq + i, entry))
  }
  const firstHere = oldCount(state.oldEvents) + 1
  for (let seq = Math.max(first, firstHere); seq < end; seq++) {
    add(seq, JSON.parse(state.events[seq - firstHere]!))
  }
  return {
    events,
    trimmed: afterSeq < head.trimmed,
    closed: head.closedAt !== undefined && end > lastSeq(state, head)
  }
}

// -----------------------------------------------------------------------------
// chunks and the directory
// -----------------------------------------------------------------------------

/**
 * The text of the chunk that this spill needs; undefined where the state has
 * gone on without it.
 *
 * @internal
 */
export const spilled = (
  state: CallState,
  { after, count, list, nonce }: Omit<Spill, "_tag" | "chunk">
): string | undefined => {
  const execution = executionHead(state)
  const [owner, old] = list === "events"
    ? [streamHead(state), state.oldEvents]
    : [execution, list === "steps" ? state.oldSteps : execution?.oldSignals ?? ""]
  return owner?.nonce === nonce && oldCount(old) === after && state[list].length >= count
    ? `[${state[list].slice(0, count).join(",")}]`
    : undefined
}

/**
 * What listings have to know of the call: its task ends when these are in the
 * directory. Stream and execution have one entry where they were created at one
 * time, else one each, so that a listing can put either in its place.
 *
 * @internal
 */
export const directoryEntries = (state: CallState): ReadonlyArray<DirectoryEntry> => {
  const execution = executionHead(state)
  const stream = streamHead(state)
  const id = execution?.id ?? stream?.stream
  if (id === undefined) {
    return []
  }
  const none = { stream: false, session: undefined, workflow: undefined, parent: undefined }
  const ofStream = stream && { stream: true, session: stream.session }
  const ofExecution = execution && { workflow: execution.workflow, parent: execution.parent }
  const entries: Array<DirectoryEntry> = []
  if (stream?.createdAt === execution?.createdAt) {
    entries.push({ _tag: "Call", id, createdAt: stream!.createdAt, ...none, ...ofStream, ...ofExecution })
  } else {
    if (stream !== undefined) {
      entries.push({ _tag: "Call", id, createdAt: stream.createdAt, ...none, ...ofStream })
    }
    if (execution !== undefined) {
      entries.push({ _tag: "Call", id, createdAt: execution.createdAt, ...none, ...ofExecution })
    }
  }
  const isClosed = (stream === undefined || stream.closedAt !== undefined) &&
    (execution === undefined || execution.completedAt !== undefined)
  if (isClosed) {
    entries.push({ _tag: "Closed", id, at: Math.max(stream?.closedAt ?? 0, execution?.completedAt ?? 0) })
  }
  if (execution?.forgotten === true || stream?.forgotten === true) {
    entries.push({ _tag: "Forgotten", id })
  }
  return entries
}
