/**
 * What a store that lives in this process has to implement: apply writes, read.
 * Everything is synchronous. The queue, group commit, wake-ups, timers and the
 * driver are made on top of it by `fromBackend.ts`, once for all.
 *
 * @internal
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
} from "../Store.ts"

/** A page of a listing; `next` is the cursor of the page after it. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly next: number | undefined
}

/** @internal */
export interface Backend {
  /**
   * Applies the lists in order within one transaction and makes them durable.
   * `now` is the time of the commit. Throws a `StoreError`, after which nothing
   * of it stands. Writes have been validated.
   */
  readonly apply: (
    commits: ReadonlyArray<ReadonlyArray<Write>>,
    now: number
  ) => ReadonlyArray<ReadonlyArray<Outcome>>
  readonly key: (name: string) => string | undefined
  readonly session: (id: string) => SessionRecord | undefined
  readonly execution: (id: string) => ExecutionRecord | undefined
  readonly stream: (by: { readonly id: string } | { readonly token: string }) => StreamRecord | undefined
  readonly events: (stream: string, afterSeq: number, limit: number) => EventPage
  /** Pages of at most `limit` items, from `after` (0 to start), in order of creation. */
  readonly sessions: (query: SessionQuery, after: number, limit: number) => Page<SessionRecord>
  readonly streams: (query: StreamQuery, after: number, limit: number) => Page<StreamRecord>
  readonly list: (query: ExecutionQuery, after: number, limit: number) => Page<ExecutionSummary>
  /**
   * Executions that must run when the driver starts: those whose state is
   * `running` (`cutOff`: their last run ended with its process, or may have) or
   * `stopped`. News makes a park void (`Signal`, `RequestCancel`), so no more
   * than the park has to be looked at.
   */
  readonly runnable: (
    after: number,
    limit: number
  ) => Page<{ readonly id: string; readonly cutOff: boolean }>
  /** Where one execution stands, without its steps; undefined also for a forgotten one. */
  readonly standing: (
    id: string
  ) => { readonly parent: string | undefined; readonly state: ExecutionSummary["state"] } | undefined
  /** Time of the earliest armed timer. */
  readonly nextTimer: () => number | undefined
  /** Timers due at `now`, earliest first, at most `limit`. */
  readonly dueTimers: (
    now: number,
    limit: number
  ) => ReadonlyArray<{ readonly id: string; readonly name: string; readonly exit: string }>
}
