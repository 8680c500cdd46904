/**
 * One keep-alive HTTP/1.1 connection over a raw socket, one request at a time.
 *
 * The load shares the machine with the server it measures, so it must be cheap
 * and cost the same for every server: no header objects, no streams, the body
 * is one string.
 */
import * as Net from "node:net"

export interface Response {
  readonly status: number
  /** Status line and headers. */
  readonly head: string
  readonly body: string
}

export interface HttpConnection {
  /** Writes a whole request; resolves with the whole response, rejects when the connection ends before. */
  readonly send: (request: string) => Promise<Response>
  readonly close: () => void
}

/** The text of a request. `headers` are whole lines, each with its CRLF. */
export const encodeRequest = (url: URL, method: string, headers: string, body: string): string =>
  `${method} ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n${headers}` +
  `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

/** Connects. `onBytes` sees the time at which each chunk arrives, with its text. */
export const connect = (
  url: URL,
  onBytes?: ((text: string) => void) | undefined
): Promise<HttpConnection> =>
  new Promise((connected, failed) => {
    const socket = Net.connect({ host: url.hostname, port: Number(url.port), noDelay: true })
    let open = false
    let pending: { readonly resolve: (r: Response) => void; readonly reject: (e: Error) => void } | undefined

    // what has arrived of the present response
    let text = ""
    let headEnd = -1
    let chunked = false
    let bodyEnd = 0
    let position = 0
    let body = ""

    const reset = () => {
      text = ""
      headEnd = -1
      chunked = false
      bodyEnd = 0
      position = 0
      body = ""
    }

    const complete = () => {
      const head = text.slice(0, headEnd)
      const response = { status: Number(head.slice(9, 12)), head, body: chunked ? body : text.slice(position, bodyEnd) }
      const waiting = pending
      pending = undefined
      reset()
      waiting?.resolve(response)
    }

    const readHead = (): boolean => {
      headEnd = text.indexOf("\r\n\r\n")
      if (headEnd === -1) {
        return false
      }
      position = headEnd + 4
      const head = text.slice(0, headEnd).toLowerCase()
      chunked = head.includes("transfer-encoding: chunked")
      bodyEnd = position + Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0)
      return true
    }

    const readChunks = (): boolean => {
      for (;;) {
        const lineEnd = text.indexOf("\r\n", position)
        if (lineEnd === -1) {
          return false
        }
        const size = Number.parseInt(text.slice(position, lineEnd), 16)
        const next = lineEnd + 2 + size + 2
        if (text.length < next) {
          return false
        }
        if (size === 0) {
          return true
        }
        body += text.slice(lineEnd + 2, next - 2)
        position = next
      }
    }

    socket.on("data", (data) => {
      const chunk = data.toString("latin1")
      onBytes?.(chunk)
      text += chunk
      if (headEnd === -1 && !readHead()) {
        return
      }
      if (chunked ? readChunks() : text.length >= bodyEnd) {
        complete()
      }
    })
    const end = (error?: Error) => {
      open = false
      socket.destroy()
      const cause = error ?? new Error("connection closed")
      failed(cause)
      pending?.reject(cause)
      pending = undefined
    }
    socket.on("error", end)
    socket.on("close", () => end())
    socket.on("connect", () => {
      open = true
      connected({
        close: () => socket.destroy(),
        send: (request) =>
          new Promise((resolve, reject) => {
            if (!open) {
              return reject(new Error("connection closed"))
            }
            pending = { resolve, reject }
            socket.write(request)
          })
      })
    })
  })
