/**
 * MCP by hand, over `fetch` or straight into the application: for what no
 * client would send.
 */
import { Effect } from "effect"

export type Fetch = (request: Request) => Promise<Response>

export interface Received {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** An event of a stream. */
export interface Event {
  readonly id: string | undefined
  readonly retry: string | undefined
  readonly data: string
}

export interface Raw {
  readonly session: string
  /** Headers of a session's request. */
  readonly headers: Record<string, string>
  readonly post: (body: unknown, headers?: Record<string, string>) => Effect.Effect<Received>
  readonly get: (headers?: Record<string, string>) => Effect.Effect<Response>
  readonly delete: Effect.Effect<Received>
}

export const mediaTypes = {
  "content-type": "application/json",
  "accept": "application/json, text/event-stream"
}

export const message = (id: string | number, method: string, params?: unknown) => ({
  jsonrpc: "2.0",
  id,
  method,
  ...(params === undefined ? {} : { params })
})

export const call = (id: string | number, name: string, args: Record<string, unknown> = {}) =>
  message(id, "tools/call", { name, arguments: args })

const receive = (response: Response): Promise<Received> =>
  response.text().then((text) => ({ status: response.status, headers: response.headers, text }))

/** A POST of anything; text and bytes as they are, the rest as JSON. */
export const send = (
  fetch: Fetch,
  url: URL,
  body: unknown,
  headers: Record<string, string> = mediaTypes
): Effect.Effect<Received> =>
  Effect.promise(async () =>
    receive(
      await fetch(
        new Request(url, {
          method: "POST",
          headers,
          body: typeof body === "string" || body instanceof Uint8Array ? body as BodyInit : JSON.stringify(body)
        })
      )
    )
  )

/** A session of its own, initialized. */
export const open = Effect.fnUntraced(function*(fetch: Fetch, url: URL, options?: {
  readonly version?: string
  readonly capabilities?: Record<string, unknown>
}) {
  const version = options?.version ?? "2025-11-25"
  const initialized = yield* send(
    fetch,
    url,
    message("init", "initialize", {
      protocolVersion: version,
      capabilities: options?.capabilities ?? {},
      clientInfo: { name: "raw", version: "1" }
    })
  )
  const session = initialized.headers.get("mcp-session-id")
  if (session === null) return yield* Effect.die(new Error(`No session: ${initialized.status} ${initialized.text}`))
  const headers = { ...mediaTypes, "mcp-session-id": session, "mcp-protocol-version": version }
  const raw: Raw = {
    session,
    headers,
    post: (body, extra) => send(fetch, url, body, { ...headers, ...extra }),
    get: (extra) => Effect.promise(() => fetch(new Request(url, { headers: { ...headers, ...extra } }))),
    delete: Effect.promise(async () => receive(await fetch(new Request(url, { method: "DELETE", headers }))))
  }
  yield* raw.post({ jsonrpc: "2.0", method: "notifications/initialized" })
  return raw
})

export const eventsOf = (text: string): ReadonlyArray<Event> =>
  text.split("\n\n").filter((block) => block !== "" && !block.startsWith(":")).map((block) => {
    const lines = block.split("\n")
    const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
    return { id: field("id"), retry: field("retry"), data: field("data") ?? "" }
  })

/** The messages of a stream or of a JSON body. */
export const messagesOf = (received: Received): ReadonlyArray<any> =>
  received.headers.get("content-type") === "text/event-stream"
    ? eventsOf(received.text).filter((event) => event.data !== "").map((event) => JSON.parse(event.data))
    : [JSON.parse(received.text)]

/** Reads events as they come. */
export const reader = (response: Response): {
  readonly next: Effect.Effect<Event | undefined>
  readonly cancel: Effect.Effect<void>
} => {
  const body = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  const events: Array<Event> = []
  let text = ""
  const next = async (): Promise<Event | undefined> => {
    while (events.length === 0) {
      const { done, value } = await body.read()
      if (done) return undefined
      text += value
      const end = text.lastIndexOf("\n\n")
      if (end !== -1) {
        events.push(...eventsOf(text.slice(0, end + 2)))
        text = text.slice(end + 2)
      }
    }
    return events.shift()
  }
  return { next: Effect.promise(next), cancel: Effect.promise(() => body.cancel()) }
}
