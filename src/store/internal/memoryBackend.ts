/**
 * Facts in plain maps. The disk outlives the stores that are opened on it, as a
 * file does; opening it anew fences the store before.
 *
 * @internal
 */
import type {
  Complete,
  EventRecord,
  ExecutionRecord,
  ExecutionSummary,
  OpenStream,
  Outcome,
  SessionRecord,
  SignalRecord,
  StartExecution,
  StepRecord,
  StreamRecord,
  Write
} from "../Store.ts"
import { StoreError } from "../StoreError.ts"
import type { Backend, Page } from "./Backend.ts"
import * as facts from "./callFacts.ts"
import { made, stateOf } from "./callFacts.ts"
import * as sessionFacts from "./sessionFacts.ts"

interface Session extends sessionFacts.Session {
  readonly no: number
  readonly id: string
  readonly principal: string
  readonly data: string
  readonly createdAt: number
  readonly facts: Map<string, { readonly writeKey: string; readonly value: string }>
}

class EventStream implements facts.EventStream<string> {
  readonly no: number
  readonly opened: OpenStream
  readonly createdAt: number
  closedAt: number | undefined = undefined
  forgotten = false
  /** Event n is at n - 1 - trimmed. */
  events: Array<EventRecord> = []
  trimmed = 0
  private seqs = new Map<string, number>()

  constructor(no: number, opened: OpenStream, createdAt: number) {
    this.no = no
    this.opened = opened
    this.createdAt = createdAt
  }

  get token(): string {
    return this.no.toString(36)
  }

  get requestDigest(): string {
    return this.opened.requestDigest
  }

  get lastSeq(): number {
    return this.trimmed + this.events.length
  }

  seqOf(key: string): number | undefined {
    return this.seqs.get(key)
  }

  append(key: string, data: string | undefined): number {
    const seq = this.lastSeq + 1
    this.events.push({ seq, key, data })
    this.seqs.set(key, seq)
    return seq
  }

  trim(beforeSeq: number): boolean {
    const gone = Math.max(0, Math.min(beforeSeq - 1 - this.trimmed, this.events.length))
    this.events = this.events.slice(gone)
    this.trimmed += gone
    return gone > 0
  }

  forget(): void {
    this.trimmed = this.lastSeq
    this.events = []
    this.seqs = new Map()
    this.forgotten = true
  }
}

class Execution implements facts.Execution<string> {
  readonly no: number
  readonly id: string
  readonly workflow: string
  payload: string
  readonly parent: string | undefined
  readonly createdAt: number
  steps = new Map<string, StepRecord>()
  signals = new Map<string, SignalRecord>()
  readonly timers = new Map<string, facts.Timer<string>>()
  cancel: "safe" | "now" | undefined = undefined
  parked: ExecutionRecord["parked"] = undefined
  recoveries = 0
  boot: string | undefined = undefined
  result: string | undefined = undefined
  completedAt: number | undefined = undefined
  forgotten = false

  constructor(no: number, write: StartExecution, createdAt: number) {
    this.no = no
    this.id = write.id
    this.workflow = write.workflow
    this.payload = write.payload
    this.parent = write.parent
    this.createdAt = createdAt
  }

  forget(): void {
    this.payload = ""
    this.steps = new Map()
    this.signals = new Map()
    this.result = ""
    this.forgotten = true
  }
}

/** @internal */
export class Disk {
  /** Times this disk was opened; only the last opener may use it. */
  openings = 0
  /** Numbers of sessions, streams and executions: order of creation, never used again. */
  last = 0
  readonly keys = new Map<string, string>()
  readonly sessions = new Map<string, Session>()
  readonly streams = new Map<string, EventStream>()
  /** Streams by token. */
  readonly tokens = new Map<string, EventStream>()
  readonly executions = new Map<string, Execution>()
}

/** All executions of a session: those of its streams, their children, and so on. */
const executionsOf = (disk: Disk, session: string): ReadonlySet<string> => {
  const ids = new Set<string>()
  for (const stream of disk.streams.values()) {
    if (stream.opened.session === session) {
      ids.add(stream.opened.stream)
    }
  }
  let before = -1
  while (ids.size > before) {
    before = ids.size
    for (const execution of disk.executions.values()) {
      if (execution.parent !== undefined && ids.has(execution.parent)) {
        ids.add(execution.id)
      }
    }
  }
  return ids
}

const forgetSession = (disk: Disk, session: Session): Outcome => {
  const ids = executionsOf(disk, session.id)
  for (const id of ids) {
    const execution = disk.executions.get(id)
    if (execution !== undefined && execution.result === undefined) {
      return made(false)
    }
  }
  for (const id of ids) {
    disk.executions.delete(id)
  }
  for (const stream of Array.from(disk.streams.values())) {
    if (stream.opened.session === session.id) {
      disk.streams.delete(stream.opened.stream)
      disk.tokens.delete(stream.token)
    }
  }
  disk.sessions.delete(session.id)
  return made(true)
}

const complete = (disk: Disk, write: Complete, now: number): Outcome => {
  const execution = disk.executions.get(write.id)
  const outcome = facts.complete(execution, write, now)
  const parent = execution?.parent === undefined ? undefined : disk.executions.get(execution.parent)
  if (parent !== undefined && parent.result === undefined && "fresh" in outcome && outcome.fresh) {
    facts.signal(parent, `child/${write.id}`, write.result, now)
  }
  return outcome
}

const apply = (disk: Disk, write: Write, now: number): Outcome => {
  switch (write._tag) {
    case "OpenSession": {
      if (disk.sessions.has(write.id)) {
        return made(false)
      }
      const { data, id, principal } = write
      disk.sessions.set(id, {
        no: ++disk.last,
        id,
        principal,
        data,
        createdAt: now,
        ended: false,
        writtenAt: now,
        facts: new Map()
      })
      return made(true)
    }
    case "SetSession":
    case "EndSession": {
      return sessionFacts.apply(disk.sessions.get(write.id), write, now)
    }
    case "ForgetSession": {
      const session = disk.sessions.get(write.id)
      return session === undefined ? facts.missing : session.ended ? forgetSession(disk, session) : made(false)
    }
    case "PutKey": {
      const value = disk.keys.get(write.name)
      if (value !== undefined) {
        return facts.stands(false, value)
      }
      disk.keys.set(write.name, write.value)
      return facts.stands(true, write.value)
    }
    case "OpenStream": {
      const before = disk.streams.get(write.stream)
      if (before !== undefined) {
        return facts.opened(before, false)
      }
      const stream = new EventStream(++disk.last, write, now)
      disk.streams.set(write.stream, stream)
      disk.tokens.set(stream.token, stream)
      return facts.opened(stream, true)
    }
    case "Append": {
      return facts.append(disk.streams.get(write.stream), write, now)
    }
    case "Trim": {
      return facts.trim(disk.streams.get(write.stream), write)
    }
    case "StartExecution": {
      if (disk.executions.has(write.id) || disk.streams.get(write.id)?.forgotten === true) {
        return made(false)
      }
      disk.executions.set(write.id, new Execution(++disk.last, write, now))
      return made(true)
    }
    case "Complete": {
      return complete(disk, write, now)
    }
    case "Forget": {
      return facts.forget(disk.executions.get(write.id), disk.streams.get(write.id), now)
    }
    default: {
      return facts.run(disk.executions.get(write.id), write, now)
    }
  }
}

const sessionRecord = (session: Session): SessionRecord => ({
  id: session.id,
  principal: session.principal,
  data: session.data,
  createdAt: session.createdAt,
  ended: session.ended,
  facts: new Map(Array.from(session.facts, ([name, fact]) => [name, fact.value]))
})

const streamRecord = (stream: EventStream): StreamRecord => ({
  stream: stream.opened.stream,
  token: stream.token,
  session: stream.opened.session,
  principal: stream.opened.principal,
  requestDigest: stream.opened.requestDigest,
  version: stream.opened.version,
  execution: stream.opened.execution,
  createdAt: stream.createdAt,
  lastSeq: stream.lastSeq,
  closed: stream.closedAt !== undefined,
  forgotten: stream.forgotten
})

const executionRecord = (execution: Execution): ExecutionRecord => ({
  id: execution.id,
  workflow: execution.workflow,
  payload: execution.payload,
  parent: execution.parent,
  createdAt: execution.createdAt,
  steps: Array.from(execution.steps.values()),
  signals: Array.from(execution.signals.values()),
  timers: new Map(
    Array.from(execution.timers).flatMap(([name, timer]) => timer.armed ? [[name, timer.at] as const] : [])
  ),
  cancel: execution.cancel,
  parked: execution.parked,
  recoveries: execution.recoveries,
  result: execution.result,
  completedAt: execution.completedAt
})

/** One page of what passes; maps keep the order of creation, which is that of `no`. */
const page = <A extends { readonly no: number }, B>(
  all: ReadonlyMap<string, A>,
  after: number,
  limit: number,
  passes: (a: A) => boolean,
  f: (a: A) => B
): Page<B> => {
  const items: Array<B> = []
  let last = after
  for (const a of all.values()) {
    if (a.no > after && passes(a)) {
      if (items.length === limit) {
        return { items, next: last }
      }
      items.push(f(a))
      last = a.no
    }
  }
  return { items, next: undefined }
}

/**
 * Opens the disk, and fences whoever had it open.
 *
 * @internal
 */
export const make = (disk: Disk): Backend => {
  const opening = ++disk.openings
  const owned = (): Disk => {
    if (disk.openings !== opening) {
      throw new StoreError({ reason: "Fenced", message: "This memory disk was opened by another store" })
    }
    return disk
  }
  const armed = (): ReadonlyArray<
    { readonly id: string; readonly name: string; readonly at: number; readonly exit: string }
  > =>
    Array.from(owned().executions.values()).flatMap((execution) =>
      Array.from(execution.timers).flatMap(([name, timer]) =>
        timer.armed ? [{ id: execution.id, name, at: timer.at, exit: timer.exit }] : []
      )
    )
  return {
    apply: (commits, now) => {
      owned()
      return commits.map((writes) => writes.map((write) => apply(disk, write, now)))
    },
    key: (name) => owned().keys.get(name),
    session: (id) => {
      const session = owned().sessions.get(id)
      return session === undefined ? undefined : sessionRecord(session)
    },
    execution: (id) => {
      const execution = owned().executions.get(id)
      return execution === undefined || execution.forgotten ? undefined : executionRecord(execution)
    },
    stream: (by) => {
      const stream = "id" in by ? owned().streams.get(by.id) : owned().tokens.get(by.token)
      return stream === undefined ? undefined : streamRecord(stream)
    },
    events: (id, afterSeq, limit) => {
      const stream = owned().streams.get(id)
      if (stream === undefined) {
        return { events: [], trimmed: false, closed: false }
      }
      const from = Math.max(0, afterSeq - stream.trimmed)
      const events = stream.events.slice(from, from + limit)
      return {
        events,
        trimmed: afterSeq < stream.trimmed,
        closed: stream.closedAt !== undefined && from + events.length >= stream.events.length
      }
    },
    sessions: ({ ended, principal, writtenBefore }, after, limit) =>
      page(owned().sessions, after, limit, (session) =>
        (ended === undefined || session.ended === ended) &&
        (principal === undefined || session.principal === principal) &&
        (writtenBefore === undefined || session.writtenAt < writtenBefore), sessionRecord),
    streams: ({ closedBefore, session }, after, limit) =>
      page(owned().streams, after, limit, (stream) =>
        (session === undefined || stream.opened.session === session) &&
        (closedBefore === undefined ||
          (stream.closedAt !== undefined && stream.closedAt < closedBefore && !stream.forgotten)), streamRecord),
    list: ({ completedBefore, session, states, workflow }, after, limit) => {
      const sessionOf = (execution: Execution) => disk.streams.get(execution.id)?.opened.session
      return page(
        owned().executions,
        after,
        limit,
        (execution) =>
          !execution.forgotten &&
          (workflow === undefined || execution.workflow === workflow) &&
          (session === undefined || sessionOf(execution) === session) &&
          (states === undefined || states.includes(stateOf(execution))) &&
          (completedBefore === undefined ||
            (execution.completedAt !== undefined && execution.completedAt < completedBefore)),
        (execution): ExecutionSummary => ({
          id: execution.id,
          workflow: execution.workflow,
          createdAt: execution.createdAt,
          completedAt: execution.completedAt,
          state: stateOf(execution),
          cancel: execution.cancel,
          reason: execution.parked?.reason,
          recoveries: execution.recoveries,
          session: sessionOf(execution)
        })
      )
    },
    runnable: (after, limit) =>
      page(
        owned().executions,
        after,
        limit,
        (execution) => stateOf(execution) === "running" || stateOf(execution) === "stopped",
        (execution) => ({ id: execution.id, cutOff: stateOf(execution) === "running" })
      ),
    standing: (id) => {
      const execution = owned().executions.get(id)
      return execution === undefined || execution.forgotten
        ? undefined
        : { parent: execution.parent, state: stateOf(execution) }
    },
    nextTimer: () =>
      armed().reduce<number | undefined>((at, timer) => at !== undefined && at < timer.at ? at : timer.at, undefined),
    dueTimers: (now, limit) => armed().filter((timer) => timer.at <= now).sort((a, b) => a.at - b.at).slice(0, limit)
  }
}
