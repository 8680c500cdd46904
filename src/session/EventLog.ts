/**
 * Reads streams for those who write them to a client.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { EventRecord } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"

/**
 * Where to read on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Position {
  readonly stream: string
  /** Events with a greater `seq` follow. */
  readonly afterSeq: number
  /** For a standalone stream (GET): the session whose queued messages it takes. */
  readonly session?: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Page {
  /** In order, without gaps after the page before; at least one unless `closed`. */
  readonly events: ReadonlyArray<EventRecord>
  /** No event follows this page; do not call `next` again. */
  readonly closed: boolean
}

/**
 * A cursor over one stream. One reader at a time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Follower {
  /** Waits for events after the last page. A page that is already there costs one read, none when it is in memory. */
  readonly next: Effect.Effect<Page, StoreError>
  /** As `next`, without waiting: the page is empty and not `closed` when there is nothing new. */
  readonly poll: Effect.Effect<Page, StoreError>
  /** Idempotent, synchronous; for `Effect.ensuring`. */
  readonly close: () => void
}

/**
 * @category services
 * @since 0.1.0
 */
export class EventLog extends Context.Service<EventLog, {
  /** Call `close` when the reader is done. A `Reply.Follow` is a `Position`. */
  readonly follow: (position: Position) => Effect.Effect<Follower, StoreError>
  /** Whether somebody in this process reads this stream now. */
  readonly isFollowed: (stream: string) => boolean
}>()("effect-durable-mcp/session/EventLog") {}
