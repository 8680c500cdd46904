/**
 * The client of a simulation. It knows nothing of crashes but their symptoms:
 * it repeats a POST that was cut off, resumes a stream that broke, and answers
 * the questions it is asked.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Answer, Id } from "../session/JsonRpc.ts"
import * as Events from "./internal/events.ts"

/**
 * A client of the server under test. It retries, resumes and answers as a real
 * one would; what it does of its own accord, the script says.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  /** Calls a tool, with a progress token, and returns the answer however many processes it takes. */
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
  /** Keeps a stream of its own open for what belongs to no call (GET), from now on. */
  readonly listen: Effect.Effect<void>
  /** What came on streams of its own so far. */
  readonly heard: Effect.Effect<ReadonlyArray<Message>>
  /** Ends the session (DELETE). */
  readonly end: Effect.Effect<void>
  /** Cuts every connection and never comes back; its calls have no answer any more. */
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
  /** Returns the answer. Of a cancelled call, the error `{ code: 204 }`. */
  readonly answer: Effect.Effect<Answer>
  /** Messages that came so far. */
  readonly messages: Effect.Effect<ReadonlyArray<Message>>
  /** Returns when `count` messages have come, or the answer. */
  readonly received: (count: number) => Effect.Effect<void>
  /** Says that the answer is not wanted; returns when that was accepted. */
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
  /** Sends a result; returns when it was accepted. May be used again, late, and with anything. */
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
  /** Told the id of each event, also of those without a message. */
  readonly onEventId: (source: Source, eventId: string) => void
  readonly onReceived: (received: Received) => void
  readonly onAnswered: (question: Question) => void
  /** Told of what the client does, for a timeline. */
  readonly onAct?: ((text: string) => void) | undefined
  /** Told of what no server may do: refuse an answer, a resume or a repeat, serve an ended session. */
  readonly onViolation: (what: string) => void
}

/**
 * Opens a session. Answers are given by fibers of the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (options: Options) => Effect.Effect<
  Client & {
    /** Reads a stream again, from its first event on. */
    readonly replay: (firstEventId: string) => Effect.Effect<ReadonlyArray<string>>
    /** Returns when every answer was accepted. */
    readonly settled: Effect.Effect<void>
  },
  never,
  Scope.Scope
> = Effect.fnUntraced(function*(options) {
  const scope = yield* Effect.scope
  let sessionHeaders: Record<string, string> = {}
  let nextId = 1
  const answering = new Set<Id>()

  /** What a promise gives, or undefined when the connection was cut before. */
  const orCut = <A>(connection: Connection, promise: (signal: AbortSignal) => Promise<A>) =>
    Effect.raceFirst(
      Effect.match(Effect.tryPromise(promise), {
        onFailure: () => undefined,
        // what a process says while it dies reaches nobody
        onSuccess: (value) => connection.isDead() ? undefined : value
      }),
      Effect.as(connection.died, undefined)
    )

  /** Sends until there is an answer that has begun. Wait and repeat is all a client can do about the rest. */
  const send = Effect.fnUntraced(function*(request: () => Request) {
    for (let wait = 100;; wait = Math.min(wait * 2, 10_000)) {
      const connection = yield* options.connect
      const response = yield* orCut(connection, (signal) => connection.fetch(new Request(request(), { signal })))
      if (response !== undefined && response.status !== 503) {
        return { connection, response }
      }
      yield* Effect.sleep(wait)
    }
  })

  const post = (message: object) => () =>
    new Request(options.url, {
      method: "POST",
      headers: {
        ...sessionHeaders,
        "content-type": "application/json",
        "accept": "application/json, text/event-stream"
      },
      body: JSON.stringify(message)
    })

  const resume = (lastEventId: string) => () =>
    new Request(options.url, {
      headers: { ...sessionHeaders, "accept": "text/event-stream", "last-event-id": lastEventId }
    })

  /** Posts what has no answer but its status. */
  const deliver = Effect.fnUntraced(function*(message: object, what: string) {
    const { response } = yield* send(post(message))
    if (response.status !== 202) {
      options.onViolation(
        `the server refused ${what}: ${response.status} ${yield* Effect.promise(() => response.text())}`
      )
    }
  })

  const answered = Effect.fnUntraced(function*(id: Id, question: Question) {
    const result = yield* (options.answer?.(question) ?? Effect.succeed({ action: "accept", content: {} }))
    if (result !== undefined) {
      yield* question.reply(result)
    }
    answering.delete(id)
  })

  const questionOf = (call: Id, id: Id, message: Message): Question => {
    const question: Question = {
      method: message.method ?? "",
      params: message.params ?? {},
      client: 1,
      call,
      reply: Effect.fnUntraced(function*(result) {
        yield* deliver({ jsonrpc: "2.0", id, result }, `answer to ${question.method}`)
        options.onAnswered(question)
      }),
      fail: Effect.fnUntraced(function*(error) {
        yield* deliver({ jsonrpc: "2.0", id, error }, `answer to ${question.method}`)
        options.onAnswered(question)
      })
    }
    return question
  }

  const receive = Effect.fnUntraced(function*(call: Id, event: Events.Event) {
    const message: Message = JSON.parse(event.data)
    options.onReceived({ client: 1, call, eventId: event.id, message, text: event.data })
    if (message.method !== undefined && message.id !== undefined) {
      answering.add(message.id)
      yield* Effect.forkIn(answered(message.id, questionOf(call, message.id, message)), scope)
    }
    return message
  })

  /** Reads a stream to its end, or to where it was cut. */
  const follow = Effect.fnUntraced(function*(
    connection: Connection,
    response: Response,
    onEvent: (event: Events.Event) => Effect.Effect<void>
  ) {
    if (response.body === null) {
      return true
    }
    const body = response.body.pipeThrough(new TextDecoderStream()).getReader()
    const read = Events.reader()
    for (;;) {
      const chunk = yield* orCut(connection, () => body.read())
      if (chunk === undefined || chunk.done) {
        yield* Effect.ignore(Effect.tryPromise(() => body.cancel()))
        return chunk !== undefined
      }
      for (const event of read(chunk.value)) {
        yield* onEvent(event)
      }
    }
  })

  const request = Effect.fnUntraced(function*(message: { readonly id: Id; readonly method: string }) {
    let lastEventId: string | undefined
    let answer: Answer | undefined
    let retryMs = 100
    for (;;) {
      const resuming = lastEventId
      const { connection, response } = yield* send(resuming === undefined ? post(message) : resume(resuming))
      if (resuming !== undefined && response.status === 204) {
        // A call that was cancelled.
        return {
          headers: response.headers,
          answer: { error: { code: 204, message: "The call ended without an answer" } }
        }
      }
      const media = response.headers.get("content-type") ?? ""
      if (response.status !== 200 || media.startsWith("application/json")) {
        const text = yield* orCut(connection, () => response.text())
        if (text === undefined) {
          continue
        }
        if (response.status !== 200) {
          options.onViolation(
            `the server refused ${
              resuming === undefined ? message.method : `to resume from ${resuming}`
            }: ${response.status} ${text}`
          )
          return { headers: response.headers, answer: { error: { code: response.status, message: text } } }
        }
        const { error, result }: Message = JSON.parse(text)
        return {
          headers: response.headers,
          answer: error === undefined ? { result: result ?? null } : { error }
        }
      }
      const ended = yield* follow(
        connection,
        response,
        Effect.fnUntraced(function*(event) {
          if (event.id !== undefined) {
            lastEventId = event.id
            options.onEventId({ client: 1, call: message.id }, event.id)
          }
          retryMs = event.retryMs ?? retryMs
          if (event.data === "") {
            return
          }
          const { error, id, method, result } = yield* receive(message.id, event)
          if (method === undefined && id === message.id) {
            answer = error === undefined ? { result: result ?? null } : { error }
          }
        })
      )
      if (answer !== undefined) {
        return { headers: response.headers, answer }
      }
      yield* Effect.sleep(ended ? retryMs : 100)
    }
  })

  const opened = yield* request({
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: {
      protocolVersion: "2025-11-25",
      capabilities: options.capabilities,
      clientInfo: { name: "crash-test", version: "1.0.0" }
    }
  } as { readonly id: Id; readonly method: string })
  sessionHeaders = {
    "mcp-session-id": opened.headers.get("mcp-session-id") ?? "",
    "mcp-protocol-version": "2025-11-25"
  }
  yield* deliver({ jsonrpc: "2.0", method: "notifications/initialized" }, "initialized")

  const notYet = Effect.die(new Error("not yet"))

  return {
    request: () => notYet,
    start: () => notYet,
    startRequest: () => notYet,
    question: notYet,
    listen: notYet,
    heard: notYet,
    end: notYet,
    vanish: notYet,
    another: () => notYet,
    callTool: Effect.fnUntraced(function*(name, args = {}, callOptions) {
      const id = callOptions?.id ?? nextId++
      const message = {
        jsonrpc: "2.0",
        id,
        method: "tools/call",
        params: { name, arguments: args, _meta: { progressToken: id } }
      }
      return (yield* request(message)).answer
    }),
    notify: (method, params) => deliver({ jsonrpc: "2.0", method, params }, method),
    replay: Effect.fnUntraced(function*(firstEventId) {
      const texts: Array<string> = []
      const { connection, response } = yield* send(resume(firstEventId))
      yield* follow(connection, response, (event) =>
        Effect.sync(() => {
          if (event.data !== "") {
            texts.push(event.data)
          }
        }))
      return texts
    }),
    settled: Effect.gen(function*() {
      while (answering.size > 0) {
        yield* Effect.sleep(100)
      }
    })
  }
})
