/**
 * What the disk owes: every fact that processes wrote, and what they were told
 * became of it. Made from the contract of `Store` alone; shares no code with
 * any store.
 */
import type { Outcome, Park, Write } from "../../store/Store.ts"
import type { Operation, Settled } from "../FaultStore.ts"

/** A fact under a key, of which the first write wins. @internal */
export interface Fact {
  /** For a reader: `step charge of 3fa9c1`. */
  readonly name: string
  /** What was written and may stand, with the value that tells it from others in an outcome. */
  readonly claims: Map<string, string>
  /** What stands: a process was told so, or it was seen on the disk. */
  stands: string | undefined
  /** A process was told that it made it. */
  isMade: boolean
  /** A submit that a later commit of its process has brought to disk. */
  promised: boolean
  /** When it was first written, in operations of the run. */
  begun: number
  /** When it was known to stand. */
  told: number
}

/** A fact that is replaced: the last write wins. @internal */
export interface Variable {
  readonly session: string
  readonly name: string
  /** What may stand, by number of the operation that wrote it. */
  readonly candidates: Map<number, string>
  /** A process was told so, or it was seen: something stands. */
  isTold: boolean
}

/** How an execution was parked. @internal */
export interface Parking {
  /** Parks that were asked for. */
  readonly asked: Set<string>
  /** A process was told that it is parked, and no other park and no `Resume` was written since. */
  stands: Park | undefined
  /** When a `Resume` was last written, in operations of the run. */
  resumed: number
}

/** @internal */
export interface Ledger {
  /** By `keyOf` kind and key. */
  readonly facts: ReadonlyMap<string, Fact>
  readonly variables: ReadonlyMap<string, Variable>
  /** By execution. */
  readonly parkings: ReadonlyMap<string, Parking>
  /** Sequence numbers that processes were told, by key of the event. */
  readonly seqs: ReadonlyMap<string, number>
  /** Keys of last events, by stream. */
  readonly lasts: ReadonlyMap<string, ReadonlySet<string>>
  /** Whether retention was asked to remove something of this stream, execution or session. */
  readonly mayBeGone: (id: string) => boolean
  /** A process begins an operation. */
  readonly begin: (process: number, operation: Operation) => void
  /** What became of it. */
  readonly settle: (process: number, operation: Operation, settled: Settled) => void
  /** The disk shows this: it stands from now on. */
  readonly seen: (fact: Fact, content: string) => void
  /** Who has written so far is dead: what the disk does not show by now, it never will. */
  readonly forgetClaims: () => void
}

/** Of ids only the beginning. @internal */
export const short = (id: string): string => id.slice(0, 6)

/** Where a fact is. @internal */
export const keyOf = (...parts: ReadonlyArray<string>): string => parts.join("\u0000")

/** What is written of each kind, as text that two readers of the same fact agree on. @internal */
export const contents = {
  session: (fact: { readonly principal: string; readonly data: string }) => JSON.stringify([fact.principal, fact.data]),
  stream: (
    fact: {
      readonly session?: string | undefined
      readonly principal: string
      readonly requestDigest: string
      readonly version: string
      readonly execution?: string | undefined
    }
  ) =>
    JSON.stringify([
      fact.session ?? null,
      fact.principal,
      fact.requestDigest,
      fact.version,
      fact.execution ?? null
    ]),
  event: (fact: { readonly data?: string | undefined }) => fact.data ?? "",
  execution: (fact: { readonly workflow: string; readonly payload: string; readonly parent?: string | undefined }) =>
    JSON.stringify([fact.workflow, fact.payload, fact.parent ?? null]),
  step: (
    fact: {
      readonly key: string
      readonly kind: string
      readonly root: boolean
      readonly version: string
      readonly exit: string
    }
  ) => JSON.stringify([fact.key, fact.kind, fact.root, fact.version, fact.exit]),
  park: (fact: { readonly state: string; readonly reason?: string | undefined }) =>
    JSON.stringify([fact.state, fact.reason ?? null])
}

/** A fact that a write makes: where, what, and how to call it. */
interface Made {
  readonly key: string
  readonly content: string
  readonly name: string
  /** What an outcome that `Stands` says of it. Default: the content. */
  readonly value?: string | undefined
}

/** The fact of which the first write wins; undefined for other writes. */
const madeBy = (write: Write): Made | undefined => {
  switch (write._tag) {
    case "OpenSession":
      return { key: keyOf("session", write.id), content: contents.session(write), name: "a session" }
    case "EndSession":
      return { key: keyOf("ended", write.id), content: "ended", name: "the end of a session" }
    case "PutKey":
      return { key: keyOf("key", write.name), content: write.value, name: `key ${write.name}` }
    case "OpenStream":
      return {
        key: keyOf("stream", write.stream),
        content: contents.stream(write),
        name: `stream ${short(write.stream)}`
      }
    case "Append":
      return {
        key: keyOf("event", write.stream, write.key),
        content: contents.event(write),
        name: `event ${write.key} of ${short(write.stream)}`
      }
    case "StartExecution":
      return {
        key: keyOf("execution", write.id),
        content: contents.execution(write),
        name: `execution ${short(write.id)}`
      }
    case "RecordStep":
      return {
        key: keyOf("step", write.id, write.name),
        content: contents.step(write),
        value: write.exit,
        name: `step ${write.name} of ${short(write.id)}`
      }
    case "Signal":
      return {
        key: keyOf("signal", write.id, write.name),
        content: write.exit,
        name: `signal ${write.name} of ${short(write.id)}`
      }
    case "ArmTimer":
      return {
        key: keyOf("timer", write.id, write.name),
        content: String(write.at),
        value: write.exit,
        name: `timer ${write.name} of ${short(write.id)}`
      }
    case "RequestCancel":
      return { key: keyOf("cancel", write.id), content: write.mode, name: `the cancelling of ${short(write.id)}` }
    case "Complete":
      return { key: keyOf("result", write.id), content: write.result, name: `the result of ${short(write.id)}` }
    default:
      return undefined
  }
}

/** @internal */
export const make = (violation: (text: string) => void): Ledger => {
  const facts = new Map<string, Fact>()
  const variables = new Map<string, Variable>()
  const parkings = new Map<string, Parking>()
  const seqs = new Map<string, number>()
  const lasts = new Map<string, Set<string>>()
  const forgotten = new Set<string>()
  /** Number of each operation that has begun. */
  const numbers = new WeakMap<Operation, number>()
  /** Submits that have returned, by process, until a commit that begins later is acknowledged. */
  const queued = new Map<number, Array<{ readonly writes: ReadonlyArray<Write>; readonly at: number }>>()
  let now = 0

  const factOf = ({ key, name }: Made): Fact => {
    const known = facts.get(key)
    if (known !== undefined) {
      return known
    }
    const fact: Fact = {
      name,
      claims: new Map(),
      stands: undefined,
      isMade: false,
      promised: false,
      begun: now,
      told: Infinity
    }
    facts.set(key, fact)
    return fact
  }

  const variableOf = (session: string, name: string): Variable => {
    const key = keyOf(session, name)
    const known = variables.get(key) ?? { session, name, candidates: new Map(), isTold: false }
    variables.set(key, known)
    return known
  }

  const parkingOf = (id: string): Parking => {
    const known = parkings.get(id) ?? { asked: new Set(), stands: undefined, resumed: 0 }
    parkings.set(id, known)
    return known
  }

  const standing = (...key: ReadonlyArray<string>): ReadonlyArray<unknown> => {
    const content = facts.get(keyOf(...key))?.stands
    return content === undefined ? [] : JSON.parse(content)
  }

  const parentOf = (id: string): string | undefined => {
    const parent = standing("execution", id)[2]
    return typeof parent === "string" ? parent : undefined
  }

  const mayBeGone = (id: string): boolean => {
    const session = standing("stream", id)[0]
    const parent = parentOf(id)
    return forgotten.has(id) || (typeof session === "string" && forgotten.has(session)) ||
      (parent !== undefined && mayBeGone(parent))
  }

  const beginWrite = (write: Write) => {
    const made = madeBy(write)
    if (made !== undefined) {
      const fact = factOf(made)
      if (fact.claims.size === 0 && fact.stands === undefined) {
        fact.begun = now
      }
      fact.claims.set(made.content, made.value ?? made.content)
    }
    switch (write._tag) {
      case "Append":
        if (write.last === true) {
          lasts.set(write.stream, (lasts.get(write.stream) ?? new Set()).add(write.key))
        }
        break
      case "SetSession":
        variableOf(write.id, write.name).candidates.set(now, write.value)
        break
      case "Park": {
        const parking = parkingOf(write.id)
        parking.asked.add(contents.park(write))
        parking.stands = undefined
        break
      }
      case "Resume": {
        const parking = parkingOf(write.id)
        parking.stands = undefined
        parking.resumed = now
        break
      }
      case "Trim":
        forgotten.add(write.stream)
        break
      case "Forget":
      case "ForgetSession":
        forgotten.add(write.id)
        break
    }
  }

  /** The outcome tells what stands under the key, and who made it. */
  const settleMade = (made: Made, outcome: Outcome, at: number) => {
    const fact = factOf(made)
    const isFresh = "fresh" in outcome && outcome.fresh
    if (isFresh) {
      // it may have been seen on the disk while the process was not told yet
      if (fact.isMade || fact.told < at) {
        violation(`the store took ${fact.name} as new, though it had it already`)
      }
      fact.isMade = true
    }
    const told = isFresh || outcome._tag !== "Stands"
      ? [made.content]
      : Array.from(fact.claims).filter(([, value]) => value === outcome.value).map(([content]) => content)
    const [stands] = told
    if (stands === undefined) {
      // the driver's own: a timer that fired, a child that ended
      if (!made.key.startsWith(keyOf("signal", ""))) {
        violation(`the store says of ${fact.name} what nobody wrote: ${JSON.stringify(outcome)}`)
      }
    } else if (isFresh || fact.claims.size === 1 || outcome._tag === "Stands") {
      if (fact.stands !== undefined && !told.includes(fact.stands)) {
        violation(`the store says of ${fact.name} ${stands}, though it had ${fact.stands}`)
      }
      fact.stands ??= stands
      fact.told = Math.min(fact.told, now)
    }
    if (outcome._tag === "Appended") {
      const before = seqs.get(made.key)
      if (before !== undefined && before !== outcome.seq) {
        violation(`the store gives ${fact.name} number ${outcome.seq}, though it had number ${before}`)
      }
      seqs.set(made.key, outcome.seq)
    }
  }

  /** It says that the write came too late, or that there is nothing to write to. */
  const settleRefusal = (write: Write, { _tag }: Outcome) => {
    const id = "stream" in write ? write.stream : "id" in write ? write.id : ""
    const has = (kind: string) => facts.get(keyOf(kind, id))?.stands !== undefined
    if (mayBeGone(id)) {
      return
    }
    if (_tag === "Missing" && (has("execution") || has("stream")) && !("session" in write)) {
      violation(`the store knows nothing of ${short(id)}, to which ${write._tag} belongs, though it had it`)
    } else if (_tag === "Completed" && (facts.get(keyOf("result", id))?.claims.size ?? 0) === 0) {
      violation(`the store says that ${short(id)} is complete, though nobody completed it`)
    } else if (_tag === "Closed" && !lasts.has(id)) {
      violation(`the store says that stream ${short(id)} is closed, though it got no last event`)
    }
  }

  const settleWrite = (write: Write, outcome: Outcome, at: number) => {
    if (outcome._tag === "Missing" || outcome._tag === "Completed" || outcome._tag === "Closed") {
      return settleRefusal(write, outcome)
    }
    const made = madeBy(write)
    // a refusal of retention, and a timer under the name of a signal, make nothing
    if (made !== undefined && !(outcome._tag === "Armed" && !outcome.fresh)) {
      settleMade(made, outcome, at)
    }
    if (write._tag === "SetSession") {
      const variable = variableOf(write.id, write.name)
      variable.isTold = true
      if (outcome._tag === "Made" && outcome.fresh) {
        for (const earlier of Array.from(variable.candidates.keys())) {
          if (earlier < at) {
            variable.candidates.delete(earlier)
          }
        }
      }
    } else if (write._tag === "Park" && outcome._tag === "Parked" && outcome.parked) {
      const parking = parkingOf(write.id)
      // a `Resume` that was written while this was on its way comes after it
      parking.stands = parking.resumed < at ? write : undefined
    }
  }

  /** A last event had been written before, so that the stream may have taken no more. */
  const mayBeClosed = (stream: string, at: number): boolean =>
    Array.from(lasts.get(stream) ?? []).some((key) => (facts.get(keyOf("event", stream, key))?.begun ?? now) < at)

  /** A commit is acknowledged only when all is stored that was submitted before it began. */
  const settleQueued = (process: number, at: number) => {
    const submits = queued.get(process) ?? []
    for (let submit = submits[0]; submit !== undefined && submit.at < at; submit = submits[0]) {
      submits.shift()
      for (const write of submit.writes) {
        const made = madeBy(write)
        if (made !== undefined && write._tag === "Append" && !mayBeClosed(write.stream, submit.at)) {
          factOf(made).promised = true
        }
      }
    }
  }

  return {
    facts,
    variables,
    parkings,
    seqs,
    lasts,
    mayBeGone,
    begin: (_process, operation) => {
      numbers.set(operation, ++now)
      operation.writes.forEach(beginWrite)
    },
    settle: (process, operation, settled) => {
      const at = numbers.get(operation) ?? 0
      if (settled._tag === "Queued") {
        queued.set(process, [...queued.get(process) ?? [], { writes: operation.writes, at: now }])
        return
      }
      if (settled._tag === "Failed") {
        return
      }
      settled.outcomes.forEach((outcome, i) => {
        const write = operation.writes[i]
        if (write !== undefined) {
          settleWrite(write, outcome, at)
        }
      })
      if (settled._tag === "Acknowledged") {
        if (settled.outcomes.length !== operation.writes.length) {
          violation(`the store answers ${operation.writes.length} writes with ${settled.outcomes.length} outcomes`)
        }
        settleQueued(process, at)
      }
    },
    seen: (fact, content) => {
      fact.stands = content
      fact.told = Math.min(fact.told, now)
    },
    forgetClaims: () => {
      queued.clear()
      for (const fact of facts.values()) {
        const value = fact.stands === undefined ? undefined : fact.claims.get(fact.stands)
        fact.claims.clear()
        fact.promised = false
        if (fact.stands !== undefined) {
          fact.claims.set(fact.stands, value ?? fact.stands)
        }
      }
    }
  }
}
