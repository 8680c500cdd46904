/**
 * The execution and the stream of a call's state as objects that the rules of the
 * contract work on, and that know their texts again.
 *
 * @internal
 */
import type * as facts from "../../store/internal/callFacts.ts"
import type * as Store from "../../store/Store.ts"
import type { CallState } from "./callState.ts"
import {
  type EventText,
  type ExecutionHead,
  executionHead,
  type InChunk,
  oldCount,
  type SignalText,
  type StepText,
  type StreamHead,
  streamHead,
  Texts,
  type TimerText,
  token
} from "./callTexts.ts"
import type { Value } from "./value.ts"

/** A value that is in a chunk, in the entry at this place of its list. */
export interface OldEntry {
  readonly chunk: string
  readonly index: number
}

/** @internal */
export type Held = Value | OldEntry

/** @internal */
export const isOldEntry = (held: Held): held is OldEntry => typeof held === "object" && "index" in held

/** A value that is to be stored is never one in a chunk of entries. */
const valueOf = (held: Held): Value => {
  if (isOldEntry(held)) {
    throw new Error("An entry of a chunk cannot be stored again")
  }
  return held
}

/** Where the entry at `place` of a list is, of which the chunks hold the oldest. */
const inChunks = (chunks: ReadonlyArray<InChunk>, place: number): OldEntry => {
  let index = place
  for (const { chunk, count } of chunks) {
    if (index < count) {
      return { chunk, index }
    }
    index -= count
  }
  throw new Error(`Entry ${place} is in no chunk`)
}

/** Entries whose oldest may be in chunks. */
class Entries<A, B extends A> implements facts.Entries<A, B> {
  readonly texts: Texts
  chunks: ReadonlyArray<InChunk>
  private readonly decode: (text: string) => A
  private readonly encode: (key: string, entry: B) => string
  private readonly decodeOld: (at: OldEntry) => A

  constructor(
    texts: Texts,
    chunks: ReadonlyArray<InChunk>,
    codec: {
      readonly decode: (text: string) => A
      readonly encode: (key: string, entry: B) => string
      readonly decodeOld: (at: OldEntry) => A
    }
  ) {
    this.texts = texts
    this.chunks = chunks
    this.decode = codec.decode
    this.encode = codec.encode
    this.decodeOld = codec.decodeOld
  }

  get size(): number {
    return this.texts.size
  }

  has(key: string): boolean {
    return this.texts.placeOf(key) >= 0
  }

  get(key: string): A | undefined {
    const place = this.texts.placeOf(key)
    if (place < 0) {
      return undefined
    }
    const text = this.texts.at(place)
    return text === undefined ? this.decodeOld(inChunks(this.chunks, place)) : this.decode(text)
  }

  set(key: string, entry: B): void {
    const place = this.texts.placeOf(key)
    if (place < 0) {
      this.texts.push(this.encode(key, entry))
    } else {
      this.texts.replace(place, this.encode(key, entry))
    }
  }

  clear(): void {
    this.texts.clear()
    this.chunks = []
  }

  spill(count: number, chunk: string): void {
    this.texts.age(count)
    this.chunks = [...this.chunks, { chunk, count }]
  }
}

const makeSteps = (state: CallState, chunks: ReadonlyArray<InChunk>) =>
  new Entries<{ readonly exit: Held }, facts.Step<Held>>(new Texts(state.steps, state.oldSteps), chunks, {
    decode: (text) => ({ exit: (JSON.parse(text) as StepText)[1] }),
    encode: (name, { exit, key, kind, recordedAt, root, version }) =>
      JSON.stringify([name, valueOf(exit), recordedAt, key, kind, root ? 1 : 0, version] satisfies StepText),
    decodeOld: (exit) => ({ exit })
  })

const makeSignals = (state: CallState, hashes: string, chunks: ReadonlyArray<InChunk>) =>
  new Entries<{ readonly exit: Held }, facts.Received<Held>>(new Texts(state.signals, hashes), chunks, {
    decode: (text) => ({ exit: (JSON.parse(text) as SignalText)[1] }),
    encode: (name, { exit, recordedAt }) => JSON.stringify([name, valueOf(exit), recordedAt] satisfies SignalText),
    decodeOld: (exit) => ({ exit })
  })

/** A timer that is no longer armed keeps its name and its time only. */
const makeTimers = (state: CallState) =>
  new Entries<facts.Timer<Held>, facts.Timer<Held>>(new Texts(state.timers, ""), [], {
    decode: (text) => {
      const [, at, exit] = JSON.parse(text) as TimerText
      return { at, exit: exit ?? "", armed: exit !== undefined }
    },
    encode: (name, { armed, at, exit }) =>
      JSON.stringify((armed ? [name, at, valueOf(exit)] : [name, at]) satisfies TimerText),
    decodeOld: () => {
      throw new Error("Timers are never in chunks")
    }
  })

// -----------------------------------------------------------------------------
// drafts
// -----------------------------------------------------------------------------

/**
 * An execution as the writes of one request change it.
 *
 * @internal
 */
export class ExecutionDraft implements facts.Execution<Held> {
  private readonly head: ExecutionHead
  private body: string
  private value: Value | undefined
  readonly steps: Entries<{ readonly exit: Held }, facts.Step<Held>>
  readonly signals: Entries<{ readonly exit: Held }, facts.Received<Held>>
  readonly timers: Entries<facts.Timer<Held>, facts.Timer<Held>>
  cancel: "safe" | "now" | undefined
  parked: facts.Execution<Held>["parked"]
  recoveries: number
  /** Of the last `BeginRecovery`. */
  boot: string | undefined
  /** The opening of the store that made it run last. */
  opening: string | undefined
  completedAt: number | undefined
  forgotten: boolean

  constructor(head: ExecutionHead, body: string, state: CallState) {
    this.head = head
    this.body = body
    this.steps = makeSteps(state, head.stepChunks)
    this.signals = makeSignals(state, head.oldSignals, head.signalChunks)
    this.timers = makeTimers(state)
    this.cancel = head.cancel
    this.parked = head.parked && { state: head.parked.state, reason: head.parked.reason }
    this.recoveries = head.recoveries
    this.boot = head.recovery
    this.opening = head.boot
    this.completedAt = head.completedAt
    this.forgotten = head.forgotten === true
  }

  static of(state: CallState): ExecutionDraft | undefined {
    const head = executionHead(state)
    return head && new ExecutionDraft(head, state.execution.slice(state.execution.indexOf("\n") + 1), state)
  }

  static start(
    write: facts.WithValue<Store.StartExecution, "payload", Value>,
    state: CallState,
    nonce: number,
    now: number
  ): ExecutionDraft {
    const { id, parent, payload, workflow } = write
    const head: ExecutionHead = {
      id,
      nonce,
      workflow,
      parent,
      createdAt: now,
      recoveries: 0,
      stepChunks: [],
      signalChunks: [],
      oldSignals: ""
    }
    return new ExecutionDraft(head, JSON.stringify(payload), state)
  }

  get nonce(): number {
    return this.head.nonce
  }

  get parent(): string | undefined {
    return this.head.parent
  }

  /** Decoded where it is asked for: it may be long. */
  get result(): Held | undefined {
    return this.completedAt === undefined ? undefined : this.value ??= JSON.parse(this.body) as Value
  }

  /** It takes the place of the payload; no run needs steps, signals or timers any more. */
  set result(result: Held) {
    this.value = valueOf(result)
    this.body = JSON.stringify(this.value)
    this.steps.clear()
    this.signals.clear()
    this.timers.clear()
  }

  forget(): void {
    this.result = ""
    this.forgotten = true
  }

  encode(): string {
    const head: ExecutionHead = {
      id: this.head.id,
      nonce: this.head.nonce,
      workflow: this.head.workflow,
      parent: this.head.parent,
      createdAt: this.head.createdAt,
      cancel: this.cancel,
      parked: this.parked,
      recoveries: this.recoveries,
      recovery: this.boot,
      boot: this.opening,
      completedAt: this.completedAt,
      forgotten: this.forgotten ? true : undefined,
      stepChunks: this.steps.chunks,
      signalChunks: this.signals.chunks,
      oldSignals: this.signals.texts.old
    }
    return `${JSON.stringify(head)}\n${this.body}`
  }
}

/**
 * A stream as the writes of one request change it.
 *
 * @internal
 */
export class StreamDraft implements facts.EventStream<Held> {
  private readonly head: StreamHead
  private readonly list: Texts
  closedAt: number | undefined
  forgotten: boolean
  private trimmed: number
  private chunks: StreamHead["chunks"]

  constructor(head: StreamHead, state: CallState) {
    this.head = head
    this.list = new Texts(state.events, state.oldEvents)
    this.closedAt = head.closedAt
    this.forgotten = head.forgotten === true
    this.trimmed = head.trimmed
    this.chunks = head.chunks
  }

  static of(state: CallState): StreamDraft | undefined {
    const head = streamHead(state)
    return head && new StreamDraft(head, state)
  }

  static open(write: Store.OpenStream, state: CallState, nonce: number, now: number): StreamDraft {
    const { execution, principal, requestDigest, session, stream, version } = write
    const head: StreamHead = {
      stream,
      nonce,
      session,
      principal,
      requestDigest,
      version,
      execution,
      createdAt: now,
      trimmed: 0,
      chunks: []
    }
    return new StreamDraft(head, state)
  }

  get nonce(): number {
    return this.head.nonce
  }

  get token(): string {
    return token(this.head)
  }

  get requestDigest(): string {
    return this.head.requestDigest
  }

  get lastSeq(): number {
    return this.forgotten ? this.trimmed : this.list.size
  }

  get texts(): Texts {
    return this.list
  }

  seqOf(key: string): number | undefined {
    const place = this.list.placeOf(key)
    return place < 0 ? undefined : place + 1
  }

  append(key: string, data: Held | undefined): number {
    this.list.push(JSON.stringify((data === undefined ? [key] : [key, valueOf(data)]) satisfies EventText))
    return this.list.size
  }

  trim(beforeSeq: number): boolean {
    const trimmed = Math.min(beforeSeq - 1, this.lastSeq)
    if (trimmed <= this.trimmed) {
      return false
    }
    this.trimmed = trimmed
    this.list.age(Math.max(0, trimmed - oldCount(this.list.old)))
    this.chunks = this.chunks.filter(({ count, firstSeq }) => firstSeq + count - 1 > trimmed)
    return true
  }

  forget(): void {
    this.trimmed = this.lastSeq
    this.forgotten = true
    this.chunks = []
    this.list.clear()
  }

  spill(count: number, chunk: string): void {
    this.chunks = [...this.chunks, { chunk, count, firstSeq: oldCount(this.list.old) + 1 }]
    this.list.age(count)
  }

  encode(): string {
    return JSON.stringify(
      {
        ...this.head,
        closedAt: this.closedAt,
        forgotten: this.forgotten ? true : undefined,
        trimmed: this.trimmed,
        chunks: this.chunks
      } satisfies StreamHead
    )
  }
}
