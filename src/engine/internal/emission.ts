/**
 * Events of a call besides its questions and its result.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Facts from "../../session/Facts.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { LogLevel, Notification } from "../Wire.ts"
import type { Frame } from "./Frame.ts"
import type { Peer, Run } from "./Run.ts"

/** @internal */
export const emit = (
  frame: Frame,
  fiber: Fiber.Fiber<unknown, unknown>,
  notification: Notification
): Effect.Effect<void> => {
  const { run } = frame
  const { peer } = run
  if (peer === undefined) {
    return Effect.void
  }
  switch (notification._tag) {
    case "Progress":
      return notification.token === progressToken(peer)
        ? limited(run, tellProgress(run, peer, notification))
        : Effect.void
    case "Log": {
      // Numbered before it is filtered: another level in a later run must not shift the keys.
      const key = frame.nextEmission(fiber, notification)
      return Effect.flatMap(
        isLogged(run, peer, notification.level),
        (logged) => logged ? limited(run, append(run, peer, key, notification)) : Effect.void
      )
    }
    default:
      return limited(run, append(run, peer, frame.nextEmission(fiber, notification), notification))
  }
}

/** The token under which the client wants to hear of progress. @internal */
export const progressToken = ({ request }: Peer): string | number | undefined => {
  const meta = request.params["_meta"]
  if (typeof meta !== "object" || meta === null) {
    return undefined
  }
  const token = (meta as Readonly<Record<string, unknown>>)["progressToken"]
  return typeof token === "string" || typeof token === "number" ? token : undefined
}

/**
 * Progress has its value for a key: it is told once, and what a replay tells
 * again, or tells too late, is not above the last value.
 */
const tellProgress = (
  run: Run,
  peer: Peer,
  notification: Extract<Notification, { _tag: "Progress" }>
): Effect.Effect<void> =>
  Effect.flatMap(lastProgress(run), (last) => {
    if (!(notification.progress > last)) {
      return Effect.void
    }
    run.lastProgress = notification.progress
    return append(run, peer, `${progressKey}${notification.progress}`, notification)
  })

const progressKey = "progress/"

/** The last value that this run or an earlier one told the client. */
const lastProgress = (run: Run): Effect.Effect<number> => {
  if (run.lastProgress !== undefined || run.number === 1) {
    return Effect.succeed(run.lastProgress ?? -Infinity)
  }
  const read = (afterSeq: number, last: number): Effect.Effect<number, StoreError> =>
    Effect.flatMap(run.env.store.events(run.id, afterSeq, 1_000), (page) => {
      for (const { key } of page.events) {
        if (key.startsWith(progressKey)) {
          last = Math.max(last, Number(key.slice(progressKey.length)))
        }
      }
      const newest = page.events.at(-1)
      return newest === undefined ? Effect.succeed(last) : read(newest.seq, last)
    })
  return Effect.map(
    run.reading(read(0, -Infinity)),
    (last) => run.lastProgress = Math.max(last, run.lastProgress ?? last)
  )
}

const levels: ReadonlyArray<LogLevel> = [
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
  "alert",
  "emergency"
]

/** Where the client has set no level it is `info`, as on the stock server (S-LG2). */
const isLogged = (run: Run, { request }: Peer, level: LogLevel): Effect.Effect<boolean> => {
  const { session } = request.profile
  const least = session === undefined ? Effect.succeed<LogLevel>("info") : Effect.map(
    run.reading(run.env.store.session(session)),
    (found) => {
      const fact = Option.isSome(found) ? found.value.facts.get(Facts.logLevel) : undefined
      return fact === undefined ? "info" : JSON.parse(fact) as LogLevel
    }
  )
  return Effect.map(least, (least) => levels.indexOf(level) >= levels.indexOf(least))
}

const append = (run: Run, peer: Peer, key: string, notification: Notification): Effect.Effect<void> =>
  Effect.flatMap(
    peer.wire.notification(peer.request.version, notification),
    (data) =>
      data === undefined ? Effect.void : run.journal.submit({ _tag: "Append", stream: run.id, key, data }).pipe(
        Effect.catch((error) => Effect.logWarning("A notification cannot be stored and is not sent", error))
      )
  )

/**
 * Counts what the handler says, not what is stored, so that a replay stops at
 * the same place.
 */
const limited = (run: Run, tell: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { eventLimit } = run.env
    if (++run.emissions <= eventLimit) {
      return tell
    }
    return run.emissions > eventLimit + 1
      ? Effect.void
      : Effect.logWarning(`A call told its client more than ${eventLimit} things; the rest is not sent`)
  })

/**
 * The client's response ends here; it comes back for the rest after
 * `retryAfter` milliseconds. Whoever follows the stream reads it from the key
 * of an entry without data: `disconnect/<n>/<ms>`.
 *
 * @internal
 */
export const disconnect = ({ run }: Frame, retryAfter: number): Effect.Effect<void> =>
  run.peer === undefined ? Effect.void : Effect.suspend(() =>
    Effect.orDie(run.journal.submit({
      _tag: "Append",
      stream: run.id,
      key: `disconnect/${++run.disconnects}/${retryAfter}`
    }))
  )
