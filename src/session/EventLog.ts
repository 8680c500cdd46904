/**
 * Reads streams for those who write them to a client.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type EventRecord, Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import { Outbox } from "./Outbox.ts"

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
  /** Waits until a `poll` may find news, or until `wake`. */
  readonly wait: Effect.Effect<void>
  readonly wake: () => void
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

/** Bounds what a slow reader holds in memory. */
const pageSize = 64

const isNews = (page: Page): boolean => page.events.length > 0 || page.closed

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<EventLog["Service"], never, Store | Outbox> = Effect.gen(function*() {
  const store = yield* Store
  const outbox = yield* Outbox
  const followers = new Map<string, number>()

  const none: Page = { events: [], closed: false }
  const end: Page = { events: [], closed: true }

  const followCall = (stream: string, afterSeq: number): Follower => {
    let seq = afterSeq
    // What comes after an incomplete page sets the watch, so that no event costs two reads.
    let drained = false
    // Registered before the first read, so that no event falls between.
    const watch = store.watch({ _tag: "Stream", stream })
    const poll: Effect.Effect<Page, StoreError> = Effect.map(
      Effect.suspend(() => store.events(stream, seq, pageSize)),
      (page) => {
        // What was trimmed under a reader is gone: it has to come again, and is told so.
        if (page.trimmed) return end
        const newest = page.events.at(-1)
        if (newest !== undefined) seq = newest.seq
        drained = page.events.length < pageSize && !page.closed
        return page
      }
    )
    const read: Effect.Effect<Page, StoreError> = Effect.flatMap(
      poll,
      (page) => isNews(page) ? Effect.succeed(page) : wait
    )
    const wait = Effect.flatMap(watch.next, () => read)
    return {
      next: Effect.suspend(() => drained ? wait : read),
      poll,
      wait: watch.next,
      wake: watch.wake,
      close: watch.close
    }
  }

  const followStandalone = (session: string, stream: string, afterSeq: number): Follower => {
    let seq = afterSeq
    const reader = outbox.read(session, stream)
    const poll: Effect.Effect<Page, StoreError> = Effect.flatMap(
      reader.move,
      (ended) =>
        Effect.map(Effect.suspend(() => store.events(stream, seq, pageSize)), (page) => {
          const newest = page.events.at(-1)
          if (newest !== undefined) seq = newest.seq
          return isNews(page) ? page : ended ? end : none
        })
    )
    const next: Effect.Effect<Page, StoreError> = Effect.flatMap(
      poll,
      (page) => isNews(page) ? Effect.succeed(page) : Effect.flatMap(reader.wait, () => next)
    )
    return { next, poll, wait: reader.wait, wake: reader.wake, close: reader.close }
  }

  return EventLog.of({
    follow: ({ afterSeq, session, stream }) =>
      Effect.sync(() => {
        const follower = session === undefined
          ? followCall(stream, afterSeq)
          : followStandalone(session, stream, afterSeq)
        followers.set(stream, (followers.get(stream) ?? 0) + 1)
        let open = true
        return {
          next: follower.next,
          poll: follower.poll,
          wait: follower.wait,
          wake: follower.wake,
          close: () => {
            if (!open) return
            open = false
            follower.close()
            const left = followers.get(stream)! - 1
            if (left === 0) followers.delete(stream)
            else followers.set(stream, left)
          }
        }
      }),
    isFollowed: (stream) => followers.has(stream)
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<EventLog, never, Store | Outbox> = Layer.effect(EventLog)(make)
