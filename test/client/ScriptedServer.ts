/**
 * A server of bytes: it answers the n-th request with the n-th script, and may
 * die after any byte of either side.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"

export interface Script {
  /** What is written. */
  readonly bytes: string
  /** Cuts the connection after so many bytes of the answer, when `until` is done. Default: the answer is whole. */
  readonly cutAt?: number | undefined
  /** Cuts the connection when so many bytes of the request are here; there is no answer then. */
  readonly cutRequestAt?: number | undefined
  readonly until?: Promise<void> | undefined
}

export interface ScriptedServer {
  readonly url: string
  /** The requests that came in whole, head and body. */
  readonly requests: ReadonlyArray<string>
  /** All requests of which at least one byte came. */
  readonly begun: () => number
}

/** How long a request is, once its head is here. */
const requestLength = (received: Buffer): number => {
  const head = received.indexOf("\r\n\r\n")
  if (head < 0) return Infinity
  const length = /^content-length: (\d+)$/im.exec(received.subarray(0, head).toString("latin1"))
  return head + 4 + Number(length?.[1] ?? 0)
}

export const make = (
  scripts: ReadonlyArray<Script>,
  port = 0
): Effect.Effect<ScriptedServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const requests: Array<string> = []
      const sockets = new Set<Socket>()
      let begun = 0

      const serve = (socket: Socket): void => {
        let received = Buffer.alloc(0)
        let script: Script | undefined
        socket.on("data", (data) => {
          if (received.length === 0) script = scripts[Math.min(begun++, scripts.length - 1)]!
          received = Buffer.concat([received, data])
          if (script?.cutRequestAt !== undefined) {
            if (received.length >= script.cutRequestAt) socket.destroy()
            return
          }
          const length = requestLength(received)
          if (received.length < length) return
          requests.push(received.subarray(0, length).toString())
          received = received.subarray(length)
          void answer(socket, script!)
        })
      }

      const answer = async (socket: Socket, { bytes, cutAt, until }: Script): Promise<void> => {
        const all = Buffer.from(bytes)
        if (cutAt === undefined) {
          socket.write(all)
          return
        }
        if (cutAt > 0) await new Promise<void>((resolve) => socket.write(all.subarray(0, cutAt), () => resolve()))
        await until
        socket.destroy()
      }

      const server = createServer((socket) => {
        sockets.add(socket)
        socket.once("close", () => sockets.delete(socket))
        socket.on("error", () => {})
        serve(socket)
      })
      server.listen(port, "127.0.0.1")
      await once(server, "listening")
      const { port: bound } = server.address() as AddressInfo
      return {
        url: `http://127.0.0.1:${bound}/mcp`,
        requests,
        begun: () => begun,
        close: async () => {
          for (const socket of sockets) socket.destroy()
          await new Promise((resolve) => server.close(resolve))
        }
      }
    }),
    (server) => Effect.promise(server.close)
  )

/** A port of this machine on which nothing listens. */
export const freePort: Effect.Effect<number> = Effect.promise(async () => {
  const server = createServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
})
