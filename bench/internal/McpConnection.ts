/**
 * One session over one raw connection: as little client as a load needs.
 */
import { connect, encodeRequest, type HttpConnection, type Response } from "./HttpConnection.ts"

export interface McpConnection {
  readonly sessionId: string
  /** Calls a tool; `body` of the answer is what came, JSON or SSE. */
  readonly call: (tool: string, args: unknown, options?: {
    readonly progress?: boolean | undefined
  }) => Promise<Response>
  readonly post: (message: object) => Promise<Response>
  /** A fresh socket: the server closes one that is idle, and may be about to. */
  readonly reconnect: () => Promise<void>
  readonly close: () => void
}

const version = "2025-11-25"
const media = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
const sessionHeaders = (sessionId: string) => `Mcp-Session-Id: ${sessionId}\r\nMcp-Protocol-Version: ${version}\r\n`

/**
 * Sends one request on a socket of its own and reads until `until` holds for
 * all that came; then hangs up.
 */
const readUntil = (url: URL, request: string, until: (text: string) => boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ""
    connect(url, (chunk) => {
      text += chunk
      if (until(text)) {
        resolve(text)
      }
    }).then((connection) =>
      connection.send(request)
        .finally(connection.close)
        .then(() => reject(new Error(`ended too early: ${text}`)))
    ).catch(reject)
  })

/** Calls a tool with progress and hangs up when `until` holds; the call goes on. */
export const callAndLeave = (
  url: URL,
  sessionId: string,
  id: string,
  tool: string,
  args: unknown,
  until: (text: string) => boolean
): Promise<string> =>
  readUntil(
    url,
    encodeRequest(
      url,
      "POST",
      media + sessionHeaders(sessionId),
      JSON.stringify({
        jsonrpc: "2.0",
        id,
        method: "tools/call",
        params: { name: tool, arguments: args, _meta: { progressToken: id } }
      })
    ),
    until
  )

/** Resumes a stream and hangs up when `until` holds. */
export const resumeAndLeave = (
  url: URL,
  sessionId: string,
  lastEventId: string,
  until: (text: string) => boolean
): Promise<string> =>
  readUntil(
    url,
    encodeRequest(
      url,
      "GET",
      `Accept: text/event-stream\r\n${sessionHeaders(sessionId)}Last-Event-ID: ${lastEventId}\r\n`,
      ""
    ),
    until
  )

/** Opens a session. With `initialized: false` it stays at the answer to `initialize`. */
export const open = async (
  url: URL,
  options?: { readonly capabilities?: object | undefined; readonly initialized?: boolean | undefined }
): Promise<McpConnection> => {
  let connection: HttpConnection = await connect(url)
  let headers = media
  let nextId = 0

  const post = (message: object) => connection.send(encodeRequest(url, "POST", headers, JSON.stringify(message)))

  const answer = await post({
    jsonrpc: "2.0",
    id: nextId++,
    method: "initialize",
    params: {
      protocolVersion: version,
      capabilities: options?.capabilities ?? {},
      clientInfo: { name: "bench", version: "1.0.0" }
    }
  })
  const sessionId = /^mcp-session-id: (\S+)/im.exec(answer.head)?.[1]
  if (answer.status !== 200 || sessionId === undefined) {
    throw new Error(`initialize: ${answer.head}\n\n${answer.body}`)
  }
  headers = media + sessionHeaders(sessionId)
  if (options?.initialized !== false) {
    await post({ jsonrpc: "2.0", method: "notifications/initialized" })
  }

  return {
    sessionId,
    post,
    call: (tool, args, options) => {
      const id = nextId++
      return post({
        jsonrpc: "2.0",
        id,
        method: "tools/call",
        params: {
          name: tool,
          arguments: args,
          ...(options?.progress === true ? { _meta: { progressToken: id } } : undefined)
        }
      })
    },
    reconnect: async () => {
      connection.close()
      connection = await connect(url)
    },
    close: () => connection.close()
  }
}
