/**
 * A wire that breaks once: the first connection through it is cut after so many
 * bytes in one direction; those after it are whole.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export interface CuttingProxy {
  readonly url: string
  /** Bytes that the first connection carried. */
  readonly carried: { readonly up: number; readonly down: number }
}

export const make = (options: {
  readonly target: string
  /** `up`: towards the server. */
  readonly direction: "up" | "down"
  readonly cutAt: number
}): Effect.Effect<CuttingProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const target = new URL(options.target)
      const sockets = new Set<Socket>()
      const carried = { up: 0, down: 0 }
      let connections = 0

      const forward = (from: Socket, to: Socket, direction: "up" | "down", first: boolean): void => {
        from.on("data", (data) => {
          const room = first && direction === options.direction ? options.cutAt - carried[direction] : Infinity
          if (first) carried[direction] += Math.min(data.length, room)
          if (data.length < room) {
            to.write(data)
            return
          }
          // What fits goes through, then both ends see the wire break.
          to.end(data.subarray(0, room), () => to.destroy())
          from.destroy()
        })
        from.on("error", () => {})
        from.on("close", () => {
          sockets.delete(from)
          to.destroySoon()
        })
        sockets.add(from)
      }

      const proxy = createServer((client) => {
        const first = connections++ === 0
        if (first && options.cutAt === 0) {
          client.destroy()
          return
        }
        const server = connect(Number(target.port), target.hostname)
        forward(client, server, "up", first)
        forward(server, client, "down", first)
      })
      proxy.listen(0, "127.0.0.1")
      await once(proxy, "listening")
      const { port } = proxy.address() as AddressInfo
      return {
        url: `http://127.0.0.1:${port}${target.pathname}`,
        carried,
        close: async () => {
          for (const socket of sockets) socket.destroy()
          await new Promise((resolve) => proxy.close(resolve))
        }
      }
    }),
    (proxy) => Effect.promise(proxy.close)
  )
