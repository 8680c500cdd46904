/**
 * From spawn to the answer to the first `initialize`, also with 2,000 parked
 * executions on disk.
 */
import { Console, Effect, Stream } from "effect"
import { SqliteStore, Store } from "effect-durable-mcp"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import * as McpConnection from "./McpConnection.ts"
import { median, type Row } from "./Report.ts"
import * as Servers from "./Servers.ts"

const parkedCalls = 2000
const callsPerSession = 50

/** Calls that wait for an answer that nobody gives: each of them one parked execution. */
const park = Effect.fnUntraced(function*(dataDir: string) {
  const server = yield* Servers.start("ours", { dataDir })
  const url = new URL(server.url)
  const asked = (text: string) => text.includes("elicitation/create")
  for (let done = 0; done < parkedCalls; done += callsPerSession) {
    yield* Effect.promise(async () => {
      const session = await McpConnection.open(url, { capabilities: { elicitation: {} } })
      await Promise.all(Array.from({ length: callsPerSession }, (_, i) =>
        McpConnection.callAndLeave(
          url,
          session.sessionId,
          String(i),
          "ledger",
          { path: join(dataDir, "ledger"), n: 1 },
          asked
        )))
      session.close()
    })
  }
  return server
})

const waiting = Effect.fnUntraced(function*(dataDir: string) {
  const filename = readdirSync(dataDir).find((name) => name.endsWith(".db"))
  return yield* Effect.gen(function*() {
    const store = yield* Store.Store
    return yield* Stream.runCount(store.list({ states: ["waiting"] }))
  }).pipe(Effect.provide(SqliteStore.layer({ filename: join(dataDir, filename ?? "missing.db") })), Effect.orDie)
})

/** Returns a folder with that many parked executions, and says so only after counting them. */
const parkedDir = Effect.fnUntraced(function*() {
  const dataDir = yield* Servers.dataDir
  yield* Console.error(`parking ${parkedCalls} calls`)
  yield* Effect.scoped(Effect.gen(function*() {
    const server = yield* park(dataDir)
    // they park when they have waited in memory for the engine's idle delay
    yield* Effect.sleep("8 seconds")
    yield* server.stop
  }))
  const count = yield* waiting(dataDir)
  if (count !== parkedCalls) {
    return yield* Effect.die(new Error(`${count} executions are parked, not ${parkedCalls}`))
  }
  return dataDir
})

const startMs = (name: Servers.Name, dataDir: string) =>
  Effect.scoped(Effect.gen(function*() {
    const begun = performance.now()
    const server = yield* Servers.start(name, { dataDir })
    const session = yield* Effect.promise(() => McpConnection.open(new URL(server.url), { initialized: false }))
    const elapsed = performance.now() - begun
    session.close()
    yield* server.stop
    return elapsed
  }))

export const start = Effect.fnUntraced(function*(options: { readonly rounds: number }) {
  const parked = yield* parkedDir()
  const empty = yield* Servers.dataDir
  const rounds: Record<"empty" | "parked", Record<string, Array<number>>> = { empty: {}, parked: {} }
  const add = (kind: "empty" | "parked", name: string, ms: number) => {
    rounds[kind][name] = [...rounds[kind][name] ?? [], ms]
    return Console.error(`start ${name.padEnd(7)} ${kind.padEnd(6)} ${ms.toFixed(0)} ms`)
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const name of Servers.names) {
      yield* add("empty", name, yield* startMs(name, empty))
    }
    yield* add("parked", "ours", yield* startMs("ours", parked))
  }
  const medians = (kind: "empty" | "parked") =>
    Object.fromEntries(Object.entries(rounds[kind]).map(([name, list]) => [name, median(list)]))
  const over = median((rounds.parked.ours ?? []).map((ms, round) => ms - (rounds.empty.effect?.[round] ?? Number.NaN)))
  const rows: ReadonlyArray<Row> = [
    { what: "start, empty", unit: "ms", values: medians("empty"), rounds: rounds.empty },
    {
      what: "start, 2,000 parked",
      unit: "ms",
      values: medians("parked"),
      rounds: rounds.parked,
      target: { text: `stock Effect's + ${over.toFixed(0)} ms (<= + 300 ms)`, reached: over <= 300 }
    }
  ]
  return rows
}, Effect.scoped)
