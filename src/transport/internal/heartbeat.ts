/**
 * Progress notifications of our own, for clients that give up on silence.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Wire } from "../../engine/Wire.ts"
import { type EventRecord, Store } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"

const ceiling = 1e-6
const day = 24 * 60 * 60 * 1000

/** Below `ceiling`, and strictly growing with the age of the call (ms). */
const fraction = (age: number): number => ceiling * (age / (age + day))

/**
 * The value of a heartbeat: the handler's last one plus a fraction that grows
 * with the age of the call, so that it also grows from one follower, and one
 * process, to the next. Before the first value it is below zero, so that the
 * handler may start with 0. `undefined` where a double cannot tell it from the
 * last value or from the heartbeat one `interval` ago.
 */
export const valueAt = (last: number | undefined, age: number, interval: number): number | undefined => {
  if (age <= 0) return undefined
  const base = last ?? -ceiling
  const value = base + fraction(age)
  return value > base && value > base + fraction(Math.max(0, age - interval)) ? value : undefined
}

/** The progress that the handler reported by this event for `token`. */
const progressOf = (event: EventRecord, token: string | number): number | undefined => {
  if (event.data === undefined || !event.data.includes("notifications/progress")) return undefined
  const message: unknown = JSON.parse(event.data)
  if (typeof message !== "object" || message === null || !("method" in message) || !("params" in message)) {
    return undefined
  }
  const { method, params } = message
  return method === "notifications/progress" && typeof params === "object" && params !== null &&
      "progressToken" in params && params.progressToken === token && "progress" in params &&
      typeof params.progress === "number"
    ? params.progress
    : undefined
}

const pageSize = 256

/**
 * The heartbeats of one response: called each `interval` with the seq of the
 * last event written to it, gives the text of a notification, or `undefined`
 * where none is due. It reads the log behind that position, so the way of an
 * event to the client need not look into it.
 */
export const make = (interval: number): Effect.Effect<
  (options: {
    readonly stream: string
    readonly version: string
    readonly token: string | number
  }) => (writtenSeq: number) => Effect.Effect<string | undefined, StoreError>,
  never,
  Store | Wire
> =>
  Effect.gen(function*() {
    const store = yield* Store
    const wire = yield* Wire

    return ({ stream, version, token }) => {
      let createdAt: number | undefined
      let readSeq = 0
      let last: number | undefined
      /** By the heartbeat before, with the age it was told at: the wall clock may have been set since, either way. */
      let told = { progress: -Infinity, age: -Infinity }

      return Effect.fnUntraced(function*(writtenSeq) {
        let reported = false
        while (readSeq < writtenSeq) {
          const { events } = yield* store.events(stream, readSeq, Math.min(pageSize, writtenSeq - readSeq))
          const newest = events.at(-1)
          if (newest === undefined) break
          for (const event of events) {
            const progress = progressOf(event, token)
            if (progress !== undefined) {
              last = progress
              reported = true
            }
          }
          readSeq = newest.seq
        }
        const first = createdAt === undefined
        createdAt ??= Option.match(yield* store.stream({ id: stream }), {
          onNone: () => Infinity,
          onSome: (record) => record.createdAt
        })
        // The handler's own report of this interval did what a heartbeat is for. What the first look finds may be old.
        if (reported && !first) return undefined
        const age = Math.max((yield* Clock.currentTimeMillis) - createdAt, told.age + interval)
        const progress = valueAt(last, age, interval)
        if (progress === undefined || progress <= told.progress) return undefined
        told = { progress, age }
        return yield* wire.notification(version, { _tag: "Progress", token, progress })
      })
    }
  })
