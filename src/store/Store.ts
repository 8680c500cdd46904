/**
 * The only door to disk.
 *
 * Every durable write of the program is a `Write`, a fact under a deterministic
 * key, and goes through `Store.commit` or `Store.submit`. The first write under
 * a key wins; a later one changes nothing and its outcome tells what stands. So
 * a program that was cut off simply runs again and sends the same facts.
 *
 * Backends implement commits, reads and fencing. Scheduling, timers and
 * wake-ups are shared code (`internal/fromBackend.ts`).
 *
 * All values (`data`, `payload`, `exit`, `result`, `value`) are JSON text,
 * opaque to the store. Times are milliseconds since the epoch.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { StoreError } from "./StoreError.ts"

/**
 * One durable fact. Its key fields decide; the rest belongs to the first write.
 *
 * @category models
 * @since 0.1.0
 */
export type Write =
  | OpenSession
  | SetSession
  | EndSession
  | ForgetSession
  | PutKey
  | OpenStream
  | Append
  | Trim
  | StartExecution
  | BeginRecovery
  | RecordStep
  | Signal
  | ArmTimer
  | RequestCancel
  | Park
  | Resume
  | Complete
  | Forget

/**
 * A session exists. Key: `id`. Outcome: `Made`.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenSession {
  readonly _tag: "OpenSession"
  readonly id: string
  /** Who owns it; compared on each use. */
  readonly principal: string
  /** What was negotiated, fixed for the session's life. */
  readonly data: string
}

/**
 * A named fact of a session (initialized, log level, subscriptions) is replaced.
 * The same `writeKey` as the one that made the present value is a no-op.
 * Outcome: `Made`, or `Missing` for an unknown or ended session. Session writes
 * count as activity (`SessionQuery.writtenBefore`) when they are fresh.
 *
 * @category models
 * @since 0.1.0
 */
export interface SetSession {
  readonly _tag: "SetSession"
  readonly id: string
  readonly name: string
  readonly writeKey: string
  readonly value: string
}

/**
 * The session has ended, for ever. Outcome: `Made`, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface EndSession {
  readonly _tag: "EndSession"
  readonly id: string
}

/**
 * Retention: removes an *ended* session with its streams, executions and
 * tombstones, as if they had never been (tokens are not used again). Refused
 * (`Made` with `fresh: false`) while the session is open or one of its
 * executions has no result. Outcome: `Made`, or `Missing`.
 *
 * An execution belongs to the session of the stream that has its id; so do its
 * child executions and theirs.
 *
 * @category models
 * @since 0.1.0
 */
export interface ForgetSession {
  readonly _tag: "ForgetSession"
  readonly id: string
}

/**
 * A secret of the server, for ids and tokens. Rotation is a new name.
 * Outcome: `Stands` with the value that stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface PutKey {
  readonly _tag: "PutKey"
  readonly name: string
  readonly value: string
}

/**
 * A stream of events exists. First in every call's first commit: who owns it,
 * what was asked, in which version. Key: `stream`. Outcome: `Opened`.
 *
 * The stream of a call has the id of its execution.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenStream {
  readonly _tag: "OpenStream"
  readonly stream: string
  readonly session?: string | undefined
  readonly principal: string
  /** Digest of method and parameters: a repeat must ask the same. */
  readonly requestDigest: string
  /** Protocol version in whose shape the events are stored. */
  readonly version: string
  readonly execution?: string | undefined
}

/**
 * One event. Key: (`stream`, `key`); the key of a trimmed event stays used.
 * `seq` is dense per stream, from 1. Without `data` it is a control entry,
 * never written to a client (the end of a cancelled call). `last` closes the
 * stream: nothing can be appended after it.
 *
 * Outcome: `Appended` with the seq that stands, `Closed` when the stream has
 * its last event and this key is not in it (or it was forgotten), `Missing`
 * without a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Append {
  readonly _tag: "Append"
  readonly stream: string
  readonly key: string
  readonly data?: string | undefined
  readonly last?: boolean | undefined
}

/**
 * Retention: the events before `beforeSeq` can be forgotten. Outcome: `Made`,
 * fresh when an event went; or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trim {
  readonly _tag: "Trim"
  readonly stream: string
  readonly beforeSeq: number
}

/**
 * An execution exists and must run until it has a result. Key: `id`.
 * Outcome: `Made`; `fresh: false` also for a forgotten execution or stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface StartExecution {
  readonly _tag: "StartExecution"
  readonly id: string
  readonly workflow: string
  readonly payload: string
  /** The execution that waits for this one; its `Complete` counts as the parent's signal `child/<id>`. */
  readonly parent?: string | undefined
}

/**
 * A run begins that follows an unclean end. Key: (`id`, `boot`); only the last
 * boot is kept. Outcome: `Recovering` with the number of recoveries since the
 * execution last made progress (a fresh step or a park), this one included;
 * `Completed`, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface BeginRecovery {
  readonly _tag: "BeginRecovery"
  readonly id: string
  readonly boot: string
}

/**
 * The exit of a step. Key: (`id`, `name`). Outcome: `Stands` with the exit that
 * stands, also when another one came first; `Missing` without an execution. A
 * completed execution still takes none: `Completed`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordStep {
  readonly _tag: "RecordStep"
  readonly id: string
  /** The path of the step: `outer/charge#2`, attempts `charge@3`. */
  readonly name: string
  /** The idempotency key that the handler was given. */
  readonly key: string
  /** What kind of durable operation made it: `step`, `attempt`, `sleep`, `question`, … */
  readonly kind: string
  /** Whether the root fiber of the run made it (see `NonDeterminism`). */
  readonly root: boolean
  /** Version of the server that recorded it. */
  readonly version: string
  readonly exit: string
}

/**
 * A word from outside: an answer, a completed deferred, a fired timer, the end
 * of a child. Key: (`id`, `name`). Disarms the timer of that name; a `waiting`
 * park no longer stands. Outcome: `Stands`, `Completed` when the execution has
 * its result (nothing is stored), or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Signal {
  readonly _tag: "Signal"
  readonly id: string
  readonly name: string
  readonly exit: string
}

/**
 * At the absolute time `at` the store itself commits `Signal(id, name, exit)`:
 * answer or deadline, the first wins. Key: (`id`, `name`), which stays used when
 * the timer has fired. Under the name of a signal that is already there nothing
 * is armed. Outcome: `Armed` with the time that stands, `Completed`, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ArmTimer {
  readonly _tag: "ArmTimer"
  readonly id: string
  readonly name: string
  readonly at: number
  readonly exit: string
}

/**
 * The execution is to be cancelled. The first mode stands. `safe`: at the next
 * point where it would wait. `now`: at once. A `waiting` or `stuck` park no
 * longer stands. Outcome: `Made`, `Completed`, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestCancel {
  readonly _tag: "RequestCancel"
  readonly id: string
  readonly mode: "safe" | "now"
}

/**
 * The run has ended without a result. Outcome: `Parked`, `Completed`, or
 * `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Park {
  readonly _tag: "Park"
  readonly id: string
  /** Number of signals in the snapshot that the run *started* with. */
  readonly seenSignals: number
  /** The run knew of the cancel request, if there is one. */
  readonly seenCancel: boolean
  /**
   * - `waiting`: needs no run until it has more than `seenSignals` signals or a cancel request that it has not seen.
   * - `stopped`: ended by an orderly shutdown; runs again at the next `drive`, which is no recovery.
   * - `stuck`: runs again only after `Resume` or a cancel request that it has not seen.
   */
  readonly state: "waiting" | "stopped" | "stuck"
  /** Why, for operators. JSON text. */
  readonly reason?: string | undefined
}

/**
 * An operator lets a parked or stuck execution run again; its recoveries count
 * from zero. Outcome: `Made`, fresh when it was parked; `Completed`, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resume {
  readonly _tag: "Resume"
  readonly id: string
}

/**
 * The result; the execution never runs again, its timers are gone. A parent
 * gets the result as its signal `child/<id>`, in the same breath. A backend may
 * drop what only a run needs: its payload (which then reads as `""`), all its
 * steps, all its signals. Outcome: `Stands` with the result that stands,
 * `Completed` when it was forgotten, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Complete {
  readonly _tag: "Complete"
  readonly id: string
  readonly result: string
}

/**
 * Retention: a completed execution, or a closed stream without one, shrinks to
 * a tombstone (the `StreamRecord`; of an execution only its id), so that a
 * repeat is refused and never run again. `execution` and `list` do not show it;
 * writes to it are `Completed`. Refused (`Made`, `fresh: false`) before it is
 * complete. Outcome: `Made`, or `Missing`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Forget {
  readonly _tag: "Forget"
  readonly id: string
}

/**
 * What became of a write. `fresh` says that this write made the fact; without
 * it the other fields hold what stands.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "Made"; readonly fresh: boolean }
  | { readonly _tag: "Stands"; readonly fresh: boolean; readonly value: string }
  | {
    readonly _tag: "Opened"
    readonly fresh: boolean
    /** The stream's opaque name in event ids (`<token>:<seq>`), `[A-Za-z0-9_-]`, chosen by the backend. */
    readonly token: string
    readonly requestDigest: string
    /** The stream has its last event, or was forgotten. */
    readonly closed: boolean
    readonly forgotten: boolean
  }
  | { readonly _tag: "Appended"; readonly fresh: boolean; readonly seq: number }
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Recovering"; readonly fresh: boolean; readonly recoveries: number }
  | { readonly _tag: "Armed"; readonly fresh: boolean; readonly at: number }
  /** `parked: false`: there is news, the execution is not parked and runs again. */
  | { readonly _tag: "Parked"; readonly parked: boolean }
  | { readonly _tag: "Completed" }
  | { readonly _tag: "Missing" }

/**
 * @category models
 * @since 0.1.0
 */
export interface SessionRecord {
  readonly id: string
  readonly principal: string
  readonly data: string
  readonly createdAt: number
  readonly ended: boolean
  readonly facts: ReadonlyMap<string, string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface StepRecord {
  readonly name: string
  readonly key: string
  readonly kind: string
  readonly root: boolean
  readonly version: string
  readonly exit: string
  readonly recordedAt: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SignalRecord {
  readonly name: string
  readonly exit: string
  readonly recordedAt: number
}

/**
 * What a run starts from: one snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExecutionRecord {
  readonly id: string
  readonly workflow: string
  readonly payload: string
  readonly parent: string | undefined
  readonly createdAt: number
  /** In the order in which they were recorded. */
  readonly steps: ReadonlyArray<StepRecord>
  /** In the order in which they arrived. */
  readonly signals: ReadonlyArray<SignalRecord>
  /** Absolute times of the timers that have not fired. */
  readonly timers: ReadonlyMap<string, number>
  readonly cancel: "safe" | "now" | undefined
  readonly parked: { readonly state: Park["state"]; readonly reason: string | undefined } | undefined
  readonly recoveries: number
  readonly result: string | undefined
  readonly completedAt: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface StreamRecord {
  readonly stream: string
  readonly token: string
  readonly session: string | undefined
  readonly principal: string
  readonly requestDigest: string
  readonly version: string
  readonly execution: string | undefined
  readonly createdAt: number
  /** Seq of the newest event, 0 for none. */
  readonly lastSeq: number
  readonly closed: boolean
  readonly forgotten: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface EventRecord {
  readonly seq: number
  readonly key: string
  /** Absent for a control entry. */
  readonly data: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface EventPage {
  /** In order of `seq`, all after `afterSeq`. */
  readonly events: ReadonlyArray<EventRecord>
  /** Some event after `afterSeq` was trimmed: what follows is not complete. */
  readonly trimmed: boolean
  /**
   * This page reaches the last event. Not: "the stream has one"; two reads are
   * two snapshots.
   */
  readonly closed: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ExecutionSummary {
  readonly id: string
  readonly workflow: string
  readonly createdAt: number
  readonly completedAt: number | undefined
  readonly state: "running" | "waiting" | "stopped" | "stuck" | "completed"
  readonly cancel: "safe" | "now" | undefined
  readonly reason: string | undefined
  readonly recoveries: number
  /** The session of the execution's stream. */
  readonly session: string | undefined
}

/**
 * All conditions hold. Results come in the order of creation.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExecutionQuery {
  readonly workflow?: string | undefined
  readonly session?: string | undefined
  readonly states?: ReadonlyArray<ExecutionSummary["state"]> | undefined
  readonly completedBefore?: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SessionQuery {
  readonly principal?: string | undefined
  readonly ended?: boolean | undefined
  /** Sessions whose last fresh `OpenSession` or `SetSession` is older than this time. */
  readonly writtenBefore?: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface StreamQuery {
  readonly session?: string | undefined
  /** Streams that got their last event before this time and are not forgotten. */
  readonly closedBefore?: number | undefined
}

/**
 * A level-triggered wake-up, not data: register it before the first read;
 * `next` resolves once for any number of changes since it last did.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watch {
  readonly next: Effect.Effect<void>
  /** Resolves `next` as a change does: for whoever waits for something else beside it. */
  readonly wake: () => void
  /** Idempotent. Pending `next`s stay pending; interrupt them. */
  readonly close: () => void
}

/**
 * Something that changes: a stream gets an event; an execution gets a signal, a
 * cancel request, a resume or a result; a session is set or ended.
 *
 * @category models
 * @since 0.1.0
 */
export type Topic =
  | { readonly _tag: "Stream"; readonly stream: string }
  | { readonly _tag: "Execution"; readonly id: string }
  | { readonly _tag: "Session"; readonly id: string }

/**
 * Why a run starts. `cutOff`: the last run of this execution ended with its
 * process (or may have): begin with `BeginRecovery`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunCause {
  readonly cutOff: boolean
}

/**
 * Calls `run` for each execution that must run, never twice at a time for one
 * id. A run that ends without `Complete` or a `Park` that stood is run again
 * after a back-off.
 *
 * @category models
 * @since 0.1.0
 */
export interface Driver {
  /**
   * Takes in a run that is already under way in this process (folded start):
   * from now until `release` the driver starts no other run of `id`. False when
   * one is under way.
   */
  readonly adopt: (id: string) => boolean
  /** The adopted run has ended; the driver decides from the store what follows. */
  readonly release: (id: string) => Effect.Effect<void>
  /** Starts no more runs. Runs under way go on. */
  readonly stop: Effect.Effect<void>
}

/**
 * See `Store.role`.
 *
 * @category models
 * @since 0.1.0
 */
export type Role = "owner" | "host" | "front"

/**
 * @category services
 * @since 0.1.0
 */
export class Store extends Context.Service<Store, {
  /**
   * What this process is among those that have the store. Default `owner`.
   *
   * - `owner`: the only one.
   * - `host`: one of several; it runs what is given to it.
   * - `front`: one of several; it runs nothing. `drive` returns a driver that
   *   never has work, and an execution that is started here runs in a host.
   *
   * Where it is not the owner, what it remembers of the store may be old.
   */
  readonly role?: Role | undefined
  /**
   * Applies the writes in order; they are durable when it returns, with one
   * outcome for each. Not atomic on every backend: after a crash a prefix may
   * stand. So what an answer is validated against comes *before* what a peer
   * can see, and a re-run sends the same list whole again.
   */
  readonly commit: (writes: NonEmptyReadonlyArray<Write>) => Effect.Effect<ReadonlyArray<Outcome>, StoreError>
  /**
   * The same queue, in the same order; returns when the writes are queued and
   * waits only while more than 1 MiB or 1,000 writes are pending. For events
   * whose order is the queue's and which nobody sees before they are stored. A
   * submit whose write failed stays in the queue: a commit succeeds only when
   * all that was submitted before it is stored. A backend without transactions
   * may hold to this for each call, each session and each key by itself.
   */
  readonly submit: (writes: NonEmptyReadonlyArray<Write>) => Effect.Effect<void, StoreError>
  readonly key: (name: string) => Effect.Effect<Option.Option<Redacted.Redacted<string>>, StoreError>
  readonly session: (id: string) => Effect.Effect<Option.Option<SessionRecord>, StoreError>
  readonly sessions: (query: SessionQuery) => Stream.Stream<SessionRecord, StoreError>
  readonly execution: (id: string) => Effect.Effect<Option.Option<ExecutionRecord>, StoreError>
  readonly stream: (
    by: { readonly id: string } | { readonly token: string }
  ) => Effect.Effect<Option.Option<StreamRecord>, StoreError>
  /** A backend may leave out the oldest of many forgotten streams that belong to no session. */
  readonly streams: (query: StreamQuery) => Stream.Stream<StreamRecord, StoreError>
  /** At most `limit` events after `afterSeq`. An unknown stream is an empty page that is not closed. */
  readonly events: (stream: string, afterSeq: number, limit: number) => Effect.Effect<EventPage, StoreError>
  readonly list: (query: ExecutionQuery) => Stream.Stream<ExecutionSummary, StoreError>
  readonly watch: (topic: Topic) => Watch
  /**
   * Starts the driver: call it once, when every workflow is registered. At
   * start it runs what was started, signalled, due, cancelled, stopped or cut
   * off; after that, what becomes so. Parked executions cost nothing.
   */
  readonly drive: (
    run: (id: string, cause: RunCause) => Effect.Effect<void>
  ) => Effect.Effect<Driver, StoreError, Scope.Scope>
}>()("effect-durable-mcp/store/Store") {}
