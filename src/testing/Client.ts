/**
 * The client of a simulation. It knows nothing of crashes but their symptoms:
 * it repeats a POST that was cut off, resumes a stream that broke, and answers
 * the questions it is asked.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Answer, Id, Params } from "../session/JsonRpc.ts"
import { start as startCall } from "./internal/call.ts"
import * as OwnStreams from "./internal/ownStreams.ts"
import * as Session from "./internal/session.ts"
import * as Wire from "./internal/wire.ts"

/**
 * A client of the server under test. It retries, resumes and answers as a real
 * one would; what it does of its own accord, the script says.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  /**
   * Calls a tool, with a progress token, and returns the answer however many
   * processes it takes. Who interrupts it hangs up: the call goes on unheard.
   */
  readonly callTool: (
    name: string,
    args?: Readonly<Record<string, Schema.Json>>,
    options?: CallOptions
  ) => Effect.Effect<Answer>
  /** Any request, as `callTool`. */
  readonly request: (
    method: string,
    params?: Readonly<Record<string, Schema.Json>>,
    options?: CallOptions
  ) => Effect.Effect<Answer>
  /** Begins to call a tool: returns when the request has been sent for the first time. */
  readonly start: (
    name: string,
    args?: Readonly<Record<string, Schema.Json>>,
    options?: CallOptions
  ) => Effect.Effect<Call>
  /** Any request, as `start`. */
  readonly startRequest: (
    method: string,
    params?: Readonly<Record<string, Schema.Json>>,
    options?: CallOptions
  ) => Effect.Effect<Call>
  /** Sends a notification; returns when it was accepted. */
  readonly notify: (method: string, params?: Readonly<Record<string, Schema.Json>>) => Effect.Effect<void>
  /** The next question that `Options.answer` left open, in the order in which they came. */
  readonly question: Effect.Effect<Question>
  /** Keeps a stream of its own open for what belongs to no call (GET); returns when it is open for the first time. */
  readonly listen: Effect.Effect<void>
  /** What came on streams of its own so far. */
  readonly heard: Effect.Effect<ReadonlyArray<Message>>
  /** Returns when `count` messages have come on streams of its own. */
  readonly hears: (count: number) => Effect.Effect<void>
  /** Ends the session (DELETE). Its calls end with the error 404, and so does all that is asked later. */
  readonly end: Effect.Effect<void>
  /** Cuts every connection and never comes back. What its calls would have answered nobody hears: the error 499. */
  readonly vanish: Effect.Effect<void>
  /** Another client, with a session of its own. */
  readonly another: (options?: {
    readonly answer?: ((question: Question) => Effect.Effect<Schema.Json | void>) | undefined
    readonly capabilities?: Readonly<Record<string, Schema.Json>> | undefined
  }) => Effect.Effect<Client>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  /** Request id. Default: 1, 2, 3 … */
  readonly id?: Id | undefined
}

/**
 * A request under way.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly id: Id
  /**
   * Returns the answer. The error of a call that has none is the HTTP status
   * that says so: 204 when it was cancelled, 404 when its session has ended.
   */
  readonly answer: Effect.Effect<Answer>
  /** Messages before the answer that came so far. Heartbeats of the transport are none. */
  readonly messages: Effect.Effect<ReadonlyArray<Message>>
  /** Returns when `count` messages have come, or the answer. */
  readonly received: (count: number) => Effect.Effect<void>
  /** Says that the answer is not wanted, once the call was accepted; returns when that was accepted too. */
  readonly cancel: (reason?: string) => Effect.Effect<void>
  /** Cuts the connection of the call, which is resumed after a pause. Default: as long as the server asked for. */
  readonly drop: (pause?: Duration.Input) => Effect.Effect<void>
  /** Sends the request once more, on a connection of its own, and reads that to its end. */
  readonly repeat: Effect.Effect<void>
}

/**
 * A request of the server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Question {
  readonly method: string
  readonly params: Readonly<Record<string, Schema.Json>>
  /** The client that is asked, see `Source`. */
  readonly client: number
  /** The call on whose stream it came. */
  readonly call: Id
  /**
   * Sends a result; returns when the server has answered. May be used again,
   * late, and with anything: only the first answer must be accepted, if it is one.
   */
  readonly reply: (result: Schema.Json) => Effect.Effect<void>
  /** Sends an error instead. */
  readonly fail: (error: { readonly code: number; readonly message: string }) => Effect.Effect<void>
}

/**
 * The process as the client reaches it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly fetch: (request: Request) => Promise<Response>
  /** Returns when the process has died, and with it every connection. */
  readonly died: Effect.Effect<void>
  readonly isDead: () => boolean
}

/**
 * The stream on which something came.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  /** Clients are numbered from 1, in the order in which they were opened. */
  readonly client: number
  /** The request whose stream it is; undefined for one of the client's own (`Client.listen`). */
  readonly call: Id | undefined
}

/**
 * A message of the server, as it came.
 *
 * @category models
 * @since 0.1.0
 */
export interface Received extends Source {
  readonly eventId: string | undefined
  readonly message: Message
  readonly text: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Message {
  readonly id?: Id | undefined
  readonly method?: string | undefined
  readonly params?: Readonly<Record<string, Schema.Json>> | undefined
  readonly result?: Schema.Json | undefined
  readonly error?: { readonly code: number; readonly message: string } | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly url: string
  /** Waits until there is a process. */
  readonly connect: Effect.Effect<Connection>
  /** What the user says. Default: accepts without content. */
  readonly answer?: ((question: Question) => Effect.Effect<Schema.Json | void>) | undefined
  readonly capabilities: Readonly<Record<string, Schema.Json>>
  /** How long `Clients.settled` waits for an answer that no call needs any more. Default 1 hour. */
  readonly thinkingTime?: Duration.Input | undefined
  /** Told the id of each event, also of those without a message. */
  readonly onEventId: (source: Source, eventId: string) => void
  readonly onReceived: (received: Received) => void
  readonly onAnswered: (question: Question) => void
  /** Told of what the client does, for a timeline. */
  readonly onAct?: ((text: string) => void) | undefined
  /**
   * Told that the script gives answers up, for which its result may differ:
   * `Cancelled 2`, `Abandoned 2`, `Ended`, `Vanished`. Those of one call, or of
   * the client.
   */
  readonly onGivenUp?: ((what: string, whose: Source) => void) | undefined
  /** Told of what no server may do: refuse an answer, a resume or a repeat, serve an ended session. */
  readonly onViolation: (what: string) => void
}

/**
 * A server that is reached over the network.
 *
 * @category constructors
 * @since 0.1.0
 */
export const overHttp: Connection = {
  fetch: (request) => globalThis.fetch(request),
  // every failure shows in the request that it fails
  died: Effect.never,
  isDead: () => false
}

/**
 * The first client, and what belongs to all of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Clients extends Client {
  /** Reads a stream again, from its first event on; undefined when its client or its session is gone. */
  readonly replay: (firstEventId: string) => Effect.Effect<ReadonlyArray<string> | undefined>
  /**
   * Returns when every call has its answer and every question the one that the
   * test gave.
   */
  readonly settled: Effect.Effect<void>
}

/**
 * Opens a session. What the client does beside the script it does until the
 * scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (options: Options) => Effect.Effect<Clients, never, Scope.Scope> = Effect.fnUntraced(
  function*(options) {
    const scope = yield* Effect.scope
    const sessions: Array<Session.Session> = []
    const logs = new Map<string, Log>()

    const open: (options: Options) => Effect.Effect<Client> = Effect.fnUntraced(function*(options) {
      const session: Session.Session = yield* Session.open({
        ...options,
        onEventId: (source, eventId) => {
          const log = streamOf(eventId)
          logs.set(log, { session, isOwn: source.call === undefined, lastEventId: eventId })
          options.onEventId(source, eventId)
        }
      }, ++opened).pipe(Scope.provide(scope))
      sessions.push(session)
      return scripted(session, (changes) => open({ ...options, ...changes }))
    })
    let opened = 0
    const first = yield* open(options)

    return {
      ...first,
      replay: (firstEventId) => {
        const log = logs.get(streamOf(firstEventId))
        return log?.session.state() === "open" ? replay(log, firstEventId) : Effect.undefined
      },
      settled: Effect.suspend(() => Effect.forEach(sessions, ({ settled }) => settled, { discard: true }))
    }
  }
)

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** A stream as one of the clients knows it. */
interface Log {
  readonly session: Session.Session
  /** Of the client itself: it has no end. */
  readonly isOwn: boolean
  readonly lastEventId: string
}

/** The part of an event id before the place. */
const streamOf = (eventId: string): string => eventId.slice(0, eventId.lastIndexOf(":"))

const replay = Effect.fnUntraced(function*({ isOwn, lastEventId, session }: Log, firstEventId: string) {
  const texts: Array<string> = []
  let reached = isOwn && firstEventId === lastEventId
  if (reached) {
    return texts
  }
  // the server may have closed the stream in between, and does so again
  for (let from: string | undefined = firstEventId; from !== undefined && !reached;) {
    const resumed: string = from
    let last = resumed
    const reply = yield* session.send(session.get(resumed))
    const { status } = reply.response
    // 204: nothing follows
    if (status !== 200 && status !== 204) {
      session.violation(`the server refused to replay what follows ${resumed}: ${status} ${yield* Wire.text(reply)}`)
      return undefined
    }
    yield* Wire.read(reply, (event) => {
      if (event.data !== "" && !reached) {
        texts.push(event.data)
      }
      last = event.id ?? last
      reached ||= isOwn && last === lastEventId
      return !reached
    })
    from = last === resumed || last === lastEventId ? undefined : last
  }
  return texts
})

/** What a script can have a session do. */
const scripted = (
  session: Session.Session,
  another: (changes: Pick<Options, "answer" | "capabilities">) => Effect.Effect<Client>
): Client => {
  const open = Effect.runSync(Queue.unbounded<Question>())
  let nextId = 1
  const own = OwnStreams.make(session)

  const startRequest = (method: string, params: Params = {}, options?: CallOptions) =>
    Effect.suspend(() => {
      while (options?.id === undefined && session.requests.has(nextId)) {
        nextId++
      }
      const id = options?.id ?? nextId++
      const { _meta, ...rest } = params
      return startCall(
        session,
        { id, method, params: { ...rest, _meta: { progressToken: id, ...isParams(_meta) ? _meta : {} } } },
        (question) => Queue.offerUnsafe(open, question)
      )
    })

  const request = (method: string, params?: Params, options?: CallOptions) =>
    Effect.flatMap(
      startRequest(method, params, options),
      ({ abandon, answer }) => Effect.onInterrupt(answer, () => abandon)
    )

  const toolCall = (name: string, args: Params = {}): Params => ({ name, arguments: args })

  return {
    callTool: (name, args, options) => request("tools/call", toolCall(name, args), options),
    request,
    start: (name, args, options) => startRequest("tools/call", toolCall(name, args), options),
    startRequest,
    notify: (method, params) => {
      session.act(`sends ${method}`)
      return session.deliver({ jsonrpc: "2.0", method, params }, method)
    },
    question: Queue.take(open),
    listen: own.open,
    heard: own.heard,
    hears: own.hears,
    end: session.end,
    vanish: session.vanish,
    another: ({ answer = session.options.answer, capabilities = session.options.capabilities } = {}) =>
      another({ answer, capabilities })
  }
}

const isParams = (json: Schema.Json | undefined): json is Params =>
  typeof json === "object" && json !== null && !Array.isArray(json)
