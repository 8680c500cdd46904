/**
 * What this process listens on, as the system says.
 */
import { Effect } from "effect"
import * as Fs from "node:fs"

/** Sockets of this process, by inode. */
const sockets = (): ReadonlySet<string> => {
  const found = new Set<string>()
  for (const descriptor of Fs.readdirSync("/proc/self/fd")) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(Fs.readlinkSync(`/proc/self/fd/${descriptor}`))?.[1]
      if (inode !== undefined) found.add(inode)
    } catch {
      // Closed since it was listed.
    }
  }
  return found
}

const listening = "0A"

/** Addresses on which this process listens, TCP and UDP, as in `/proc/net`. */
export const listeningPorts: Effect.Effect<ReadonlyArray<string>> = Effect.sync(() => {
  const own = sockets()
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((table) =>
    Fs.readFileSync(`/proc/net/${table}`, "utf8").split("\n").slice(1).flatMap((line) => {
      const [, address, , state, , , , , , inode] = line.trim().split(/\s+/)
      return inode !== undefined && own.has(inode) && (state === listening || table.startsWith("udp"))
        ? [`${table} ${address}`]
        : []
    })
  )
})
