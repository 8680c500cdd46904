/**
 * What client and server say to each other about one request, as a transcript
 * that can be compared: ids that a server chose are replaced by their order.
 */
import { Effect } from "effect"
import { url } from "./endpoints.ts"
import { type Fetch, messagesOf, type Raw, reader } from "./raw.ts"

export interface Message {
  readonly id?: string | number
  readonly method?: string
  readonly params?: any
  readonly result?: any
  readonly error?: any
}

export type Reply = { readonly result: unknown } | { readonly error: unknown }

export type Line =
  | { readonly server: Message }
  | { readonly client: unknown; readonly status: number }

export interface Client {
  /** What the client answers; nothing where it leaves a question open. */
  readonly answer?: ((question: Message, index: number) => Reply | undefined) | undefined
  /** Answers when so many questions are open, the last one first. Default 1. */
  readonly hold?: number | undefined
  /** Before it answers. */
  readonly wait?: Effect.Effect<void> | undefined
  /** What the client says besides, when it has heard a message. */
  readonly say?: ((message: Message) => object | "DELETE" | undefined) | undefined
}

/** Sends a message and hears its answer out. */
export const converse = Effect.fnUntraced(function*(fetch: Fetch, peer: Raw, message: object, client: Client = {}) {
  const lines: Array<Line> = []
  const wireIds: Array<string | number> = []
  const open: Array<{ readonly id: string | number; readonly reply: Reply }> = []

  const hear = Effect.fnUntraced(function*(message: Message) {
    lines.push({ server: normalize(message, wireIds) })
    const said = client.say?.(message)
    if (said !== undefined) {
      lines.push({ client: said, status: (yield* said === "DELETE" ? peer.delete : peer.post(said)).status })
    }
    if (message.method === undefined || message.id === undefined) return
    const reply = client.answer?.(message, wireIds.length - 1)
    if (reply !== undefined) open.push({ id: message.id, reply })
    if (open.length < (client.hold ?? 1)) return
    yield* client.wait ?? Effect.void
    for (const { id, reply } of open.splice(0).toReversed()) {
      const { status } = yield* peer.post({ jsonrpc: "2.0", id, ...reply })
      lines.push({ client: { id: nameOf(id, wireIds), ...reply }, status })
    }
  })

  const response = yield* Effect.promise(() =>
    fetch(new Request(url, { method: "POST", headers: peer.headers, body: JSON.stringify(message) }))
  )
  if (response.headers.get("content-type") === "text/event-stream") {
    const events = reader(response)
    for (let event = yield* events.next; event !== undefined; event = yield* events.next) {
      if (event.data !== "") yield* hear(JSON.parse(event.data)) // a priming event says nothing
    }
  } else {
    const { headers, status } = response
    for (const message of messagesOf({ status, headers, text: yield* Effect.promise(() => response.text()) })) {
      yield* hear(message)
    }
  }
  return lines
})

const nameOf = (id: string | number, wireIds: ReadonlyArray<string | number>): string =>
  `question ${wireIds.indexOf(id) + 1}`

/** Questions are numbered as they come, also where the server withdraws one. */
const normalize = (message: Message, wireIds: Array<string | number>): Message => {
  if (message.method === undefined) return message
  if (message.id !== undefined) {
    wireIds.push(message.id)
    return { ...message, id: nameOf(message.id, wireIds) }
  }
  return message.method === "notifications/cancelled"
    ? { ...message, params: { ...message.params, requestId: nameOf(message.params.requestId, wireIds) } }
    : message
}
