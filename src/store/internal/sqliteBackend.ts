/**
 * The store's contract on an open SQLite database.
 *
 * @internal
 */
import type { ExecutionRecord, ExecutionSummary, SessionRecord, StreamRecord } from "../Store.ts"
import type { Backend, Page } from "./Backend.ts"
import * as Errors from "./sqliteErrors.ts"
import type { OpenFile } from "./sqliteFile.ts"
import type { SessionRow, StreamRow, SummaryRow } from "./sqliteStatements.ts"
import * as Statements from "./sqliteStatements.ts"
import * as Writes from "./sqliteWrites.ts"

/** @internal */
export const make = ({ db, file, isOpen }: OpenFile): Backend => {
  const statements = Statements.make(db)
  const heads = new Writes.Heads(statements)

  const guard = <A>(body: () => A): A => {
    if (!isOpen()) throw Errors.fenced(file)
    try {
      return body()
    } catch (cause) {
      throw Errors.fromCause(file, cause)
    }
  }

  const sessionRecord = (row: SessionRow): SessionRecord => ({
    id: row.id,
    principal: row.principal,
    data: row.data,
    createdAt: row.created_at,
    ended: row.ended === 1,
    facts: new Map(statements.facts.all(row.no).map((fact) => [fact.name, fact.value]))
  })

  return {
    apply: (commits, now) =>
      guard(() => {
        statements.begin.run()
        try {
          const outcomes = commits.map((writes) => writes.map((write) => Writes.apply(statements, heads, write, now)))
          statements.commit.run()
          return outcomes
        } catch (cause) {
          heads.clear()
          // SQLite rolls back by itself when the disk is full.
          if (db.isTransaction) statements.rollback.run()
          throw cause
        }
      }),

    key: (name) => guard(() => statements.key.get(name)?.value),

    session: (id) =>
      guard(() => {
        const row = statements.session.get(id)
        return row && sessionRecord(row)
      }),

    execution: (id) =>
      guard((): ExecutionRecord | undefined => {
        const row = statements.execution.get(id)
        return row && {
          id,
          workflow: row.workflow,
          payload: row.payload,
          parent: row.parent ?? undefined,
          createdAt: row.created_at,
          steps: statements.steps.all(row.no).map((step) => ({
            name: step.name,
            key: step.key,
            kind: step.kind,
            root: step.root === 1,
            version: step.version,
            exit: step.exit,
            recordedAt: step.recorded_at
          })),
          signals: statements.signals.all(row.no).map((signal) => ({
            name: signal.name,
            exit: signal.exit,
            recordedAt: signal.recorded_at
          })),
          timers: new Map(statements.timers.all(row.no).map((timer) => [timer.name, timer.at])),
          cancel: row.cancel ?? undefined,
          parked: row.park === null ? undefined : { state: row.park, reason: row.reason ?? undefined },
          recoveries: row.recoveries,
          result: row.result ?? undefined,
          completedAt: row.completed_at ?? undefined
        }
      }),

    stream: (by) =>
      guard(() => {
        const row = "id" in by ? statements.streamById.get(by.id) : streamOfToken(statements, by.token)
        return row && streamRecord(row)
      }),

    events: (stream, afterSeq, limit) =>
      guard(() => {
        const head = statements.streamHead.get(stream)
        if (!head) return { events: [], trimmed: false, closed: false }
        const from = Math.max(afterSeq, head.kept_from - 1)
        const rows = statements.events.all(head.no, from, limit)
        return {
          events: rows.map((row) => ({ seq: row.seq, key: row.key, data: row.data ?? undefined })),
          trimmed: afterSeq + 1 < head.kept_from,
          closed: head.closed === 1 && (rows.at(-1)?.seq ?? from) >= head.last_seq
        }
      }),

    sessions: (query, after, limit) =>
      guard(() =>
        page(
          statements.sessions.all(
            query.principal ?? null,
            query.ended === undefined ? null : Number(query.ended),
            query.writtenBefore ?? null,
            after,
            limit
          ),
          limit,
          sessionRecord
        )
      ),

    streams: (query, after, limit) =>
      guard(() =>
        page(
          query.closedBefore !== undefined
            ? statements.streamsClosedBefore.all(after, limit, query.closedBefore, query.session ?? null)
            : query.session !== undefined
            ? statements.streamsBySession.all(after, limit, query.session)
            : statements.streams.all(after, limit),
          limit,
          streamRecord
        )
      ),

    list: (query, after, limit) =>
      guard(() => {
        const statement = query.session !== undefined
          ? statements.executionsOfSession
          : query.completedBefore !== undefined
          ? statements.executionsCompleted
          : statements.executions
        const rows = statement.all(
          after,
          limit,
          query.workflow ?? null,
          query.session ?? null,
          query.states === undefined ? null : JSON.stringify(query.states),
          query.completedBefore ?? null
        )
        return page(rows, limit, summary)
      }),

    runnable: (after, limit) =>
      guard(() =>
        page(statements.runnable.all(after, limit), limit, (row) => ({ id: row.id, cutOff: row.cutOff === 1 }))
      ),

    standing: (id) =>
      guard(() => {
        const row = statements.standing.get(id)
        return row && { parent: row.parent ?? undefined, state: row.state }
      }),

    nextTimer: () => guard(() => statements.nextTimer.get()?.at ?? undefined),

    dueTimers: (now, limit) =>
      guard(() => statements.dueTimers.all(now, limit).map(({ exit, id, name }) => ({ id, name, exit })))
  }
}

/** A full page may have one after it; its cursor is the number of its last row. */
const page = <Row extends { readonly no: number }, A>(
  rows: ReadonlyArray<Row>,
  limit: number,
  f: (row: Row) => A
): Page<A> => ({
  items: rows.map(f),
  next: rows.length < limit ? undefined : rows.at(-1)?.no
})

/** Tokens come back from clients: only the one spelling that was given out is a token. */
const streamOfToken = (statements: Statements.Statements, token: string): StreamRow | undefined =>
  /^[1-9][0-9]{0,15}$/.test(token) && Number.isSafeInteger(Number(token))
    ? statements.streamByNo.get(Number(token))
    : undefined

const streamRecord = (row: StreamRow): StreamRecord => ({
  stream: row.id,
  token: String(row.no),
  session: row.session ?? undefined,
  principal: row.principal,
  requestDigest: row.digest,
  version: row.version,
  execution: row.execution ?? undefined,
  createdAt: row.created_at,
  lastSeq: row.last_seq,
  closed: row.closed === 1,
  forgotten: row.tombstone === 1
})

const summary = (row: SummaryRow): ExecutionSummary => ({
  id: row.id,
  workflow: row.workflow,
  createdAt: row.created_at,
  completedAt: row.completed_at ?? undefined,
  state: row.state,
  cancel: row.cancel ?? undefined,
  reason: row.reason ?? undefined,
  recoveries: row.recoveries,
  session: row.session ?? undefined
})
