/**
 * Event streams: writes the log of one stream to one client, from a position
 * on, until the stream or the client ends.
 *
 * What a client sees is what the log holds: the id of an event is its place
 * there (S-R1, S-R2), and a resumed response is another follower of the same
 * log. Keep-alives and heartbeats carry nothing and are no events. A stalled
 * reader holds its cursor and one page, nothing else.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Wire } from "../engine/Wire.ts"
import type * as Reply from "../protocol/Reply.ts"
import * as EventLog from "../session/EventLog.ts"
import type { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Alarm from "./internal/alarm.ts"
import * as Heartbeat from "./internal/heartbeat.ts"
import * as Limits from "./Limits.ts"
import { Shutdown } from "./Shutdown.ts"

/**
 * Makes what turns a `Follow` into a response. A stream that is complete by now
 * becomes one body; any other is written as it grows.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<
  (follow: Reply.Follow) => Effect.Effect<HttpServerResponse.HttpServerResponse, StoreError>,
  never,
  EventLog.EventLog | Shutdown | Store | Wire | Scope.Scope
> = Effect.gen(function*() {
  const log = yield* EventLog.EventLog
  const shutdown = yield* Shutdown
  const clock = yield* Clock.Clock
  const retryAfter = Math.ceil(Duration.toMillis(yield* Limits.RetryAfter))
  const keepAlive = Duration.toMillis(yield* Limits.KeepAlive)
  const heartbeatInterval = Duration.toMillis(yield* Limits.HeartbeatInterval)
  const makeHeartbeat = yield* Heartbeat.make(heartbeatInterval)
  const alarm = yield* Alarm.make(Math.min(1000, keepAlive, heartbeatInterval))
  yield* shutdown.begun.pipe(Effect.andThen(Effect.sync(alarm.ringAll)), Effect.forkScoped)

  /** What follows `head`, which holds the events up to `afterSeq`. */
  const body = (follow: Reply.Follow, head: string, afterSeq: number): Stream.Stream<Uint8Array> => {
    // Whether the client can come back for the rest: it has seen an id of this stream, or asks for no call's answer.
    let resumable = follow.session !== undefined || follow.afterSeq > 0
    // A client that cannot must see its response break, or it takes nothing for the answer and never asks again.
    const endEarly = Effect.suspend(() => resumable ? Effect.void : Effect.interrupt)
    return Stream.unwrap(Effect.map(log.follow({ ...follow, afterSeq }), (follower) => {
      const beat = follow.progressToken === undefined
        ? undefined
        : makeHeartbeat({ stream: follow.stream, version: follow.version, token: follow.progressToken })
      const openedAt = Alarm.time(clock)
      let silentUntil = openedAt + keepAlive
      let beatAt = beat === undefined ? Infinity : openedAt + heartbeatInterval
      let writtenSeq = afterSeq
      let ended = false
      let cancelAlarm = () => {}
      // The headers leave together with the first chunk, so there is always one.
      let text = head === "" ? comment : head
      // A standalone stream takes messages for itself: before anybody knows its id, nobody could come back for them.
      let isKnown = follow.session === undefined || follow.afterSeq > 0

      const take = (page: EventLog.Page) => {
        const rendered = render(follow, page)
        text += rendered.text
        ended = rendered.ended
        writtenSeq = page.events.at(-1)?.seq ?? writtenSeq
      }

      const pull: Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, StoreError> = Effect.gen(function*() {
        while (true) {
          if (!ended && isKnown) take(yield* follower.poll)
          isKnown = true
          const now = Alarm.time(clock)
          if (beat !== undefined && !ended && now >= beatAt) {
            const notification = yield* beat(writtenSeq)
            if (notification !== undefined) text += `data: ${notification}\n\n`
            beatAt = now + heartbeatInterval
          }
          if (text === "" && now >= silentUntil) text = comment
          if (text !== "") {
            const chunk = Buffer.from(text)
            text = ""
            silentUntil = now + keepAlive
            resumable ||= head !== "" || writtenSeq > 0
            return [chunk] as const
          }
          if (!ended && shutdown.hasBegun()) {
            yield* endEarly
            ended = true
          }
          if (ended) return yield* Cause.done()
          // For an event, the time to break the silence, or the shutdown: no fiber and no timer of its own.
          cancelAlarm = alarm.set(Math.min(silentUntil, beatAt), follower.wake)
          yield* follower.wait
          cancelAlarm()
        }
      })
      return Stream.fromPull(Effect.succeed(pull)).pipe(Stream.ensuring(Effect.sync(() => {
        cancelAlarm()
        follower.close()
      })))
    })).pipe(
      // The client comes back, and learns by the status how the store is.
      Stream.catchTag(
        "StoreError",
        (error) =>
          Stream.fromEffectDrain(Effect.andThen(Effect.logWarning("Event stream ended early", error), endEarly))
      )
    )
  }

  return Effect.fnUntraced(function*(follow) {
    const headers = follow.headers === undefined ? streamHeaders : Headers.setAll(streamHeaders, follow.headers)
    const head = follow.priming ? frame(follow.token, follow.afterSeq, "", retryAfter) : ""
    if (follow.session !== undefined) {
      return HttpServerResponse.stream(body(follow, head, follow.afterSeq), { contentType, headers })
    }
    // A follower owned by the body would leak where the client is gone before the body is read, so this one goes.
    const follower = yield* log.follow(follow)
    const page = yield* Effect.ensuring(follower.poll, Effect.sync(follower.close))
    const { text, ended } = render(follow, page)
    return ended
      ? HttpServerResponse.text(head + text, { contentType, headers })
      : HttpServerResponse.stream(body(follow, head + text, page.events.at(-1)?.seq ?? follow.afterSeq), {
        contentType,
        headers
      })
  })
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const contentType = "text/event-stream"

/** S-R10. */
const streamHeaders = Headers.fromInput({ "cache-control": "no-cache, no-transform", "x-accel-buffering": "no" })

const comment = ":\n\n"

/** The data line is there even when it is empty: parsers drop an event without one (S-R3). */
const frame = (token: string, seq: number, data: string, retry?: number | string): string =>
  retry === undefined
    ? `id: ${token}:${seq}\ndata: ${data}\n\n`
    : `id: ${token}:${seq}\nretry: ${retry}\ndata: ${data}\n\n`

/**
 * The text of a page, and whether the response ends with it. Of the entries
 * without data, `disconnect/<n>/<ms>` ends the response with the wait that the
 * handler asked for, under an id of its own, so that the resumed stream is past
 * it (S-R4, S-R5; not before 2025-11-25, S-P14). Any other is silent: the end
 * of a cancelled call (S-C6).
 */
const render = (
  follow: Reply.Follow,
  page: EventLog.Page
): { readonly text: string; readonly ended: boolean } => {
  let text = ""
  for (const event of page.events) {
    if (event.data !== undefined) {
      text += frame(follow.token, event.seq, event.data)
    } else if (event.key.startsWith("disconnect/") && follow.version >= "2025-11-25") {
      text += frame(follow.token, event.seq, "", event.key.slice(event.key.lastIndexOf("/") + 1))
      return { text, ended: true }
    }
  }
  return { text, ended: page.closed }
}
