/**
 * Holds the disk to its ledger: reads all of it by the public reads of `Store`,
 * before each process has its first word and when all is done.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { EventRecord, ExecutionRecord, SessionRecord, Store, StreamRecord } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { contents, type Fact, keyOf, type Ledger, short } from "./auditLedger.ts"

/** All that the disk shows. @internal */
export interface Disk {
  readonly keys: ReadonlyMap<string, string>
  readonly sessions: ReadonlyArray<SessionRecord>
  readonly streams: ReadonlyArray<{
    readonly record: StreamRecord
    readonly events: ReadonlyArray<EventRecord>
    readonly trimmed: boolean
  }>
  readonly executions: ReadonlyArray<ExecutionRecord>
}

/** By name. @internal */
export const signalsOf = ({ signals }: ExecutionRecord): ReadonlyMap<string, ExecutionRecord["signals"][number]> =>
  new Map(signals.map((signal) => [signal.name, signal]))

/** Events that are read at a time. */
const pageSize = 1000

/** What the clocks of the processes have shown so far. @internal */
export interface Clocks {
  /** A timer that was due by then may have fired. */
  readonly latest: number
  /** Then what is recorded may have an earlier time than what led to it. */
  readonly wereSetBack: boolean
}

/** Reads the whole disk. @internal */
export const read = (store: Store["Service"], ledger: Ledger, clocks: Clocks): Effect.Effect<Disk, StoreError> =>
  Effect.gen(function*() {
    const keys = new Map<string, string>()
    for (const key of ledger.facts.keys()) {
      const [kind, name = ""] = key.split("\u0000")
      const found = kind === "key" ? yield* store.key(name) : Option.none()
      if (Option.isSome(found)) {
        keys.set(name, Redacted.value(found.value))
      }
    }
    const sessions = yield* Stream.runCollect(store.sessions({}))
    const streams: Array<Disk["streams"][number]> = []
    for (const record of yield* Stream.runCollect(store.streams({}))) {
      const events: Array<EventRecord> = []
      let isTrimmed = false
      for (let after = 0, closed = false; !closed;) {
        const page = yield* store.events(record.stream, after, pageSize)
        isTrimmed ||= page.trimmed
        events.push(...page.events)
        const last = page.events.at(-1)?.seq ?? after
        // a store that numbers its events wrongly has pages without an end
        closed = page.closed || last <= after
        after = last
      }
      streams.push({ record, events, trimmed: isTrimmed })
    }
    const executions: Array<ExecutionRecord> = []
    for (const { id } of yield* Stream.runCollect(store.list({}))) {
      const found = yield* store.execution(id)
      if (Option.isSome(found)) {
        executions.push(withDropped(found.value, ledger, clocks))
      }
    }
    return { keys, sessions, streams, executions }
  })

/** Facts of one kind that are known to stand, in the order in which they became known. */
const standing = (ledger: Ledger, kind: string, id: string) => {
  const prefix = keyOf(kind, id, "")
  return Array.from(ledger.facts)
    .flatMap(([key, { claims, stands, told }]) =>
      key.startsWith(prefix) && stands !== undefined ? [{ name: key.slice(prefix.length), claims, stands, told }] : []
    )
    .sort((a, b) => a.told - b.told)
}

/**
 * With what a store may drop of an execution that is complete, as the ledger
 * remembers it. Signals that the driver wrote are those of timers that were due.
 */
const withDropped = (record: ExecutionRecord, ledger: Ledger, { latest, wereSetBack }: Clocks): ExecutionRecord => {
  const { completedAt, id } = record
  if (completedAt === undefined) {
    return record
  }
  const [, payload] = JSON.parse(ledger.facts.get(keyOf("execution", id))?.stands ?? "[]")
  const steps = (): ExecutionRecord["steps"] =>
    standing(ledger, "step", id).map(({ name, stands }) => {
      const [key, kind, root, version, exit] = JSON.parse(stands)
      return { name, key, kind, root, version, exit, recordedAt: 0 }
    })
  const signals = (): ExecutionRecord["signals"] => {
    const written = standing(ledger, "signal", id).map(({ name, stands }) => ({ name, exit: stands, recordedAt: 0 }))
    const names = new Set(written.map(({ name }) => name))
    const end = wereSetBack ? latest : completedAt
    const fired = standing(ledger, "timer", id).flatMap(({ claims, name, stands }) =>
      Number(stands) <= end && !names.has(name)
        ? [{ name, exit: claims.get(stands) ?? "", recordedAt: Number(stands) }]
        : []
    )
    return [...written, ...fired]
  }
  return {
    ...record,
    payload: record.payload === "" && typeof payload === "string" ? payload : record.payload,
    steps: record.steps.length === 0 ? steps() : record.steps,
    signals: record.signals.length === 0 ? signals() : record.signals
  }
}

/** What is wrong with the disk. @internal */
export const compare = (disk: Disk, ledger: Ledger, clocks: Clocks): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const shown = new Set<string>()

  /** The disk shows this under the key. */
  const show = (key: string, content: string, name: string): Fact | undefined => {
    shown.add(key)
    const fact = ledger.facts.get(key)
    if (fact === undefined || (fact.stands === undefined && !fact.claims.has(content))) {
      wrong.push(`the disk has ${name}, ${content}, which nobody wrote`)
      return undefined
    }
    if (fact.stands !== undefined && fact.stands !== content) {
      wrong.push(`the disk has ${content} for ${fact.name}, and not ${fact.stands}, which came first`)
      return undefined
    }
    ledger.seen(fact, content)
    return fact
  }

  for (const [name, value] of disk.keys) {
    show(keyOf("key", name), value, `key ${name}`)
  }
  for (const session of disk.sessions) {
    show(keyOf("session", session.id), contents.session(session), "a session")
    if (session.ended) {
      show(keyOf("ended", session.id), "ended", "the end of a session")
    }
    wrong.push(...factsOf(session, ledger))
  }
  for (const stream of disk.streams) {
    wrong.push(...streamOf(stream, ledger, show))
  }
  for (const execution of disk.executions) {
    wrong.push(...executionOf(execution, ledger, clocks, show))
  }
  wrong.push(...missing(disk, ledger, shown))
  return wrong
}

type Show = (key: string, content: string, name: string) => Fact | undefined

/** Log level, initialized, subscriptions: the last one that was acknowledged, or one that was not yet. */
const factsOf = (session: SessionRecord, ledger: Ledger): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  for (const name of session.facts.keys()) {
    if (!ledger.variables.has(keyOf(session.id, name))) {
      wrong.push(`the disk has the session's ${name}, which nobody wrote`)
    }
  }
  for (const { candidates, isTold, name, session: id } of ledger.variables.values()) {
    if (id !== session.id) {
      continue
    }
    const value = session.facts.get(name)
    const written = Array.from(candidates.values())
    if (value === undefined ? isTold : !written.includes(value)) {
      wrong.push(`the disk has ${value ?? "nothing"} for the session's ${name}, and not ${written.at(-1)}`)
    }
  }
  return wrong
}

/** Events are dense from 1, and the last one is the last. */
const streamOf = (
  { events, record, trimmed }: Disk["streams"][number],
  ledger: Ledger,
  show: Show
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const where = `stream ${short(record.stream)}`
  show(keyOf("stream", record.stream), contents.stream(record), where)
  const lasts = ledger.lasts.get(record.stream)
  const facts: Array<Fact | undefined> = []
  events.forEach(({ data, key, seq }, i) => {
    const before = events[i - 1]
    const expected = before === undefined ? (trimmed || record.forgotten ? seq : 1) : before.seq + 1
    if (seq !== expected) {
      wrong.push(`${where}: event ${key} has number ${seq} and not ${expected}`)
    }
    const told = ledger.seqs.get(keyOf("event", record.stream, key))
    if (told !== undefined && told !== seq) {
      wrong.push(`${where}: event ${key} has number ${seq}, though a process was told ${told}`)
    }
    if (before !== undefined && lasts?.has(before.key) === true) {
      wrong.push(`${where}: event ${key} comes after the last one, ${before.key}`)
    }
    facts.push(show(keyOf("event", record.stream, key), contents.event({ data }), `${where}'s event ${key}`))
  })
  const keys = events.map(({ key }) => key)
  if (new Set(keys).size < keys.length) {
    wrong.push(`${where}: an event is there twice: ${keys.join(", ")}`)
  }
  const last = events.at(-1)
  if (last !== undefined && record.lastSeq !== last.seq) {
    wrong.push(`${where}: its record says that its last event has number ${record.lastSeq}, which has ${last.seq}`)
  }
  if (last !== undefined && record.closed !== (lasts?.has(last.key) === true)) {
    wrong.push(`${where} is ${record.closed ? "closed without its last event" : "open after its last event"}`)
  }
  return [...wrong, ...order(where, facts)]
}

const executionOf = (
  record: ExecutionRecord,
  ledger: Ledger,
  clocks: Clocks,
  show: Show
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const { id } = record
  const where = `execution ${short(id)}`
  show(keyOf("execution", id), contents.execution(record), where)
  const steps = record.steps.map((step) => show(keyOf("step", id, step.name), contents.step(step), `step ${step.name}`))
  wrong.push(...order(where, steps))
  for (const signal of record.signals) {
    if (!isOfDriver(signal, record, ledger, clocks)) {
      show(keyOf("signal", id, signal.name), signal.exit, `${where}'s signal ${signal.name}`)
    }
  }
  for (const [name, at] of record.timers) {
    show(keyOf("timer", id, name), String(at), `${where}'s timer ${name}`)
    if (record.signals.some((signal) => signal.name === name)) {
      wrong.push(`${where}: timer ${name} is armed, though its signal has come`)
    }
  }
  if (record.cancel !== undefined) {
    show(keyOf("cancel", id), record.cancel, `the cancelling of ${where}`)
  }
  if (record.result !== undefined) {
    show(keyOf("result", id), record.result, `the result of ${where}`)
    if (record.timers.size > 0 || record.parked !== undefined) {
      wrong.push(`${where} is complete, and ${record.parked === undefined ? "has a timer" : "parked"}`)
    }
  }
  return [...wrong, ...parkingOf(record, ledger)]
}

/** The driver writes signals by itself: of timers that are due, and for the parents of what has ended. */
const isOfDriver = (
  { exit, name, recordedAt }: ExecutionRecord["signals"][number],
  { id }: ExecutionRecord,
  ledger: Ledger,
  { latest, wereSetBack }: Clocks
): boolean => {
  if (name.startsWith("child/")) {
    return ledger.facts.get(keyOf("result", name.slice("child/".length)))?.claims.has(exit) === true
  }
  const timer = ledger.facts.get(keyOf("timer", id, name))
  const written = ledger.facts.get(keyOf("signal", id, name))
  if (timer === undefined || written?.claims.has(exit) === true || written?.stands !== undefined) {
    return false
  }
  const fired = Array.from(timer.claims).find(([at, says]) =>
    says === exit && latest >= Number(at) && (wereSetBack || recordedAt >= Number(at))
  )
  if (fired !== undefined) {
    // whoever armed it may have died, or given up, before being told that it stands
    ledger.seen(timer, fired[0])
  }
  return fired !== undefined
}

/**
 * A park ends with what the run did not know of: a cancel, and if it waits, one
 * more signal; or with a `Resume`, of which the ledger knows. So the disk tells
 * by itself whether the park can have ended, whoever wrote what ended it.
 */
const parkingOf = (record: ExecutionRecord, ledger: Ledger): ReadonlyArray<string> => {
  const parking = ledger.parkings.get(record.id)
  const where = `execution ${short(record.id)}`
  // an orderly end is the driver's to write, and the next start's to undo
  if (record.parked?.state === "stopped" || parking?.stands?.state === "stopped") {
    return []
  }
  if (record.parked !== undefined) {
    const content = contents.park(record.parked)
    return parking?.asked.has(content) === true
      ? []
      : [`${where} is parked, ${content}, as nobody wrote`]
  }
  if (parking?.stands === undefined || record.result !== undefined) {
    return []
  }
  const { seenCancel, seenSignals, state } = parking.stands
  const isNews = (record.cancel !== undefined && !seenCancel)
    || (state === "waiting" && record.signals.length > seenSignals)
  return isNews ? [] : [`${where} is not parked, though it was said to be: ${contents.park(parking.stands)}`]
}

/** One that was acknowledged before another was written comes before it. */
const order = (where: string, facts: ReadonlyArray<Fact | undefined>): ReadonlyArray<string> => {
  let latest: Fact | undefined
  for (const fact of facts) {
    if (fact !== undefined && latest !== undefined && fact.told < latest.begun) {
      return [`${where}: ${latest.name} comes before ${fact.name}, which was stored when it was written`]
    }
    if (fact !== undefined && (latest === undefined || fact.begun > latest.begun)) {
      latest = fact
    }
  }
  return []
}

/** What was acknowledged and is not there. */
const missing = (disk: Disk, ledger: Ledger, shown: ReadonlySet<string>): ReadonlyArray<string> => {
  const completed = new Set(disk.executions.filter(({ result }) => result !== undefined).map(({ id }) => id))
  const signals = new Set(
    disk.executions.flatMap(({ id, signals }) => signals.map(({ name }) => keyOf(id, name)))
  )
  const wrong: Array<string> = []
  for (const [key, fact] of ledger.facts) {
    if (shown.has(key)) {
      continue
    }
    const [kind, id = "", name = ""] = key.split("\u0000")
    const isDue = fact.stands !== undefined || fact.promised
    const isOver = (kind === "timer" && (completed.has(id) || signals.has(keyOf(id, name))))
      || (kind === "signal" && signals.has(keyOf(id, name)))
    if (isDue && !isOver && !ledger.mayBeGone(id)) {
      wrong.push(`the disk has lost ${fact.name}, which was acknowledged`)
    }
  }
  return wrong
}
