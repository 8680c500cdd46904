/**
 * SIGKILL in the middle of a call; from the spawn of the next process to the
 * first byte of a replayed event on a resumed stream.
 */
import { Console, Effect } from "effect"
import * as McpConnection from "./McpConnection.ts"
import { median, type Row } from "./Report.ts"
import * as Servers from "./Servers.ts"

/** The id of the first progress event, with which a client that lost the rest would resume. */
const firstProgressId = (text: string): string => {
  for (const event of text.split("\n\n")) {
    const id = /^id: ?(\S+)/m.exec(event)?.[1]
    if (id !== undefined && event.includes("notifications/progress")) {
      return id
    }
  }
  throw new Error(`no progress event with an id: ${text}`)
}

/** Once, on a folder of its own. Milliseconds. */
export const replayMs = Effect.fnUntraced(function*(name: Servers.Name) {
  const dataDir = yield* Servers.dataDir
  const { sessionId, text } = yield* Effect.scoped(Effect.gen(function*() {
    const server = yield* Servers.start(name, { dataDir })
    const url = new URL(server.url)
    return yield* Effect.promise(async () => {
      const session = await McpConnection.open(url)
      const text = await McpConnection.callAndLeave(
        url,
        session.sessionId,
        "call",
        "slow_steps",
        { n: 1000, delay_ms: 10 },
        (text) => text.split("notifications/progress").length > 5
      )
      session.close()
      return { sessionId: session.sessionId, text }
    })
    // leaving the scope is the SIGKILL
  }))
  const begun = performance.now()
  const server = yield* Servers.start(name, { dataDir })
  yield* Effect.promise(() =>
    McpConnection.resumeAndLeave(
      new URL(server.url),
      sessionId,
      firstProgressId(text),
      (text) => text.includes("notifications/progress")
    )
  )
  return performance.now() - begun
}, Effect.scoped)

export const replay = Effect.fnUntraced(function*(options: { readonly rounds: number }) {
  const rounds: Array<number> = []
  for (let round = 0; round < options.rounds; round++) {
    const ms = yield* replayMs("ours")
    rounds.push(ms)
    yield* Console.error(`restart to first replayed byte ${ms.toFixed(0)} ms`)
  }
  const value = median(rounds)
  const rows: ReadonlyArray<Row> = [{
    what: "restart to first replayed byte",
    unit: "ms",
    values: { ours: value },
    rounds: { ours: rounds },
    target: { text: "<= 1,000 ms", reached: value <= 1000 }
  }]
  return rows
})
