/**
 * A client that writes down what it sees of the wire. It shares no code with the
 * kit's client: it repeats a POST until an answer began, resumes a stream where
 * it was cut, and holds each stream to what every row of the matrix asks of it:
 * each event exactly once and in order, one answer, nothing after it, then EOF.
 */
import { Deferred, Effect, Fiber, type Scope } from "effect"
import { type Event, mediaTypes, message, messagesOf, reader, type Received } from "../wire/raw.ts"
import type { Nodes } from "./Nodes.ts"
import { until } from "./Nodes.ts"

export interface Wire {
  readonly session: string
  /** Attempts to reach a server that were cut off. */
  readonly cuts: () => number
  /** Sends until there is a whole answer. */
  readonly post: (body: unknown) => Effect.Effect<Received>
  readonly request: (id: string | number, method: string, params?: unknown) => Effect.Effect<any>
  readonly notify: (method: string, params?: unknown) => Effect.Effect<Received>
  readonly answer: (id: unknown, result: unknown) => Effect.Effect<Received>
  readonly delete: Effect.Effect<Received>
  readonly call: (id: string | number, tool: string, args?: unknown) => Effect.Effect<Call, never, Scope.Scope>
  /** A stream of its own (GET). */
  readonly listen: Effect.Effect<Stream, never, Scope.Scope>
  /** Reads a stream behind an event to its end. */
  readonly replay: (
    lastEventId: string
  ) => Effect.Effect<{ readonly status: number; readonly events: ReadonlyArray<Event> }>
}

/** A stream over all the connections that it took. */
export interface Stream {
  /** With a message, in order. */
  readonly messages: ReadonlyArray<any>
  /** Ids of all events, those without a message too. */
  readonly ids: ReadonlyArray<string>
  /** Waits for the first message that is so. */
  readonly first: (is: (message: any) => boolean) => Effect.Effect<any>
}

export interface Call extends Stream {
  readonly id: string | number
  /** The response; undefined when the stream ended without one. */
  readonly response: Effect.Effect<any>
  /** Returns when the first event id has arrived. */
  readonly primed: Effect.Effect<void>
}

export const isQuestion = ({ id, method }: any): boolean => id !== undefined && method !== undefined

/** What no client may see, as a defect of the test. */
const wrong = (what: string) => Effect.die(new Error(what))

/** Opens a session; without `initialized` when that is asked for. */
export const open = Effect.fnUntraced(function*(nodes: Nodes["Service"], options?: {
  readonly version?: string
  readonly initialized?: boolean
}) {
  const version = options?.version ?? "2025-11-25"
  let cuts = 0

  /** Sends until `use` has what it needs of the answer. */
  const send = <A>(
    init: () => RequestInit,
    use: (response: Response) => Promise<A>
  ): Effect.Effect<A> =>
    Effect.gen(function*() {
      for (let wait = 5;; wait = Math.min(wait * 2, 100)) {
        const { url } = yield* nodes.node
        const got = yield* Effect.exit(Effect.tryPromise(async (signal) => {
          const response = await fetch(url, { ...init(), signal })
          if (response.status === 503) throw new Error("The server is going down")
          return use(response)
        }))
        if (got._tag === "Success") {
          return got.value
        }
        cuts++
        yield* Effect.sleep(wait)
      }
    })

  const whole = (response: Response): Promise<Received> =>
    response.text().then((text) => ({ status: response.status, headers: response.headers, text }))

  const opened = yield* send(() => ({
    method: "POST",
    headers: mediaTypes,
    body: JSON.stringify(message("init", "initialize", {
      protocolVersion: version,
      capabilities: { elicitation: {}, roots: { listChanged: true } },
      clientInfo: { name: "matrix", version: "1" }
    }))
  }), whole)
  const session = opened.headers.get("mcp-session-id")
  if (session === null) {
    return yield* wrong(`No session: ${opened.status} ${opened.text}`)
  }
  const headers = { ...mediaTypes, "mcp-session-id": session, "mcp-protocol-version": version }
  const post = (body: unknown) => send(() => ({ method: "POST", headers, body: JSON.stringify(body) }), whole)
  const notify = (method: string, params?: unknown) => post({ jsonrpc: "2.0", method, params })
  const resumption = (lastEventId: string) => ({ headers: { ...headers, "last-event-id": lastEventId } })

  /** Follows a stream to its end; true when it ended and was not cut. */
  const follow = (response: Response, onEvent: (event: Event) => Effect.Effect<void>) =>
    Effect.gen(function*() {
      const body = reader(response)
      for (;;) {
        const got = yield* Effect.exit(body.next)
        if (got._tag === "Failure") {
          cuts++
          return false
        }
        if (got.value === undefined) {
          return true
        }
        yield* onEvent(got.value)
      }
    })

  /** A stream from its first request on. `isOver` says which message is its last one. */
  const stream = Effect.fnUntraced(function*(first: () => RequestInit, isOver: (message: any) => boolean) {
    const messages: Array<any> = []
    const ids: Array<string> = []
    const primed = yield* Deferred.make<void>()
    let last: string | undefined
    let over: any

    const onEvent = (event: Event): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (event.id === undefined) {
          // only the heartbeat is not in the log
          return JSON.parse(event.data).method === "notifications/progress"
            ? Effect.void
            : wrong(`No id: ${event.data}`)
        }
        const seq = Number(event.id.slice(event.id.lastIndexOf(":") + 1))
        const before = last === undefined ? -1 : Number(last.slice(last.lastIndexOf(":") + 1))
        if (seq < before || (seq === before && event.data !== "")) {
          return wrong(`Event ${event.id} came after ${last}`)
        }
        if (
          last !== undefined && last.slice(0, last.lastIndexOf(":")) !== event.id.slice(0, event.id.lastIndexOf(":"))
        ) {
          return wrong(`Event ${event.id} is of another stream than ${last}`)
        }
        if (over !== undefined) {
          return wrong(`${event.data} came after the answer`)
        }
        last = event.id
        ids.push(event.id)
        if (event.data !== "") {
          const message = JSON.parse(event.data)
          messages.push(message)
          over = isOver(message) ? message : undefined
        }
        return Deferred.succeed(primed, undefined)
      })

    const run = Effect.gen(function*() {
      for (;;) {
        const resuming = last
        const response = yield* send(() => resuming === undefined ? first() : resumption(resuming), async (r) => r)
        if (resuming !== undefined && response.status === 204) {
          return over
        }
        if (response.status !== 200) {
          return yield* wrong(
            `A stream was refused: ${response.status} ${yield* Effect.promise(() => response.text())}`
          )
        }
        const ended = yield* follow(response, onEvent)
        if (over !== undefined && ended) {
          return over
        }
      }
    })
    const running = yield* Effect.forkScoped(run, { startImmediately: true })
    return {
      messages,
      ids,
      primed: Deferred.await(primed),
      first: (is: (message: any) => boolean) =>
        until(Effect.sync(() => messages.some(is))).pipe(
          Effect.raceFirst(Effect.flatMap(
            Fiber.join(running),
            () => messages.some(is) ? Effect.void : wrong(`The stream ended with ${JSON.stringify(messages)}`)
          )),
          Effect.map(() => messages.find(is))
        ),
      response: Fiber.join(running)
    }
  })

  if (options?.initialized !== false) {
    yield* notify("notifications/initialized")
  }

  const wire: Wire = {
    session,
    cuts: () => cuts,
    post,
    notify,
    request: (id, method, params) => Effect.map(post(message(id, method, params)), (got) => messagesOf(got).at(-1)),
    answer: (id, result) => post({ jsonrpc: "2.0", id, result }),
    delete: send(() => ({ method: "DELETE", headers }), whole),
    call: (id, name, args = {}) =>
      Effect.map(
        stream(
          () => ({
            method: "POST",
            headers,
            body: JSON.stringify(message(id, "tools/call", { name, arguments: args, _meta: { progressToken: id } }))
          }),
          (message) => message.id === id && message.method === undefined
        ),
        (stream) => ({ ...stream, id })
      ),
    listen: stream(() => ({ headers }), () => false),
    replay: (lastEventId) =>
      Effect.gen(function*() {
        const response = yield* send(() => resumption(lastEventId), async (r) => r)
        const events: Array<Event> = []
        if (response.status === 200) {
          yield* follow(response, (event) => Effect.sync(() => void events.push(event)))
        }
        return { status: response.status, events }
      })
  }
  return wire
})
