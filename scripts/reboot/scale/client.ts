/** An MCP client that hangs up once it has what it came for, and comes back later. */
import { setTimeout as delay } from "node:timers/promises"

/** Where a call was left. */
export interface Left {
  readonly lastEventId: string
  /** Of the question that is open. */
  readonly question: string | undefined
}

interface Message {
  readonly id?: string | number
  readonly method?: string
  readonly result?: { readonly content?: ReadonlyArray<{ readonly text?: string }> }
}

export class Client {
  readonly #url: () => URL
  readonly #headers: Record<string, string>
  #calls = 0

  private constructor(url: () => URL, headers: Record<string, string>) {
    this.#url = url
    this.#headers = headers
  }

  /** A session of its own; `url` is asked at each request. */
  static async open(url: () => URL): Promise<Client> {
    const opening = new Client(url, {
      "content-type": "application/json",
      "accept": "application/json, text/event-stream"
    })
    const response = await opening.#post({
      id: "open",
      method: "initialize",
      params: {
        protocolVersion: "2025-11-25",
        capabilities: { elicitation: {} },
        clientInfo: { name: "scale", version: "1" }
      }
    })
    await response.text()
    const client = new Client(url, {
      ...opening.#headers,
      "mcp-session-id": response.headers.get("mcp-session-id")!,
      "mcp-protocol-version": "2025-11-25"
    })
    await (await client.#post({ method: "notifications/initialized" })).text()
    return client
  }

  /** Ends the session. */
  async close(): Promise<void> {
    await (await fetch(this.#url(), { method: "DELETE", headers: this.#headers })).text()
  }

  /** Calls, and hangs up at the first event, or at the question where one is to come. */
  async leave(tool: string, args: object, until: "accepted" | "asked"): Promise<Left> {
    const response = await this.#call(tool, args)
    for await (const { id, message } of events(response)) {
      if (id !== undefined && (until === "accepted" || message?.method === "elicitation/create")) {
        return { lastEventId: id, question: message?.id === undefined ? undefined : String(message.id) }
      }
    }
    throw new Error(`${tool} ${JSON.stringify(args)} ended early`)
  }

  /** Calls, and returns the text of the result. */
  async call(tool: string, args: object): Promise<string | undefined> {
    return textOf(await this.#call(tool, args))
  }

  /** Answers the question of a call that was left. */
  async answer({ question }: Left, content: object): Promise<void> {
    const response = await this.#post({ id: question, result: { action: "accept", content } })
    await response.text()
    if (response.status !== 202) throw new Error(`An answer was refused with ${response.status}`)
  }

  /** Comes back to a call that was left: the text of its result. */
  async resume({ lastEventId }: Left): Promise<string | undefined> {
    const headers = { ...this.#headers, "last-event-id": lastEventId }
    return textOf(await fetch(this.#url(), { headers }))
  }

  async #call(tool: string, args: object): Promise<Response> {
    for (;;) {
      const id = ++this.#calls
      const response = await this.#post({ id, method: "tools/call", params: { name: tool, arguments: args } })
      if (response.status !== 429) return response
      // as many calls as one session may have under way
      await response.text()
      await delay(50)
    }
  }

  #post(message: object): Promise<Response> {
    return fetch(this.#url(), {
      method: "POST",
      headers: this.#headers,
      body: JSON.stringify({ jsonrpc: "2.0", ...message })
    })
  }
}

const textOf = async (response: Response): Promise<string | undefined> => {
  for await (const { message } of events(response)) {
    if (message !== undefined && message.method === undefined) return message.result?.content?.[0]?.text
  }
  throw new Error(`A stream ended without its result: ${response.status}`)
}

/** Leaving the loop hangs up. */
async function* events(response: Response) {
  if (!response.ok || response.body === null) {
    throw new Error(`Refused with ${response.status}: ${await response.text()}`)
  }
  let rest = ""
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n")
    rest = parts.pop()!
    for (const part of parts) {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, "m").exec(part)?.[1]
      const data = field("data")
      yield { id: field("id"), message: data ? JSON.parse(data) as Message : undefined }
    }
  }
}
