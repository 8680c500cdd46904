/**
 * Facts in plain maps. The disk outlives the stores that are opened on it, as a
 * file does; opening it anew fences the store before.
 *
 * @internal
 */
import type {
  EventRecord,
  ExecutionRecord,
  ExecutionSummary,
  OpenStream,
  Outcome,
  Park,
  SessionRecord,
  SignalRecord,
  StepRecord,
  StreamRecord,
  Write
} from "../Store.ts"
import { StoreError } from "../StoreError.ts"
import type { Backend, Page } from "./Backend.ts"

interface Session {
  readonly no: number
  readonly id: string
  readonly principal: string
  readonly data: string
  readonly createdAt: number
  ended: boolean
  writtenAt: number
  readonly facts: Map<string, { readonly writeKey: string; readonly value: string }>
}

interface EventStream {
  readonly no: number
  readonly opened: OpenStream
  readonly createdAt: number
  /** Event n is at n - 1 - trimmed. */
  events: Array<EventRecord>
  trimmed: number
  seqs: Map<string, number>
  closedAt: number | undefined
  forgotten: boolean
}

interface Timer {
  readonly at: number
  readonly exit: string
  armed: boolean
}

interface Execution {
  readonly no: number
  readonly id: string
  readonly workflow: string
  payload: string
  readonly parent: string | undefined
  readonly createdAt: number
  steps: Map<string, StepRecord>
  signals: Map<string, SignalRecord>
  timers: Map<string, Timer>
  cancel: "safe" | "now" | undefined
  parked: { readonly state: Park["state"]; readonly reason: string | undefined } | undefined
  recoveries: number
  boot: string | undefined
  result: string | undefined
  completedAt: number | undefined
  /** A tombstone: only `id` and `parent` mean anything. */
  forgotten: boolean
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

const missing: Outcome = { _tag: "Missing" }
const completed: Outcome = { _tag: "Completed" }
const closed: Outcome = { _tag: "Closed" }
const made = (fresh: boolean): Outcome => ({ _tag: "Made", fresh })
const stands = (fresh: boolean, value: string): Outcome => ({ _tag: "Stands", fresh, value })

const token = (stream: EventStream): string => stream.no.toString(36)

const lastSeq = (stream: EventStream): number => stream.trimmed + stream.events.length

const state = (execution: Execution): ExecutionSummary["state"] =>
  execution.result !== undefined ? "completed" : execution.parked === undefined ? "running" : execution.parked.state

const opened = (stream: EventStream, fresh: boolean): Outcome => ({
  _tag: "Opened",
  fresh,
  token: token(stream),
  requestDigest: stream.opened.requestDigest,
  closed: stream.closedAt !== undefined,
  forgotten: stream.forgotten
})

const append = (stream: EventStream, key: string, data: string | undefined): number => {
  const seq = lastSeq(stream) + 1
  stream.events.push({ seq, key, data })
  stream.seqs.set(key, seq)
  return seq
}

const signal = (execution: Execution, name: string, exit: string, now: number): Outcome => {
  const timer = execution.timers.get(name)
  if (timer !== undefined) {
    timer.armed = false
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

const forgetExecution = (execution: Execution): void => {
  execution.payload = ""
  execution.steps = new Map()
  execution.signals = new Map()
  execution.result = ""
  execution.forgotten = true
}

const forgetStream = (stream: EventStream, now: number): void => {
  stream.trimmed = lastSeq(stream)
  stream.events = []
  stream.seqs = new Map()
  stream.closedAt ??= now
  stream.forgotten = true
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
      disk.tokens.delete(token(stream))
    }
  }
  disk.sessions.delete(session.id)
  return made(true)
}

/** A write to an execution that must exist and have no result. */
const ifOpen = (disk: Disk, id: string, write: (execution: Execution) => Outcome): Outcome => {
  const execution = disk.executions.get(id)
  return execution === undefined ? missing : execution.result !== undefined ? completed : write(execution)
}

const apply = (disk: Disk, write: Write, now: number): Outcome => {
  switch (write._tag) {
    case "OpenSession": {
      if (disk.sessions.has(write.id)) {
        return made(false)
      }
      const { data, id, principal } = write
      const facts = new Map()
      disk.sessions.set(id, {
        no: ++disk.last,
        id,
        principal,
        data,
        createdAt: now,
        ended: false,
        writtenAt: now,
        facts
      })
      return made(true)
    }
    case "SetSession": {
      const session = disk.sessions.get(write.id)
      if (session === undefined || session.ended) {
        return missing
      }
      if (session.facts.get(write.name)?.writeKey === write.writeKey) {
        return made(false)
      }
      session.facts.set(write.name, { writeKey: write.writeKey, value: write.value })
      session.writtenAt = now
      return made(true)
    }
    case "EndSession": {
      const session = disk.sessions.get(write.id)
      if (session === undefined) {
        return missing
      }
      const fresh = !session.ended
      session.ended = true
      return made(fresh)
    }
    case "ForgetSession": {
      const session = disk.sessions.get(write.id)
      return session === undefined ? missing : session.ended ? forgetSession(disk, session) : made(false)
    }
    case "PutKey": {
      const value = disk.keys.get(write.name)
      if (value !== undefined) {
        return stands(false, value)
      }
      disk.keys.set(write.name, write.value)
      return stands(true, write.value)
    }
    case "OpenStream": {
      const before = disk.streams.get(write.stream)
      if (before !== undefined) {
        return opened(before, false)
      }
      const stream: EventStream = {
        no: ++disk.last,
        opened: write,
        createdAt: now,
        events: [],
        trimmed: 0,
        seqs: new Map(),
        closedAt: undefined,
        forgotten: false
      }
      disk.streams.set(write.stream, stream)
      disk.tokens.set(token(stream), stream)
      return opened(stream, true)
    }
    case "Append": {
      const stream = disk.streams.get(write.stream)
      if (stream === undefined) {
        return missing
      }
      const seq = stream.seqs.get(write.key)
      if (seq !== undefined) {
        return { _tag: "Appended", fresh: false, seq }
      }
      if (stream.closedAt !== undefined) {
        return closed
      }
      if (write.last === true) {
        stream.closedAt = now
      }
      return { _tag: "Appended", fresh: true, seq: append(stream, write.key, write.data) }
    }
    case "Trim": {
      const stream = disk.streams.get(write.stream)
      if (stream === undefined) {
        return missing
      }
      const gone = Math.max(0, Math.min(write.beforeSeq - 1 - stream.trimmed, stream.events.length))
      stream.events = stream.events.slice(gone)
      stream.trimmed += gone
      return made(gone > 0)
    }
    case "StartExecution": {
      if (disk.executions.has(write.id) || disk.streams.get(write.id)?.forgotten === true) {
        return made(false)
      }
      disk.executions.set(write.id, {
        no: ++disk.last,
        id: write.id,
        workflow: write.workflow,
        payload: write.payload,
        parent: write.parent,
        createdAt: now,
        steps: new Map(),
        signals: new Map(),
        timers: new Map(),
        cancel: undefined,
        parked: undefined,
        recoveries: 0,
        boot: undefined,
        result: undefined,
        completedAt: undefined,
        forgotten: false
      })
      return made(true)
    }
    case "BeginRecovery": {
      return ifOpen(disk, write.id, (execution) => {
        const fresh = execution.boot !== write.boot
        if (fresh) {
          execution.boot = write.boot
          execution.recoveries++
        }
        return { _tag: "Recovering", fresh, recoveries: execution.recoveries }
      })
    }
    case "RecordStep": {
      return ifOpen(disk, write.id, (execution) => {
        const before = execution.steps.get(write.name)
        if (before !== undefined) {
          return stands(false, before.exit)
        }
        const { exit, key, kind, name, root, version } = write
        execution.steps.set(name, { name, key, kind, root, version, exit, recordedAt: now })
        execution.recoveries = 0
        return stands(true, exit)
      })
    }
    case "Signal": {
      return ifOpen(disk, write.id, (execution) => signal(execution, write.name, write.exit, now))
    }
    case "ArmTimer": {
      return ifOpen(disk, write.id, (execution) => {
        const before = execution.timers.get(write.name)
        if (before !== undefined || execution.signals.has(write.name)) {
          return { _tag: "Armed", fresh: false, at: before?.at ?? write.at }
        }
        execution.timers.set(write.name, { at: write.at, exit: write.exit, armed: true })
        return { _tag: "Armed", fresh: true, at: write.at }
      })
    }
    case "RequestCancel": {
      return ifOpen(disk, write.id, (execution) => {
        if (execution.cancel !== undefined) {
          return made(false)
        }
        execution.cancel = write.mode
        if (execution.parked?.state !== "stopped") {
          execution.parked = undefined
        }
        return made(true)
      })
    }
    case "Park": {
      return ifOpen(disk, write.id, (execution) => {
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
      })
    }
    case "Resume": {
      return ifOpen(disk, write.id, (execution) => {
        const fresh = execution.parked !== undefined
        if (fresh) {
          execution.parked = undefined
          execution.recoveries = 0
        }
        return made(fresh)
      })
    }
    case "Complete": {
      const execution = disk.executions.get(write.id)
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
      execution.timers = new Map()
      if (execution.parent !== undefined) {
        ifOpen(disk, execution.parent, (parent) => signal(parent, `child/${write.id}`, write.result, now))
      }
      return stands(true, write.result)
    }
    case "Forget": {
      const execution = disk.executions.get(write.id)
      const stream = disk.streams.get(write.id)
      if (execution === undefined && stream === undefined) {
        return missing
      }
      const finished = execution === undefined ? stream!.closedAt !== undefined : execution.result !== undefined
      const forgotten = execution === undefined ? stream!.forgotten : execution.forgotten
      if (!finished || forgotten) {
        return made(false)
      }
      if (execution !== undefined) {
        forgetExecution(execution)
      }
      if (stream !== undefined) {
        forgetStream(stream, now)
      }
      return made(true)
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
  token: token(stream),
  session: stream.opened.session,
  principal: stream.opened.principal,
  requestDigest: stream.opened.requestDigest,
  version: stream.opened.version,
  execution: stream.opened.execution,
  createdAt: stream.createdAt,
  lastSeq: lastSeq(stream),
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
          (states === undefined || states.includes(state(execution))) &&
          (completedBefore === undefined ||
            (execution.completedAt !== undefined && execution.completedAt < completedBefore)),
        (execution): ExecutionSummary => ({
          id: execution.id,
          workflow: execution.workflow,
          createdAt: execution.createdAt,
          completedAt: execution.completedAt,
          state: state(execution),
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
        (execution) => state(execution) === "running" || state(execution) === "stopped",
        (execution) => ({ id: execution.id, cutOff: state(execution) === "running" })
      ),
    standing: (id) => {
      const execution = owned().executions.get(id)
      return execution === undefined || execution.forgotten
        ? undefined
        : { parent: execution.parent, state: state(execution) }
    },
    nextTimer: () =>
      armed().reduce<number | undefined>((at, timer) => at !== undefined && at < timer.at ? at : timer.at, undefined),
    dueTimers: (now, limit) => armed().filter((timer) => timer.at <= now).sort((a, b) => a.at - b.at).slice(0, limit)
  }
}
