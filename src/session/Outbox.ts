/**
 * Messages to a session that belong to no call (`list_changed`,
 * `resources/updated`), and the standalone streams (GET) that carry them.
 *
 * **Details**
 *
 * A message is queued in the session's outbox, a stream that no client sees,
 * and *moved* to the standalone stream of an open GET just before it is
 * written. So with no GET open it waits, and it is on exactly one stream
 * (S-P18): the newest GET that is open gets it. What a stream has, it keeps,
 * for `Last-Event-ID`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { type EventRecord, Store, type Write } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Facts from "./Facts.ts"
import { Ids } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import { type Session, Sessions } from "./Sessions.ts"

/**
 * `requestDigest` of a standalone stream. That of a call is a hash, which this
 * is not.
 *
 * @category constants
 * @since 0.1.0
 */
export const standaloneDigest = "standalone"

/**
 * `requestDigest` of an outbox, which no client can read.
 *
 * @category constants
 * @since 0.1.0
 */
export const outboxDigest = "outbox"

/**
 * Takes a session's messages to one standalone stream while it is the newest
 * open one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /** Moves what is queued, if this reader is the newest. True when the session has ended. */
  readonly move: Effect.Effect<boolean, StoreError>
  /** Waits until `move` may have something to do, or until `wake`. */
  readonly wait: Effect.Effect<void>
  readonly wake: () => void
  /** Idempotent. */
  readonly close: () => void
}

/**
 * @category services
 * @since 0.1.0
 */
export class Outbox extends Context.Service<Outbox, {
  /**
   * Queues a message, JSON text. Durable when it returns. A message whose
   * `topic` is queued already adds nothing. Ignored for an ended session.
   */
  readonly raise: (session: string, topic: string, message: string) => Effect.Effect<void, StoreError>
  /** A new standalone stream. Durable when it returns. */
  readonly open: (session: Session) => Effect.Effect<{ readonly stream: string; readonly token: string }, StoreError>
  /** Attaches a reader; `stream` is one of this session's standalone streams. */
  readonly read: (session: string, stream: string) => Reader
  /** Sessions that have a reader in this process. */
  readonly readers: () => ReadonlyArray<string>
  /** After `Sessions.end`: lets the readers of the session end. */
  readonly end: (session: string) => Effect.Effect<void, StoreError>
}>()("effect-durable-mcp/session/Outbox") {}

/** The readers of a session, the newest last. */
interface Box {
  readonly lock: Semaphore.Semaphore
  readonly readers: Array<{ readonly stream: string; readonly turn: Latch.Latch }>
}

const Moved = Schema.fromJsonString(Schema.Struct({ from: Schema.Int, to: Schema.Int, stream: Schema.String }))
const decodeMoved = Schema.decodeSync(Moved)
const encodeMoved = Schema.encodeSync(Moved)

const pageSize = 64

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Outbox["Service"], never, Store | Ids | Sessions> = Effect.gen(function*() {
  const store = yield* Store
  const ids = yield* Ids
  const sessions = yield* Sessions
  const kept = yield* Limits.StandaloneStreams
  const boxes = new Map<string, Box>()

  const outboxOf = (session: string): string => ids.derive("outbox", session)
  const streamOf = (session: string, number: number): string => ids.derive("standalone", session, number)

  const openOutbox = (session: string, principal: string): Write => ({
    _tag: "OpenStream",
    stream: outboxOf(session),
    session,
    principal,
    requestDigest: outboxDigest,
    version: outboxDigest // the messages have the session's, and are read on its standalone streams
  })

  /** Where several processes have readers of a session, they agree by a log of decisions, in which the first one wins. */
  const isShared = (store.role ?? "owner") !== "owner"
  const decisionsOf = (session: string): string => ids.derive("decisions", session)

  const decisionAt = Effect.fnUntraced(function*(session: string, seq: number) {
    const page = yield* store.events(decisionsOf(session), seq - 1, 1)
    const data = page.events.at(0)?.data
    return data === undefined ? undefined : decodeMoved(data)
  })

  const lastMove = Effect.fnUntraced(function*(session: string) {
    if (isShared) {
      const decisions = yield* store.stream({ id: decisionsOf(session) })
      return Option.isNone(decisions) ? undefined : yield* decisionAt(session, decisions.value.lastSeq)
    }
    const value = yield* sessions.fact(session, Facts.moved)
    return value === undefined ? undefined : decodeMoved(value)
  })

  /** What is decided for the events after `from`; undefined where that is history already, or the session has ended. */
  const decide = Effect.fnUntraced(function*({ id, principal }: Session, decision: typeof Moved.Type) {
    const data = encodeMoved(decision)
    if (!isShared) {
      return (yield* sessions.update(id, Facts.moved, () => data)) ? decision : undefined
    }
    const stream = decisionsOf(id)
    const [, appended] = yield* store.commit([
      { _tag: "OpenStream", stream, session: id, principal, requestDigest: outboxDigest, version: outboxDigest },
      { _tag: "Append", stream, key: `after/${decision.from}`, data }
    ])
    if (appended?._tag !== "Appended") return undefined
    yield* store.submit([{ _tag: "Trim", stream, beforeSeq: appended.seq }])
    return appended.fresh ? decision : yield* decisionAt(id, appended.seq)
  })

  /** Gives events of the outbox to a stream; again changes nothing. */
  const carry = (
    outbox: string,
    stream: string,
    events: ReadonlyArray<EventRecord>
  ): Effect.Effect<unknown, StoreError> => {
    const [first, ...rest] = events.map((event): Write => ({
      _tag: "Append",
      stream,
      key: `queued/${event.seq}`,
      data: event.data
    }))
    return first === undefined ? Effect.void : store.commit([
      first,
      ...rest,
      // Last: what was not carried must still be there.
      { _tag: "Trim", stream: outbox, beforeSeq: events.at(-1)!.seq + 1 }
    ])
  }

  // The decision is recorded first, then carried out; a crash between is
  // repaired by the next move, which carries out the last decision again.
  const move: (session: string, stream: string) => Effect.Effect<boolean, StoreError> = Effect.fnUntraced(
    function*(id, stream) {
      const session = yield* sessions.get(id)
      if (session === undefined) return true
      const outbox = outboxOf(id)
      const last = yield* lastMove(id)
      const page = yield* store.events(outbox, last?.from ?? 0, pageSize)
      const to = last?.to ?? 0
      if (last !== undefined) yield* carry(outbox, last.stream, page.events.filter((event) => event.seq <= to))
      const queued = page.events.filter((event) => event.seq > to && event.data !== undefined)
      const newest = queued.at(-1)
      if (newest === undefined) return page.closed
      const decided = yield* decide(session, { from: to, to: newest.seq, stream })
      // Another process was faster, or the session has ended: what is left to move is seen anew.
      if (decided === undefined) return isShared ? yield* move(id, stream) : true
      yield* carry(outbox, decided.stream, queued.filter((event) => event.seq <= decided.to))
      return decided.to < newest.seq ? yield* move(id, stream) : false
    },
    Effect.uninterruptible
  )

  const open: Outbox["Service"]["open"] = Effect.fnUntraced(function*(session: Session) {
    let number = 0
    yield* sessions.update(session.id, Facts.streams, (value) => {
      number = Number(value ?? 0) + 1
      return String(number)
    })
    const { version } = session.negotiated
    const stream = streamOf(session.id, number)
    const writes: [Write, ...Array<Write>] = [{
      _tag: "OpenStream",
      stream,
      session: session.id,
      principal: session.principal,
      requestDigest: standaloneDigest,
      version
    }]
    const oldest = streamOf(session.id, number - kept)
    if (number > kept && !boxes.get(session.id)?.readers.some((reader) => reader.stream === oldest)) {
      writes.push({ _tag: "Append", stream: oldest, key: "end", last: true }, { _tag: "Forget", id: oldest })
    }
    const [outcome] = yield* store.commit(writes)
    if (outcome?._tag !== "Opened") return yield* Effect.die(new Error("OpenStream must have the outcome Opened"))
    // Another process has taken the number.
    if (!outcome.fresh) return yield* open(session)
    return { stream, token: outcome.token }
  })

  return Outbox.of({
    raise: Effect.fnUntraced(function*(id, topic, message) {
      const session = yield* sessions.get(id)
      if (session === undefined) return
      // The key changes with each move: a topic waits in the queue once, and
      // whoever reads the queued message sees the change that raised this one.
      const moved = (yield* lastMove(id))?.to ?? 0
      yield* store.commit([
        openOutbox(id, session.principal),
        { _tag: "Append", stream: outboxOf(id), key: `${ids.derive("topic", topic)}/${moved}`, data: message }
      ])
    }),

    open,

    read: (session, stream) => {
      const box = boxes.get(session) ?? { lock: Semaphore.makeUnsafe(1), readers: [] }
      boxes.set(session, box)
      const reader = { stream, turn: Latch.makeUnsafe(true) }
      box.readers.at(-1)?.turn.closeUnsafe()
      box.readers.push(reader)
      const watch = store.watch({ _tag: "Stream", stream: outboxOf(session) })
      const woken = Latch.makeUnsafe(false)
      const isNewest = () => box.readers.at(-1) === reader
      return {
        // Under the lock also without a move: a stream that has two readers is
        // complete for the newer one when the older one's move is done.
        move: box.lock.withPermit(Effect.suspend(() => isNewest() ? move(session, stream) : Effect.succeed(false))),
        wait: Effect.raceFirst(
          Effect.suspend(() => isNewest() ? watch.next : reader.turn.await),
          Effect.andThen(woken.await, woken.close)
        ).pipe(Effect.asVoid),
        wake: () => woken.openUnsafe(),
        close: () => {
          watch.close()
          const index = box.readers.indexOf(reader)
          if (index === -1) return
          box.readers.splice(index, 1)
          box.readers.at(-1)?.turn.openUnsafe()
          if (box.readers.length === 0) boxes.delete(session)
        }
      }
    },

    readers: () => Array.from(boxes.keys()),

    end: Effect.fnUntraced(function*(id) {
      const record = boxes.has(id) ? yield* store.session(id) : Option.none()
      if (Option.isNone(record)) return
      yield* store.commit([
        openOutbox(id, record.value.principal),
        { _tag: "Append", stream: outboxOf(id), key: "end", last: true }
      ])
    })
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Outbox, never, Store | Ids | Sessions> = Layer.effect(Outbox)(make)
