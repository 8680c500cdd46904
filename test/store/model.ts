/**
 * What a store has to answer, as a pure function of the facts it was given: a
 * list of fresh writes, searched for each question. Shares no code with any
 * backend, and knows no token.
 */
import type {
  EventPage,
  ExecutionQuery,
  ExecutionRecord,
  ExecutionSummary,
  Outcome,
  SessionQuery,
  SessionRecord,
  StreamQuery,
  StreamRecord,
  Write
} from "../../src/store/Store.ts"

/** A write that changed something, when, and (of a `Park`) whether it stood. */
interface Fact {
  readonly write: Write
  readonly at: number
  readonly stood: boolean
}

export type Model = ReadonlyArray<Fact>

export const empty: Model = []

type Of<T extends Write["_tag"]> = Extract<Write, { readonly _tag: T }>

interface FactOf<T extends Write["_tag"]> extends Fact {
  readonly write: Of<T>
}

const all = <T extends Write["_tag"]>(
  model: Model,
  tag: T,
  fields: Partial<Of<T>> = {}
): ReadonlyArray<FactOf<T>> =>
  model.filter((fact): fact is FactOf<T> =>
    fact.write._tag === tag &&
    Object.entries(fields).every(([field, value]) =>
      (fact.write as unknown as Record<string, unknown>)[field] === value
    )
  )

const first = <T extends Write["_tag"]>(model: Model, tag: T, fields: Partial<Of<T>>): FactOf<T> | undefined =>
  all(model, tag, fields)[0]

const has = <T extends Write["_tag"]>(model: Model, tag: T, fields: Partial<Of<T>>): boolean =>
  first(model, tag, fields) !== undefined

// -----------------------------------------------------------------------------
// sessions
// -----------------------------------------------------------------------------

const presentFacts = (model: Model, id: string): ReadonlyMap<string, Of<"SetSession">> =>
  new Map(all(model, "SetSession", { id }).map((fact) => [fact.write.name, fact.write]))

const sessionOf = (model: Model, fact: FactOf<"OpenSession">): SessionRecord => ({
  id: fact.write.id,
  principal: fact.write.principal,
  data: fact.write.data,
  createdAt: fact.at,
  ended: has(model, "EndSession", { id: fact.write.id }),
  facts: new Map(Array.from(presentFacts(model, fact.write.id), ([name, write]) => [name, write.value]))
})

/** Ids of the executions that go with a session. */
const idsOf = (model: Model, session: string): ReadonlySet<string> => {
  const withChildren = (ids: ReadonlySet<string>): ReadonlySet<string> => {
    const more = new Set([
      ...ids,
      ...all(model, "StartExecution").flatMap(({ write }) =>
        write.parent !== undefined && ids.has(write.parent) ? [write.id] : []
      )
    ])
    return more.size === ids.size ? ids : withChildren(more)
  }
  return withChildren(new Set(all(model, "OpenStream", { session }).map(({ write }) => write.stream)))
}

const withoutSession = (model: Model, session: string): Model => {
  const executions = idsOf(model, session)
  const streams = new Set(all(model, "OpenStream", { session }).map(({ write }) => write.stream))
  return model.filter(({ write }) => {
    switch (write._tag) {
      case "OpenSession":
      case "SetSession":
      case "EndSession":
      case "ForgetSession": {
        return write.id !== session
      }
      case "PutKey": {
        return true
      }
      case "OpenStream":
      case "Append":
      case "Trim": {
        return !streams.has(write.stream)
      }
      case "Forget": {
        // a descendant's stream that is not of this session stays what it is: forgotten
        return !streams.has(write.id) &&
          (!executions.has(write.id) || forgottenStream(model, write.id) !== undefined)
      }
      default: {
        return !executions.has(write.id)
      }
    }
  })
}

// -----------------------------------------------------------------------------
// streams
// -----------------------------------------------------------------------------

const appendsOf = (model: Model, stream: string) =>
  all(model, "Append", { stream }).map(({ at, write }, index) => ({ ...write, at, seq: index + 1 }))

/** Seq of the last event that was trimmed. */
const trimmedOf = (model: Model, stream: string): number => {
  let lastSeq = 0
  let trimmed = 0
  for (const { write } of model) {
    if (write._tag === "Append" && write.stream === stream) {
      lastSeq++
    } else if (write._tag === "Trim" && write.stream === stream) {
      trimmed = Math.max(trimmed, Math.min(write.beforeSeq - 1, lastSeq))
    } else if (write._tag === "Forget" && write.id === stream) {
      trimmed = lastSeq
    }
  }
  return trimmed
}

const isForgotten = (model: Model, id: string): boolean => has(model, "Forget", { id })

/** A stream that was opened under the id of an execution forgotten before is not. */
const forgottenStream = (model: Model, stream: string): FactOf<"Forget"> | undefined => {
  const opened = first(model, "OpenStream", { stream })
  return opened && first(model.slice(model.indexOf(opened)), "Forget", { id: stream })
}

const closedAtOf = (model: Model, stream: string): number | undefined =>
  appendsOf(model, stream).find((append) => append.last === true)?.at ?? forgottenStream(model, stream)?.at

const streamOf = (model: Model, fact: FactOf<"OpenStream">): Omit<StreamRecord, "token"> => {
  const { execution, principal, requestDigest, session, stream, version } = fact.write
  return {
    stream,
    session,
    principal,
    requestDigest,
    version,
    execution,
    createdAt: fact.at,
    lastSeq: appendsOf(model, stream).length,
    closed: closedAtOf(model, stream) !== undefined,
    forgotten: forgottenStream(model, stream) !== undefined
  }
}

// -----------------------------------------------------------------------------
// executions
// -----------------------------------------------------------------------------

const resultOf = (model: Model, id: string) => first(model, "Complete", { id })

/** The park that stands, and how many recoveries count. */
const standingOf = (model: Model, id: string) => {
  let parked: ExecutionRecord["parked"]
  let recoveries = 0
  for (const { stood, write } of model) {
    if (!("id" in write) || write.id !== id) {
      continue
    }
    if (write._tag === "Park") {
      parked = stood ? { state: write.state, reason: write.reason } : undefined
      recoveries = stood ? 0 : recoveries
    } else if (write._tag === "Signal" && parked?.state === "waiting") {
      parked = undefined
    } else if (write._tag === "RequestCancel" && parked?.state !== "stopped") {
      parked = undefined
    } else if (write._tag === "Complete") {
      parked = undefined
    } else if (write._tag === "Resume") {
      parked = undefined
      recoveries = 0
    } else if (write._tag === "RecordStep") {
      recoveries = 0
    } else if (write._tag === "BeginRecovery") {
      recoveries++
    }
  }
  return { parked, recoveries }
}

export const stateOf = (model: Model, id: string): ExecutionSummary["state"] =>
  resultOf(model, id) !== undefined ? "completed" : standingOf(model, id).parked?.state ?? "running"

const armedOf = (model: Model, id: string) =>
  resultOf(model, id) !== undefined ?
    [] :
    all(model, "ArmTimer", { id }).map(({ write }) => write).filter(({ name }) => !has(model, "Signal", { id, name }))

const executionOf = (model: Model, fact: FactOf<"StartExecution">): ExecutionRecord => {
  const { id, parent, payload, workflow } = fact.write
  const complete = resultOf(model, id)
  return {
    id,
    workflow,
    payload,
    parent,
    createdAt: fact.at,
    steps: all(model, "RecordStep", { id }).map(({ at, write: { exit, key, kind, name, root, version } }) => ({
      name,
      key,
      kind,
      root,
      version,
      exit,
      recordedAt: at
    })),
    signals: all(model, "Signal", { id }).map(({ at, write: { exit, name } }) => ({ name, exit, recordedAt: at })),
    timers: new Map(armedOf(model, id).map((timer) => [timer.name, timer.at])),
    cancel: first(model, "RequestCancel", { id })?.write.mode,
    ...standingOf(model, id),
    result: complete?.write.result,
    completedAt: complete?.at
  }
}

const liveExecutions = (model: Model): ReadonlyArray<FactOf<"StartExecution">> =>
  all(model, "StartExecution").filter(({ write }) => !isForgotten(model, write.id))

const summaryOf = (model: Model, fact: FactOf<"StartExecution">): ExecutionSummary => {
  const record = executionOf(model, fact)
  return {
    id: record.id,
    workflow: record.workflow,
    createdAt: record.createdAt,
    completedAt: record.completedAt,
    state: stateOf(model, record.id),
    cancel: record.cancel,
    reason: record.parked?.reason,
    recoveries: record.recoveries,
    session: first(model, "OpenStream", { stream: record.id })?.write.session
  }
}

// -----------------------------------------------------------------------------
// writes
// -----------------------------------------------------------------------------

/** `Opened` without the token, which only the backend knows. */
export type ModelOutcome =
  | Exclude<Outcome, { readonly _tag: "Opened" }>
  | Omit<
    Extract<Outcome, { readonly _tag: "Opened" }>,
    "token"
  >

const made = (fresh: boolean): ModelOutcome => ({ _tag: "Made", fresh })
const stands = (fresh: boolean, value: string): ModelOutcome => ({ _tag: "Stands", fresh, value })

export const write = (model: Model, write: Write, at: number): readonly [Model, ModelOutcome] => {
  const outcome = outcomeOf(model, write)
  const fresh = "fresh" in outcome && outcome.fresh
  if (!fresh && outcome._tag !== "Parked") {
    return [model, outcome]
  }
  const fact: Fact = { write, at, stood: outcome._tag !== "Parked" || outcome.parked }
  if (write._tag === "ForgetSession") {
    return [withoutSession(model, write.id), outcome]
  }
  const parent = write._tag === "Complete" ? first(model, "StartExecution", { id: write.id })?.write.parent : undefined
  if (write._tag === "Complete" && parent !== undefined) {
    const signal: Write = { _tag: "Signal", id: parent, name: `child/${write.id}`, exit: write.result }
    return [writeAll([...model, fact], [signal], at)[0], outcome]
  }
  return [[...model, fact], outcome]
}

export const writeAll = (
  model: Model,
  writes: ReadonlyArray<Write>,
  at: number
): readonly [Model, ReadonlyArray<ModelOutcome>] =>
  writes.reduce<readonly [Model, ReadonlyArray<ModelOutcome>]>(([before, outcomes], next) => {
    const [after, outcome] = write(before, next, at)
    return [after, [...outcomes, outcome]]
  }, [model, []])

const outcomeOf = (model: Model, write: Write): ModelOutcome => {
  switch (write._tag) {
    case "OpenSession": {
      return made(!has(model, "OpenSession", { id: write.id }))
    }
    case "SetSession": {
      return !has(model, "OpenSession", { id: write.id }) || has(model, "EndSession", { id: write.id })
        ? { _tag: "Missing" }
        : made(presentFacts(model, write.id).get(write.name)?.writeKey !== write.writeKey)
    }
    case "EndSession": {
      return has(model, "OpenSession", { id: write.id })
        ? made(!has(model, "EndSession", { id: write.id }))
        : { _tag: "Missing" }
    }
    case "ForgetSession": {
      const ids = idsOf(model, write.id)
      return has(model, "OpenSession", { id: write.id })
        ? made(
          has(model, "EndSession", { id: write.id }) &&
            all(model, "StartExecution").every(({ write: { id } }) => !ids.has(id) || resultOf(model, id) !== undefined)
        )
        : { _tag: "Missing" }
    }
    case "PutKey": {
      const before = first(model, "PutKey", { name: write.name })
      return stands(before === undefined, (before?.write ?? write).value)
    }
    case "OpenStream": {
      const before = first(model, "OpenStream", { stream: write.stream })
      return {
        _tag: "Opened",
        fresh: before === undefined,
        requestDigest: (before?.write ?? write).requestDigest,
        closed: before !== undefined && closedAtOf(model, write.stream) !== undefined,
        forgotten: forgottenStream(model, write.stream) !== undefined
      }
    }
    case "Append": {
      if (!has(model, "OpenStream", { stream: write.stream })) {
        return { _tag: "Missing" }
      }
      const appends = appendsOf(model, write.stream)
      const before = appends.find(({ key }) => key === write.key)
      if (before !== undefined && forgottenStream(model, write.stream) === undefined) {
        return { _tag: "Appended", fresh: false, seq: before.seq }
      }
      return closedAtOf(model, write.stream) !== undefined
        ? { _tag: "Closed" }
        : { _tag: "Appended", fresh: true, seq: appends.length + 1 }
    }
    case "Trim": {
      return has(model, "OpenStream", { stream: write.stream })
        ? made(
          Math.min(write.beforeSeq - 1, appendsOf(model, write.stream).length) > trimmedOf(model, write.stream)
        )
        : { _tag: "Missing" }
    }
    case "StartExecution": {
      return made(!has(model, "StartExecution", { id: write.id }) && !isForgotten(model, write.id))
    }
    case "Complete": {
      const before = resultOf(model, write.id)
      return !has(model, "StartExecution", { id: write.id })
        ? { _tag: "Missing" }
        : isForgotten(model, write.id)
        ? { _tag: "Completed" }
        : stands(before === undefined, (before?.write ?? write).result)
    }
    case "Forget": {
      if (!has(model, "StartExecution", { id: write.id }) && !has(model, "OpenStream", { stream: write.id })) {
        return { _tag: "Missing" }
      }
      const finished = has(model, "StartExecution", { id: write.id })
        ? resultOf(model, write.id) !== undefined
        : closedAtOf(model, write.id) !== undefined
      return made(finished && !isForgotten(model, write.id))
    }
    default: {
      return !has(model, "StartExecution", { id: write.id })
        ? { _tag: "Missing" }
        : resultOf(model, write.id) !== undefined
        ? { _tag: "Completed" }
        : outcomeOfRun(model, write)
    }
  }
}

const outcomeOfRun = (
  model: Model,
  write: Of<"BeginRecovery" | "RecordStep" | "Signal" | "ArmTimer" | "RequestCancel" | "Park" | "Resume">
): ModelOutcome => {
  const { id } = write
  switch (write._tag) {
    case "BeginRecovery": {
      const fresh = all(model, "BeginRecovery", { id }).at(-1)?.write.boot !== write.boot
      return { _tag: "Recovering", fresh, recoveries: standingOf(model, id).recoveries + (fresh ? 1 : 0) }
    }
    case "RecordStep": {
      const before = first(model, "RecordStep", { id, name: write.name })
      return stands(before === undefined, (before?.write ?? write).exit)
    }
    case "Signal": {
      const before = first(model, "Signal", { id, name: write.name })
      return stands(before === undefined, (before?.write ?? write).exit)
    }
    case "ArmTimer": {
      const before = first(model, "ArmTimer", { id, name: write.name })
      const signalled = has(model, "Signal", { id, name: write.name })
      return { _tag: "Armed", fresh: before === undefined && !signalled, at: (before?.write ?? write).at }
    }
    case "RequestCancel": {
      return made(!has(model, "RequestCancel", { id }))
    }
    case "Park": {
      const newSignals = all(model, "Signal", { id }).length > write.seenSignals
      const newCancel = has(model, "RequestCancel", { id }) && !write.seenCancel
      const news = { stopped: false, stuck: newCancel, waiting: newCancel || newSignals }
      return { _tag: "Parked", parked: !news[write.state] }
    }
    case "Resume": {
      return made(standingOf(model, id).parked !== undefined)
    }
  }
}

// -----------------------------------------------------------------------------
// reads
// -----------------------------------------------------------------------------

export const key = (model: Model, name: string): string | undefined => first(model, "PutKey", { name })?.write.value

export const session = (model: Model, id: string): SessionRecord | undefined => {
  const fact = first(model, "OpenSession", { id })
  return fact && sessionOf(model, fact)
}

export const execution = (model: Model, id: string): ExecutionRecord | undefined => {
  const fact = liveExecutions(model).find(({ write }) => write.id === id)
  return fact && executionOf(model, fact)
}

export const stream = (model: Model, id: string): Omit<StreamRecord, "token"> | undefined => {
  const fact = first(model, "OpenStream", { stream: id })
  return fact && streamOf(model, fact)
}

export const events = (model: Model, stream: string, afterSeq: number, limit: number): EventPage => {
  const trimmed = trimmedOf(model, stream)
  const rest = appendsOf(model, stream).filter(({ seq }) => seq > afterSeq && seq > trimmed)
  return {
    events: rest.slice(0, limit).map(({ data, key, seq }) => ({ seq, key, data })),
    trimmed: afterSeq < trimmed,
    closed: closedAtOf(model, stream) !== undefined && rest.length <= limit
  }
}

const matches = <A>(expected: A | undefined, actual: A): boolean => expected === undefined || expected === actual

const before = (limit: number | undefined, at: number | undefined): boolean =>
  limit === undefined || (at !== undefined && at < limit)

export const sessions = (model: Model, query: SessionQuery): ReadonlyArray<SessionRecord> =>
  all(model, "OpenSession").filter((fact) => {
    const { id, principal } = fact.write
    const writtenAt = Math.max(fact.at, ...all(model, "SetSession", { id }).map(({ at }) => at))
    return matches(query.principal, principal) && matches(query.ended, has(model, "EndSession", { id })) &&
      before(query.writtenBefore, writtenAt)
  }).map((fact) => sessionOf(model, fact))

export const streams = (model: Model, query: StreamQuery): ReadonlyArray<Omit<StreamRecord, "token">> =>
  all(model, "OpenStream").filter(({ write }) =>
    matches(query.session, write.session) && before(query.closedBefore, closedAtOf(model, write.stream)) &&
    !(query.closedBefore !== undefined && forgottenStream(model, write.stream) !== undefined)
  ).map((fact) => streamOf(model, fact))

export const list = (model: Model, query: ExecutionQuery): ReadonlyArray<ExecutionSummary> =>
  liveExecutions(model).map((fact) => summaryOf(model, fact)).filter((summary) =>
    matches(query.workflow, summary.workflow) && matches(query.session, summary.session) &&
    (query.states === undefined || query.states.includes(summary.state)) &&
    before(query.completedBefore, summary.completedAt)
  )

export const runnable = (model: Model): ReadonlyArray<{ readonly id: string; readonly cutOff: boolean }> =>
  list(model, { states: ["running", "stopped"] }).map(({ id, state }) => ({ id, cutOff: state === "running" }))

export const armedTimers = (
  model: Model
): ReadonlyArray<{ readonly id: string; readonly name: string; readonly at: number; readonly exit: string }> =>
  liveExecutions(model).flatMap(({ write }) => armedOf(model, write.id)).map(({ at, exit, id, name }) => ({
    id,
    name,
    at,
    exit
  }))
