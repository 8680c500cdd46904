/**
 * One client of a server: its session, what it may say there, and what the
 * server may answer.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import type { Answer, Id } from "../../session/JsonRpc.ts"
import type { Message, Options } from "../Client.ts"
import * as Wire from "./wire.ts"

/** @internal */
export interface Session {
  /** From 1. */
  readonly client: number
  readonly options: Options
  /** `ending`: from when DELETE is sent; `ended`: from when it was answered. */
  readonly state: () => "open" | "ending" | "ended" | "gone"
  readonly post: (message: object) => () => Request
  /** GET: of a stream of its own, or of what follows an event. */
  readonly get: (lastEventId?: string) => () => Request
  /** Sends until an answer begins; nothing but 404 answers what is sent after the end. */
  readonly send: (request: () => Request, onSend?: (attempt: number) => void) => Effect.Effect<Wire.Reply>
  /** Posts what has no answer but its status, which must be 202 while the session is open. */
  readonly deliver: (message: object, what: string) => Effect.Effect<void>
  /** Whether a status is what an ended session is to be answered. */
  readonly isOver: (status: number) => boolean
  /** Ids of requests, with what was asked under them. */
  readonly requests: Map<Id, string>
  /** Each runs beside the script, to the end of the client. */
  readonly fork: {
    readonly call: (effect: Effect.Effect<void>) => void
    readonly answer: (effect: Effect.Effect<void>) => void
    readonly stream: (effect: Effect.Effect<void>) => void
  }
  /** Returns when all calls have ended, and nobody thinks about an answer any more; but see `Options.thinkingTime`. */
  readonly settled: Effect.Effect<void>
  /** Returns when the client is gone, with `value`. */
  readonly unlessGone: <A>(effect: Effect.Effect<A>, value: A) => Effect.Effect<A>
  /** Tells what it does. */
  readonly act: (text: string) => void
  /** Tells that answers are not wanted any more. */
  readonly givesUp: (what: string, call?: Id) => void
  readonly violation: (text: string) => void
  readonly end: Effect.Effect<void>
  readonly vanish: Effect.Effect<void>
}

const protocolVersion = "2025-11-25"

/**
 * Opens a session. It ends with the scope, at the latest.
 *
 * @internal
 */
export const open = Effect.fnUntraced(function*(
  options: Options,
  client: number
): Effect.fn.Return<Session, never, Scope.Scope> {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const calls = yield* FiberSet.make<void>().pipe(Scope.provide(scope))
  const answers = yield* FiberSet.make<void>().pipe(Scope.provide(scope))
  const fork: Session["fork"] = {
    call: yield* FiberSet.runtime(calls)(),
    answer: yield* FiberSet.runtime(answers)(),
    stream: yield* FiberSet.makeRuntime<never, void>().pipe(Scope.provide(scope))
  }
  const gone = Deferred.makeUnsafe<void>()
  let headers: Record<string, string> = {}
  let state: ReturnType<Session["state"]> = "open"

  const who = client === 1 ? "" : `client ${client} `
  const act = (text: string) => options.onAct?.(`${who}${text}`)
  const givesUp = (what: string, call?: Id) => options.onGivenUp?.(what, { client, call })
  const violation = (text: string) => options.onViolation(`${who}${text}`)

  const post = (message: object) => () =>
    new Request(options.url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", "accept": "application/json, text/event-stream" },
      body: JSON.stringify(message)
    })

  const get = (lastEventId?: string) => () =>
    new Request(options.url, {
      headers: {
        ...headers,
        "accept": "text/event-stream",
        ...lastEventId === undefined ? {} : { "last-event-id": lastEventId }
      }
    })

  const send = Effect.fnUntraced(function*(request: () => Request, onSend?: (attempt: number) => void) {
    const after = state
    const reply = yield* Wire.send(options.connect, request, onSend)
    if (after === "ended" && reply.response.status !== 404) {
      violation(`the server answered ${reply.response.status} and not 404 after the session had ended`)
    }
    return reply
  })

  const unlessGone = <A>(effect: Effect.Effect<A>, value: A): Effect.Effect<A> =>
    Effect.suspend(() =>
      state === "gone" ? Effect.succeed(value) : Effect.raceFirst(effect, Effect.as(Deferred.await(gone), value))
    )

  const isOver = (status: number) => status === 404 && state !== "open"

  const deliver = Effect.fnUntraced(function*(message: object, what: string) {
    const reply = yield* send(post(message))
    const { status } = reply.response
    if (status !== 202 && !isOver(status)) {
      violation(`the server refused ${what}: ${status} ${(yield* Wire.text(reply)) ?? ""}`)
    } else {
      Wire.discard(reply.response)
    }
  })

  const opened = yield* Wire.follow({
    send,
    open: post({
      jsonrpc: "2.0",
      id: 0,
      method: "initialize",
      params: {
        protocolVersion,
        capabilities: options.capabilities,
        clientInfo: { name: "crash-test", version: "1.0.0" }
      }
    }),
    resume: (lastEventId) => get(lastEventId)(),
    onSend: (_, isRepeat) => act(`${isRepeat ? "repeats" : "sends"} initialize`),
    onEvent: () => {},
    isComplete: () => true
  })
  const id = opened.headers.get("mcp-session-id")
  if (id === null) {
    const got = opened._tag === "Plain" ? `${opened.status} ${opened.text}`.trimEnd() : "a stream"
    return yield* Effect.die(new Error(`${options.url} did not answer initialize with a session but with ${got}`))
  }
  headers = { "mcp-session-id": id, "mcp-protocol-version": protocolVersion }
  yield* deliver({ jsonrpc: "2.0", method: "notifications/initialized" }, "initialized")

  return {
    client,
    options,
    state: () => state,
    post,
    get,
    send,
    deliver: (message, what) => unlessGone(deliver(message, what), undefined),
    isOver,
    requests: new Map(),
    fork,
    settled: Effect.andThen(
      FiberSet.awaitEmpty(calls),
      Effect.timeoutOption(FiberSet.awaitEmpty(answers), options.thinkingTime ?? "1 hour")
    ),
    unlessGone,
    act,
    givesUp,
    violation,

    end: unlessGone(
      Effect.gen(function*() {
        act("ends its session")
        givesUp("Ended")
        const first = state === "open"
        if (state === "open") {
          state = "ending"
        }
        const reply = yield* send(() => new Request(options.url, { method: "DELETE", headers }))
        const { status } = reply.response
        // a DELETE that was cut off may have ended it already
        if (status >= 300 && !(status === 404 && (!first || reply.attempts > 1))) {
          violation(`the server refused to end the session: ${status} ${(yield* Wire.text(reply)) ?? ""}`)
        } else {
          Wire.discard(reply.response)
        }
        state = "ended"
      }),
      undefined
    ),

    vanish: Effect.suspend(() => {
      if (state === "gone") {
        return Effect.void
      }
      act("vanishes")
      givesUp("Vanished")
      state = "gone"
      Deferred.doneUnsafe(gone, Effect.void)
      return Scope.close(scope, Exit.void)
    })
  }
})

/** The answer that a response holds. @internal */
export const answerOf = ({ error, result }: Message): Answer =>
  error === undefined ? { result: result ?? null } : { error }
