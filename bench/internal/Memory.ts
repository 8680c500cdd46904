/**
 * Live heap of a session that does nothing: after garbage collection, with the
 * sessions open less without them.
 */
import { Console, Effect } from "effect"
import type { ServerProcess } from "../../test/support/ServerProcess.ts"
import * as McpConnection from "./McpConnection.ts"
import type { Row } from "./Report.ts"
import * as Servers from "./Servers.ts"

const liveHeap = Effect.fnUntraced(function*(server: ServerProcess) {
  const known = (yield* server.output).split("heap ").length
  process.kill(server.pid, "SIGUSR2")
  for (;;) {
    yield* Effect.sleep("20 millis")
    const readings = (yield* server.output).split("heap ")
    if (readings.length > known) {
      return Number.parseInt(readings.at(-1) ?? "", 10)
    }
  }
})

const openSessions = (url: URL, sessions: number) =>
  Effect.promise(async () => {
    for (let i = 0; i < sessions; i++) {
      ;(await McpConnection.open(url)).close()
    }
  })

export const memory = Effect.fnUntraced(function*(options: { readonly sessions: number }) {
  const values: Record<string, number> = {}
  for (const name of Servers.names) {
    yield* Effect.scoped(Effect.gen(function*() {
      const server = yield* Servers.start(name, { dataDir: yield* Servers.dataDir, nodeArgs: Servers.heapProbe })
      const url = new URL(server.url)
      // what the first sessions load and compile is not theirs
      yield* openSessions(url, 200)
      yield* Effect.sleep("1 second")
      const before = yield* liveHeap(server)
      yield* openSessions(url, options.sessions)
      yield* Effect.sleep("1 second")
      const after = yield* liveHeap(server)
      values[name] = (after - before) / options.sessions / 1024
      yield* Console.error(`${name.padEnd(7)} ${values[name]?.toFixed(2)} KiB live heap per idle session`)
    }))
  }
  const ours = values.ours ?? Number.NaN
  const rows: ReadonlyArray<Row> = [{
    what: `idle session (of ${options.sessions.toLocaleString("en")})`,
    unit: "KiB",
    values,
    target: { text: "<= 1 KiB, before eviction", reached: ours <= 1 }
  }]
  return rows
})
