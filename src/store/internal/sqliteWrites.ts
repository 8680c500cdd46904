/**
 * What each write does to the tables. The first write under a key wins.
 *
 * @internal
 */
import type { OpenStream, Outcome, Park, RecordStep, StartExecution, Write } from "../Store.ts"
import type { ExecutionHead, Statements, StreamHead } from "./sqliteStatements.ts"

const missing: Outcome = { _tag: "Missing" }
const completed: Outcome = { _tag: "Completed" }
const closed: Outcome = { _tag: "Closed" }
const made = (fresh: boolean): Outcome => ({ _tag: "Made", fresh })

/** Most streams whose heads are kept. */
const maxHeads = 1_024

/**
 * The heads of streams that are written to, so that each event does not look
 * its stream up again. What a transaction that was rolled back undoes must be
 * undone here too: then `clear` it.
 *
 * @internal
 */
export class Heads {
  readonly #heads = new Map<string, StreamHead>()
  readonly #sql: Statements

  constructor(sql: Statements) {
    this.#sql = sql
  }

  get(stream: string): StreamHead | undefined {
    const kept = this.#heads.get(stream)
    if (kept !== undefined) return kept
    const head = this.#sql.streamHead.get(stream)
    return head && this.set(stream, head)
  }

  set(stream: string, head: StreamHead): StreamHead {
    if (this.#heads.size >= maxHeads) this.clear()
    this.#heads.set(stream, head)
    return head
  }

  clear(): void {
    this.#heads.clear()
  }
}

/**
 * Within a transaction of the caller, who rolls back and clears `heads` when
 * this throws.
 *
 * @internal
 */
export const apply = (sql: Statements, heads: Heads, write: Write, now: number): Outcome => {
  switch (write._tag) {
    case "OpenSession": {
      if (sql.session.get(write.id)) return made(false)
      sql.addSession.run(intern(sql, write.id), write.principal, write.data, now)
      return made(true)
    }
    case "SetSession": {
      const session = sql.session.get(write.id)
      if (!session || session.ended === 1) return missing
      if (sql.setFact.run(session.no, write.name, write.writeKey, write.value) === 0) return made(false)
      sql.touchSession.run(session.no, now)
      return made(true)
    }
    case "EndSession": {
      const session = sql.session.get(write.id)
      if (!session) return missing
      if (session.ended === 1) return made(false)
      sql.endSession.run(session.no)
      return made(true)
    }
    case "ForgetSession":
      heads.clear()
      return forgetSession(sql, write.id)

    case "PutKey": {
      const fresh = sql.addKey.run(write.name, write.value) > 0
      return { _tag: "Stands", fresh, value: fresh ? write.value : sql.key.get(write.name)!.value }
    }

    case "OpenStream":
      return openStream(sql, heads, write, now)
    case "Append": {
      const stream = heads.get(write.stream)
      if (!stream) return missing
      if (stream.tombstone === 1) return closed
      const seq = stream.last_seq + 1
      if (stream.closed === 0 && sql.append.run(stream.no, seq, write.key, write.data ?? null) > 0) {
        if (write.last === true) sql.closeStream.run(stream.no, now)
        heads.set(write.stream, { ...stream, last_seq: seq, closed: write.last === true ? 1 : 0 })
        return { _tag: "Appended", fresh: true, seq }
      }
      const first = sql.seqOfKey.get(stream.no, write.key)
      return first ? { _tag: "Appended", fresh: false, seq: first.seq } : closed
    }
    case "Trim": {
      const stream = sql.streamHead.get(write.stream)
      if (!stream) return missing
      if (stream.tombstone === 1) return made(false)
      const keptFrom = Math.min(write.beforeSeq, stream.last_seq + 1)
      if (keptFrom <= stream.kept_from) return made(false)
      sql.trimEvents.run(stream.no, stream.kept_from, keptFrom)
      sql.trimStream.run(stream.no, keptFrom)
      heads.clear()
      return made(true)
    }

    case "StartExecution":
      return startExecution(sql, heads, write, now)
    case "BeginRecovery":
      return withRunning(sql, write.id, (execution) => {
        const fresh = execution.boot !== write.boot
        if (fresh) sql.beginRecovery.run(execution.no, write.boot)
        return { _tag: "Recovering", fresh, recoveries: execution.recoveries + (fresh ? 1 : 0) }
      })
    case "RecordStep":
      return recordStep(sql, write, now)
    case "Signal":
      return withRunning(sql, write.id, (execution) => {
        if (addSignal(sql, execution, write.name, write.exit, now)) {
          return { _tag: "Stands", fresh: true, value: write.exit }
        }
        return { _tag: "Stands", fresh: false, value: sql.signalExit.get(execution.no, write.name)!.value }
      })
    case "ArmTimer":
      return withRunning(sql, write.id, (execution) => {
        const stands = sql.timer.get(execution.no, write.name)
        if (stands) return { _tag: "Armed", fresh: false, at: stands.at }
        if (sql.signalExit.get(execution.no, write.name)) return { _tag: "Armed", fresh: false, at: write.at }
        sql.addTimer.run(execution.no, write.name, write.at, write.exit)
        return { _tag: "Armed", fresh: true, at: write.at }
      })
    case "RequestCancel":
      return withRunning(sql, write.id, (execution) => {
        if (execution.cancel !== null) return made(false)
        sql.cancel.run(execution.no, write.mode)
        if (execution.park === "waiting" || execution.park === "stuck") sql.unpark.run(execution.no)
        return made(true)
      })
    case "Park":
      return withRunning(sql, write.id, (execution) => {
        const parked = !hasNews(execution, write)
        if (parked) sql.park.run(execution.no, write.state, write.reason ?? null)
        else sql.unpark.run(execution.no)
        return { _tag: "Parked", parked }
      })
    case "Resume":
      return withRunning(sql, write.id, (execution) => {
        if (execution.park === null) return made(false)
        sql.resetRecoveries.run(execution.no)
        sql.unpark.run(execution.no)
        return made(true)
      })
    case "Complete":
      return complete(sql, write.id, write.result, now)
    case "Forget":
      heads.clear()
      return forget(sql, write.id, now)
  }
}

/** The number of an id, which it keeps for as long as anything refers to it. */
const intern = (sql: Statements, id: string): number => (sql.name.get(id) ?? sql.addName.get(id)!).no

const openStream = (sql: Statements, heads: Heads, write: OpenStream, now: number): Outcome => {
  const stands = heads.get(write.stream)
  if (stands) {
    return {
      _tag: "Opened",
      fresh: false,
      token: String(stands.no),
      requestDigest: stands.digest,
      closed: stands.closed === 1,
      forgotten: stands.tombstone === 1
    }
  }
  const name = intern(sql, write.stream)
  const { no } = sql.addStream.get(
    name,
    write.session === undefined ? null : intern(sql, write.session),
    write.principal,
    write.requestDigest,
    write.version,
    write.execution === undefined ? null : write.execution === write.stream ? name : intern(sql, write.execution),
    now
  )!
  heads.set(write.stream, { no, digest: write.requestDigest, closed: 0, kept_from: 1, tombstone: 0, last_seq: 0 })
  return {
    _tag: "Opened",
    fresh: true,
    token: String(no),
    requestDigest: write.requestDigest,
    closed: false,
    forgotten: false
  }
}

/** The outcome for an execution that can still run. */
const withRunning = (sql: Statements, id: string, f: (execution: ExecutionHead) => Outcome): Outcome => {
  const execution = sql.executionHead.get(id)
  if (!execution) return missing
  return execution.done === 1 ? completed : f(execution)
}

const startExecution = (sql: Statements, heads: Heads, write: StartExecution, now: number): Outcome => {
  if (sql.executionHead.get(write.id) || heads.get(write.id)?.tombstone === 1) return made(false)
  const parent = write.parent === undefined ? null : intern(sql, write.parent)
  sql.addExecution.run(intern(sql, write.id), write.workflow, write.payload, parent, now)
  return made(true)
}

const recordStep = (sql: Statements, write: RecordStep, now: number): Outcome =>
  withRunning(sql, write.id, (execution) => {
    const { exit, key, kind, name, root, version } = write
    if (sql.addStep.run(execution.no, name, key, kind, Number(root), version, exit, now) === 0) {
      return { _tag: "Stands", fresh: false, value: sql.stepExit.get(execution.no, name)!.value }
    }
    if (execution.recoveries > 0) sql.resetRecoveries.run(execution.no)
    return { _tag: "Stands", fresh: true, value: exit }
  })

const addSignal = (sql: Statements, execution: ExecutionHead, name: string, exit: string, now: number): boolean => {
  if (sql.addSignal.run(execution.no, execution.signals + 1, name, exit, now) === 0) return false
  sql.countSignal.run(execution.no)
  sql.disarm.run(execution.no, name)
  return true
}

/** Whether something has come that the run which wants to park did not see. */
const hasNews = (execution: ExecutionHead, park: Park): boolean => {
  switch (park.state) {
    case "waiting":
      return execution.signals > park.seenSignals || (execution.cancel !== null && !park.seenCancel)
    case "stuck":
      return execution.cancel !== null && !park.seenCancel
    case "stopped":
      return false
  }
}

const complete = (sql: Statements, id: string, result: string, now: number): Outcome => {
  const execution = sql.executionHead.get(id)
  if (!execution) return missing
  if (execution.tombstone === 1) return completed
  if (execution.done === 1) return { _tag: "Stands", fresh: false, value: sql.result.get(execution.no)!.value }
  sql.complete.run(execution.no, result, now)
  sql.dropTimers.run(execution.no)
  if (execution.parent !== null) {
    const parent = sql.executionHead.get(execution.parent)
    if (parent && parent.done === 0) addSignal(sql, parent, `child/${id}`, result, now)
  }
  return { _tag: "Stands", fresh: true, value: result }
}

const forget = (sql: Statements, id: string, now: number): Outcome => {
  const execution = sql.executionHead.get(id)
  const stream = sql.streamHead.get(id)
  if (!execution && !stream) return missing
  const isFinished = execution ? execution.done === 1 : stream?.closed === 1
  if (!isFinished || (execution ?? stream)?.tombstone === 1) return made(false)
  if (execution) {
    sql.dropSteps.run(execution.no)
    sql.dropSignals.run(execution.no)
    sql.buryExecution.run(execution.no)
  }
  if (stream?.tombstone === 0) {
    sql.buryStream.run(stream.no, stream.last_seq, now)
    sql.dropEvents.run(stream.no)
  }
  return made(true)
}

const forgetSession = (sql: Statements, id: string): Outcome => {
  const session = sql.session.get(id)
  if (!session) return missing
  if (session.ended === 0) return made(false)
  const streams = sql.streamsOfSession.all(session.name)
  // Of each stream the execution with its id, and its children and theirs. A set grows while it is walked.
  const names = new Set(streams.map((stream) => stream.name))
  for (const name of names) {
    if (sql.executionByName.get(name)?.done === 0) return made(false)
    for (const child of sql.children.all(name)) names.add(child.name)
  }
  const unused = new Set([session.name, ...names])
  for (const name of names) {
    const execution = sql.executionByName.get(name)
    if (!execution) continue
    sql.dropSteps.run(execution.no)
    sql.dropSignals.run(execution.no)
    sql.dropExecution.run(execution.no)
    if (execution.parent !== null) unused.add(execution.parent)
  }
  for (const stream of streams) {
    sql.dropEvents.run(stream.no)
    sql.dropStream.run(stream.no)
    if (stream.execution !== null) unused.add(stream.execution)
  }
  sql.dropFacts.run(session.no)
  sql.dropSession.run(session.no)
  for (const name of unused) sql.dropName.run(name)
  return made(true)
}
