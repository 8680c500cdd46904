/**
 * The newest events of the streams that were written last, in memory: what a
 * follower asks for a moment after it was stored is not read from disk.
 *
 * @internal
 */
import type { EventPage, EventRecord } from "../Store.ts"

/** @internal */
export interface Tails {
  /** A new stream. */
  readonly open: (stream: string) => void
  /** A durable event, in the order of its stream. */
  readonly append: (stream: string, event: EventRecord, last: boolean) => void
  /** The page, or `undefined` where memory does not hold all of it. */
  readonly page: (stream: string, afterSeq: number, limit: number) => EventPage | undefined
  /** Events of the stream were removed; without a name: of any stream. */
  readonly drop: (stream?: string) => void
}

/** All events of a stream from `from` on. */
interface Tail {
  from: number
  readonly events: Array<EventRecord>
  size: number
  closed: boolean
}

/** What an event or a stream costs beside its data, roughly. */
const overhead = 128

const sizeOf = (event: EventRecord): number => overhead + (event.data?.length ?? 0)

/**
 * @param capacity in UTF-16 units of data, over all streams; what was not written to for longest goes first
 * @internal
 */
export const make = (capacity: number): Tails => {
  // in the order of their last event
  const tails = new Map<string, Tail>()
  let size = 0

  const drop = (stream: string): void => {
    const tail = tails.get(stream)
    if (tail !== undefined) {
      tails.delete(stream)
      size -= tail.size
    }
  }

  const grow = (tail: Tail, difference: number): void => {
    tail.size += difference
    size += difference
  }

  /** Puts the tail behind all others, and makes room. */
  const touch = (stream: string, tail: Tail): void => {
    tails.delete(stream)
    tails.set(stream, tail)
    while (size > capacity) {
      const [oldest] = tails.keys()
      if (oldest !== stream || tail.events.length === 0) {
        drop(oldest!)
        continue
      }
      // alone: a long stream keeps its newer half
      const removed = tail.events.splice(0, Math.ceil(tail.events.length / 2))
      tail.from += removed.length
      for (const event of removed) {
        grow(tail, -sizeOf(event))
      }
    }
  }

  const begin = (from: number): Tail => {
    const tail: Tail = { from, events: [], size: 0, closed: false }
    grow(tail, overhead)
    return tail
  }

  return {
    open: (stream) => touch(stream, begin(1)),
    append: (stream, event, last) => {
      let tail = tails.get(stream)
      if (tail !== undefined && tail.from + tail.events.length !== event.seq) {
        drop(stream)
        tail = undefined
      }
      tail ??= begin(event.seq)
      tail.events.push(event)
      tail.closed = last
      grow(tail, sizeOf(event))
      touch(stream, tail)
    },
    page: (stream, afterSeq, limit) => {
      const tail = tails.get(stream)
      if (tail === undefined || afterSeq + 1 < tail.from) {
        return undefined
      }
      const from = afterSeq + 1 - tail.from
      const events = tail.events.slice(from, from + limit)
      return { events, trimmed: false, closed: tail.closed && from + events.length >= tail.events.length }
    },
    drop: (stream) => {
      if (stream !== undefined) {
        return drop(stream)
      }
      tails.clear()
      size = 0
    }
  }
}
