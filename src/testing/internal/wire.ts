/**
 * Requests over connections that break: repeated until an answer begins, and
 * streams resumed until they end. Knows nothing of what is said.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Connection } from "../Client.ts"
import * as Events from "./events.ts"

/** An answer that has begun. @internal */
export interface Reply {
  readonly connection: Connection
  readonly response: Response
  /** How often it was asked for. */
  readonly attempts: number
}

/** Milliseconds before a request is sent again; doubled each time, up to the second. */
const backOff = [100, 10_000] as const

/** What a promise gives, or undefined when the connection was cut before. */
const orCut = <A>(
  connection: Connection,
  promise: (signal: AbortSignal) => Promise<A>
): Effect.Effect<A | undefined> =>
  Effect.raceFirst(
    Effect.match(Effect.tryPromise(promise), {
      onFailure: () => undefined,
      // what a process says while it dies reaches nobody
      onSuccess: (value) => connection.isDead() ? undefined : value
    }),
    Effect.as(connection.died, undefined)
  )

/**
 * Sends until there is an answer that has begun. A 503 is none: it says when to
 * come back. To wait and to repeat is all a client can do about the rest.
 *
 * @internal
 */
export const send = Effect.fnUntraced(function*(
  connect: Effect.Effect<Connection>,
  request: () => Request,
  onSend?: (attempt: number) => void
): Effect.fn.Return<Reply> {
  let wait: number = backOff[0]
  for (let attempts = 1;; attempts++) {
    const connection = yield* connect
    const response = yield* orCut(connection, (signal) => {
      const sent = connection.fetch(new Request(request(), { signal }))
      onSend?.(attempts)
      return sent
    })
    if (response !== undefined && response.status !== 503) {
      return { connection, response, attempts }
    }
    if (response !== undefined) {
      discard(response)
    }
    yield* Effect.sleep(Math.max(wait, retryAfter(response)))
    wait = Math.min(wait * 2, backOff[1])
  }
})

const retryAfter = (response: Response | undefined): number => {
  const seconds = Number(response?.headers.get("retry-after") ?? 0)
  return Number.isFinite(seconds) ? seconds * 1000 : 0
}

/** The whole body, or undefined when it was cut off. @internal */
export const text = ({ connection, response }: Reply): Effect.Effect<string | undefined> =>
  orCut(connection, () => response.text())

/** Lets go of a body that nobody reads. @internal */
export const discard = (response: Response): void => void response.body?.cancel().catch(() => {})

/**
 * Reads events to the end of the body: true; or to where it was cut: false; or
 * until one is answered with false.
 *
 * @internal
 */
export const read = Effect.fnUntraced(function*(
  { connection, response }: Reply,
  onEvent: (event: Events.Event) => boolean | void
): Effect.fn.Return<boolean> {
  if (response.body === null) {
    return true
  }
  const body: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader()
  const decoder = new TextDecoder()
  const events = Events.reader()
  return yield* Effect.gen(function*() {
    for (;;) {
      const chunk = yield* orCut(connection, () => body.read())
      if (chunk === undefined || chunk.done) {
        return chunk !== undefined
      }
      for (const event of events(decoder.decode(chunk.value, { stream: true }))) {
        if (onEvent(event) === false) {
          return false
        }
      }
    }
  }).pipe(Effect.ensuring(Effect.sync(() => void body.cancel().catch(() => {}))))
})

/** What is read over as many connections as it takes. @internal */
export interface Following {
  readonly send: (request: () => Request, onSend: (attempt: number) => void) => Effect.Effect<Reply>
  /** Asks for the stream; again, when it was cut before its first event id came. */
  readonly open: () => Request
  readonly resume: (lastEventId: string) => Request
  readonly onSend?: ((lastEventId: string | undefined, isRepeat: boolean) => void) | undefined
  readonly onBegun?: (() => void) | undefined
  readonly onEvent: (event: Events.Event) => void
  /** Whether all that was wanted has come: then the end of a connection is the end. */
  readonly isComplete: () => boolean
  /** Given a way to cut each connection, which is resumed after a pause; undefined when there is none to cut. */
  readonly onConnection?: ((cut: Deferred.Deferred<Duration.Input | undefined> | undefined) => void) | undefined
}

/** How it ended. @internal */
export type Followed =
  | { readonly _tag: "Complete"; readonly headers: Headers }
  /** An answer that is no stream. */
  | {
    readonly _tag: "Plain"
    readonly status: number
    readonly headers: Headers
    readonly text: string
    /** The event after which it was asked for. */
    readonly resumedFrom: string | undefined
    /** An earlier attempt may have reached the server. */
    readonly isRepeat: boolean
  }

/** Reads a stream, and resumes it where it broke. @internal */
export const follow = Effect.fnUntraced(function*(following: Following): Effect.fn.Return<Followed> {
  let lastEventId: string | undefined
  let retryMs: number = backOff[0]
  let attempts = 0

  const once = Effect.gen(function*() {
    const resumedFrom = lastEventId
    const reply = yield* following.send(
      () => resumedFrom === undefined ? following.open() : following.resume(resumedFrom),
      () => following.onSend?.(resumedFrom, attempts++ > 0)
    )
    const { headers, status } = reply.response
    if (status !== 200 || (headers.get("content-type") ?? "").startsWith("application/json")) {
      const body = yield* text(reply)
      const plain: Followed | undefined = body === undefined
        ? undefined
        : { _tag: "Plain", status, headers, text: body, resumedFrom, isRepeat: attempts > 1 }
      return { end: plain, pause: backOff[0] }
    }
    following.onBegun?.()
    const isWhole = yield* read(reply, (event) => {
      lastEventId = event.id ?? lastEventId
      retryMs = event.retryMs ?? retryMs
      following.onEvent(event)
    })
    const complete: Followed | undefined = following.isComplete() ? { _tag: "Complete", headers } : undefined
    return { end: complete, pause: isWhole ? retryMs : backOff[0] }
  })

  for (;;) {
    const cut = Deferred.makeUnsafe<Duration.Input | undefined>()
    following.onConnection?.(cut)
    const { end, pause } = yield* Effect.raceFirst(
      once,
      Effect.map(Deferred.await(cut), (pause) => ({
        end: following.isComplete() ? { _tag: "Complete" as const, headers: new Headers() } : undefined,
        pause: pause ?? retryMs
      }))
    )
    following.onConnection?.(undefined)
    if (end !== undefined) {
      return end
    }
    yield* Effect.sleep(pause)
  }
})
