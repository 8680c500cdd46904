/**
 * The connections between the client and one process, which break with the
 * process, or by themselves.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Client from "../Client.ts"
import * as Events from "./events.ts"

/** @internal */
export interface Options {
  readonly fetch: (request: Request) => Promise<Response>
  /** The process says nothing any more, not even what it has begun to say. */
  readonly isDead: () => boolean
  /** Runs beside everything else. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** What events said, by their ids: of all processes of a run. */
  readonly said: Map<string, string>
  readonly violation: (text: string) => void
}

/** @internal */
export interface Network {
  readonly connection: () => Client.Connection
  /** Breaks every connection; another one can be had. */
  readonly cut: () => void
  /** Sends every POST again that has no whole answer yet, each on a connection of its own. */
  readonly repeatPosts: () => void
  /** Responses whose end the process has not noticed. */
  readonly open: () => number
}

/** A POST without a whole answer. */
interface Pending {
  readonly request: Request
  status: number | undefined
  /** Of the stream that answers it. */
  token: string | undefined
}

/** @internal */
export const make = ({ fetch, fork, isDead, said, violation }: Options): Network => {
  const pending = new Set<Pending>()
  let open = 0
  let present = connect()
  /** Sessions that the client has ended, whose requests may be refused. */
  const ended = new Set<string | null>()

  function connect() {
    const gone = Deferred.makeUnsafe<void>()
    const breaks = new AbortController()
    let isGone = false
    return {
      signal: breaks.signal,
      died: Deferred.await(gone),
      isDead: () => isGone || isDead(),
      cut: () => {
        isGone = true
        breaks.abort()
        Deferred.doneUnsafe(gone, Effect.void)
      }
    }
  }

  const answered = (post: Pending | undefined) => post !== undefined && pending.delete(post)

  type Line = ReturnType<typeof connect>

  const send = async (line: Line, request: Request, post: Pending | undefined): Promise<Response> => {
    if (line.isDead()) {
      throw broken()
    }
    open++
    const response = await fetch(new Request(request, { signal: AbortSignal.any([request.signal, line.signal]) }))
      .finally(() => open--)
    if (line.isDead()) {
      response.body?.cancel().catch(() => {})
      throw broken()
    }
    if (post !== undefined) {
      post.status = response.status
    }
    if (response.body === null) {
      answered(post)
      return response
    }
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true
    return new Response(relay(line, response.body, isStream ? listen(post) : undefined, post), {
      status: response.status,
      headers: response.headers
    })
  }

  /** Looks at events as they pass: an id says one thing, whoever asks, and a request has one stream (S-R1, S-P10). */
  const listen = (post: Pending | undefined) => {
    const decoder = new TextDecoder()
    const read = Events.reader()
    return (chunk: Uint8Array) => {
      for (const { data, id } of read(decoder.decode(chunk, { stream: true }))) {
        if (id === undefined) {
          continue
        }
        if (post !== undefined) {
          post.token ??= id.slice(0, id.lastIndexOf(":"))
        }
        if (data !== "" && said.get(id) !== data) {
          if (said.has(id)) {
            violation(`event ${id} was ${said.get(id)} and is now ${data}`)
          }
          said.set(id, data)
        }
      }
    }
  }

  /** The body as the client gets it: it ends early when the connection does, and then the process is told. */
  const relay = (
    line: Line,
    body: ReadableStream<Uint8Array>,
    onChunk: ((chunk: Uint8Array) => void) | undefined,
    post: Pending | undefined
  ): ReadableStream<Uint8Array> => {
    const reader = body.getReader()
    open++
    let isOpen = true
    const close = () => {
      if (isOpen) {
        isOpen = false
        open--
      }
    }
    const leave = (reason?: unknown) => {
      answered(post)
      return reader.cancel(reason).then(close, close)
    }
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        line.signal.addEventListener("abort", () => {
          if (isOpen) {
            controller.error(broken())
            void leave()
          }
        })
      },
      pull: async (controller) => {
        const { done, value } = await reader.read()
        if (line.isDead()) {
          return
        }
        if (done) {
          close()
          answered(post)
          controller.close()
        } else {
          onChunk?.(value)
          controller.enqueue(value)
        }
      },
      cancel: leave
    }, { highWaterMark: 0 })
  }

  const repeat = (first: Pending): Effect.Effect<void> => {
    const line = connect()
    const again: Pending = { request: first.request.clone(), status: undefined, token: undefined }
    const whole = Effect.tryPromise(async (signal) => {
      const response = await send(line, new Request(again.request, { signal }), again)
      return await response.text()
    })
    return Effect.raceFirst(whole, Effect.andThen(present.died, Effect.fail("cut"))).pipe(
      Effect.map((text) => {
        const what = `a repeat of ${first.request.method}`
        if (!isLegal(first, again)) {
          violation(`${what} was refused: ${again.status} ${text}`)
        }
        if (first.token !== undefined && again.token !== undefined && first.token !== again.token) {
          violation(`${what} has stream ${again.token}, and the request before has stream ${first.token}`)
        }
      }),
      Effect.ignore,
      Effect.ensuring(Effect.sync(line.cut))
    )
  }

  /** The same as the first, or what any request may get: the store fails, the session has ended. */
  const isLegal = (first: Pending, { request, status = 0 }: Pending) =>
    status < 400 || status === 503 || status === first.status ||
    (status === 404 && ended.has(request.headers.get("mcp-session-id")))

  return {
    connection: () => {
      const line = present
      return {
        fetch: (request) => {
          if (request.method === "DELETE") {
            ended.add(request.headers.get("mcp-session-id"))
          }
          if (request.method !== "POST") {
            return send(line, request, undefined)
          }
          const post: Pending = { request: request.clone(), status: undefined, token: undefined }
          pending.add(post)
          return send(line, request, post)
        },
        died: line.died,
        isDead: line.isDead
      }
    },
    cut: () => {
      const line = present
      present = connect()
      pending.clear()
      line.cut()
    },
    repeatPosts: () => {
      for (const post of pending) {
        fork(repeat(post))
      }
    },
    open: () => open
  }
}

const broken = () => new TypeError("The connection is broken")
