/**
 * Ours on Reboot beside ours on SQLite: calls per second, latency, and what a
 * tool call asks of Reboot, which is what it costs there.
 */
import { Console, Effect } from "effect"
import type { ServerProcess } from "../../test/support/ServerProcess.ts"
import * as Counted from "./CountedApplication.ts"
import * as Load from "./Load.ts"
import * as Machine from "./Machine.ts"
import * as RebootApplication from "./RebootApplication.ts"
import { replayMs } from "./Replay.ts"
import { median, type Row } from "./Report.ts"
import * as Servers from "./Servers.ts"
import { type Measure, measured, measures, type Window } from "./Throughput.ts"

/** A front is measured with its application of two server processes and Envoy, on the same machine. */
const stores = { "on Reboot": "reboot", "a front": "front", "on SQLite": "ours" } as const

/**
 * Reboot's own durable MCP server, Python Durable MCP 0.7.1 (reboot 0.41.0): echo
 * calls of one client. Measured once by the authors of this bench, on a machine
 * of two cores, on 2026-11-22; never in a run of it. 7 s is the best restart of
 * several, 10 s the worst.
 */
const durableMcp = "Durable MCP 0.7.1 *"
const earlier = { echoPerSecond: 6.4, echoP50: 149, replayMs: 7000, rss: 834 }

export const columns: ReadonlyArray<string> = [...Object.keys(stores), durableMcp]

export const footnote =
  `A front: itself alone; its application's two servers and Envoy share the machine, and run the calls.
* Python Durable MCP 0.7.1 was not run: figures of 2026-11-22 from a machine of two cores; its restarts took 7 to 10 s.`

type Store = keyof typeof stores

interface Measured extends Window {
  /** Of each call; absent where there is no Reboot. */
  readonly asked: ReturnType<typeof Counted.perCall> | undefined
}

/** What a server says on SIGUSR2. */
const countsOf = Effect.fnUntraced(function*(server: ServerProcess) {
  const said = Effect.map(server.output, (output) => output.match(/^counts .*$/gm)?.at(-1))
  const before = yield* said
  process.kill(server.pid, "SIGUSR2")
  for (;;) {
    yield* Effect.sleep("20 millis")
    const line = yield* said
    if (line !== undefined && line !== before) {
      const counts: Counted.Counts = JSON.parse(line.slice("counts ".length))
      return counts
    }
  }
})

/** What a call leaves to be done behind it (its task ends, listings are written) is done by then, and is counted. */
const quiet = Effect.sleep("1 second")

const windowOf = Effect.fnUntraced(function*(
  load: Load.Load,
  store: Store,
  server: ServerProcess,
  { job }: Measure,
  seconds: number
) {
  const all = { ...job, url: server.url, seconds }
  if (store === "on SQLite") {
    const window: Measured = { ...yield* measured(load, server.pid, all), asked: undefined }
    return window
  }
  // opens the sessions outside of what is counted
  yield* load.run({ ...all, seconds: 0 })
  yield* quiet
  const before = yield* countsOf(server)
  const window = yield* measured(load, server.pid, all)
  yield* quiet
  const asked = Counted.perCall(before, yield* countsOf(server), window.calls)
  const counted: Measured = { ...window, asked }
  return counted
})

interface Target {
  readonly perSecond: number
  readonly writes: number
}

const targets: Readonly<Record<string, Target>> = {
  echo: { perSecond: 80, writes: 2 },
  slow_steps: { perSecond: 25, writes: 6 }
}

const names: Readonly<Record<string, string>> = { echo: "echo", slow_steps: "3 steps with progress" }

/** A round is quiet when others used less than this many cores beside it. */
const quietCores = 0.3

/** Unit of what is counted. */
const perCall = "a call"

const valuesOf = (rounds: Readonly<Record<string, ReadonlyArray<number>>>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(rounds).flatMap(([name, list]) => list.length === 0 ? [] : [[name, median(list)]])
  )

const rowsOf = (
  measure: Measure,
  results: ReadonlyMap<Store, ReadonlyArray<Measured>>,
  isBusiest: boolean
): ReadonlyArray<Row> => {
  const { connections, tool } = measure.job
  const target = targets[tool]
  const all = results.get("on Reboot") ?? []
  // counts are the same in any round, times are not
  const quietOf = (windows: ReadonlyArray<Measured>): ReadonlyArray<Measured> => {
    const quiet = windows.filter(({ others }) => others < quietCores)
    return quiet.length === 0 ? windows : quiet
  }
  const quietRounds = all.filter(({ others }) => others < quietCores).length
  const which = quietRounds > 0 ? `${quietRounds} quiet of ${all.length} rounds` : `no quiet round of ${all.length}`
  const row = (
    what: string,
    unit: string,
    f: (window: Measured) => number,
    rest?: { readonly earlier?: number | undefined; readonly target?: (value: number) => Row["target"] }
  ): Row => {
    const rounds = Object.fromEntries(Array.from(results, ([store, list]) => [store, list.map(f)]))
    const values = valuesOf(
      Object.fromEntries(Array.from(results, ([store, list]) => [store, quietOf(list).map(f)]))
    )
    return {
      what,
      unit,
      rounds,
      note: unit === "calls/s" ? which : undefined,
      values: rest?.earlier === undefined ? values : { ...values, [durableMcp]: rest.earlier },
      target: rest?.target?.(values["on Reboot"] ?? Number.NaN)
    }
  }
  const isLike = tool === "echo" && connections === 1
  const asked = (what: string, f: (asked: ReturnType<typeof Counted.perCall>) => number, limit?: number): Row => {
    const rounds = Object.fromEntries(
      Array.from(
        results,
        ([store, list]) => [store, list.flatMap(({ asked }) => asked === undefined ? [] : [f(asked)])]
      )
    )
    const values = valuesOf(rounds)
    const value = values["on Reboot"] ?? Number.NaN
    return {
      what: `  ${what}`,
      unit: perCall,
      values,
      rounds,
      // the last page of a listing is shared by all calls of a window
      target: limit === undefined ? undefined : { text: `<= ${limit}`, reached: value <= limit + 0.1 }
    }
  }
  return [
    row(`${names[tool]}, c=${connections}`, "calls/s", ({ perSecond }) => perSecond, {
      earlier: isLike ? earlier.echoPerSecond : undefined,
      ...isBusiest && target !== undefined
        ? {
          target: (value) => ({
            text: `>= ${target.perSecond} calls/s, ${which}`,
            reached: value >= target.perSecond
          })
        }
        : {}
    }),
    row("  p50", "ms", ({ p50 }) => p50, { earlier: isLike ? earlier.echoP50 : undefined }),
    row("  p99", "ms", ({ p99 }) => p99),
    asked("Reboot writes", ({ writes }) => writes, target?.writes),
    asked("Reboot reads", ({ reads }) => reads),
    asked("Reboot tasks", ({ tasks }) => tasks),
    row("  CPU of the server", "ms/call", ({ cpuPerCall }) => cpuPerCall / 1000)
  ]
}

const throughput = Effect.fnUntraced(function*(options: {
  readonly rounds: number
  readonly seconds: number
  readonly connections: ReadonlyArray<number>
  readonly stores: ReadonlyArray<Store>
}) {
  const load = yield* Load.start(Servers.loadCore)
  const running = yield* Effect.forEach(
    options.stores,
    Effect.fnUntraced(function*(store) {
      const env = store === "a front" ? yield* RebootApplication.start : undefined
      const dataDir = yield* Servers.dataDir
      return { store, process: yield* Servers.start(stores[store], { dataDir, env, core: undefined }) }
    })
  )
  const all = options.connections.flatMap((c) => [measures.echo(c), measures.steps(3, c, true)])
  for (const { process, store } of running) {
    yield* Console.error(`warming up ${store}`)
    for (const { job } of all) {
      yield* load.run({ ...job, url: process.url, seconds: Math.min(1, options.seconds) })
    }
  }
  const results = new Map<Measure, Map<Store, Array<Measured>>>(all.map((measure) => [measure, new Map()]))
  for (let round = 1; round <= options.rounds; round++) {
    for (const [measure, rows] of results) {
      for (const { process, store } of running) {
        const window = yield* windowOf(load, store, process, measure, options.seconds)
        rows.set(store, [...rows.get(store) ?? [], window])
        const { asked, others, p50, p99, perSecond } = window
        yield* Console.error(
          `round ${round}  ${measure.what.padEnd(34)} ${store.padEnd(9)}  ${perSecond.toFixed(0).padStart(5)}/s  ` +
            `p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms  others ${others.toFixed(2)} cores` +
            (asked === undefined
              ? ""
              : `  ${asked.writes.toFixed(2)} writes  ${asked.reads.toFixed(2)} reads  ${asked.tasks.toFixed(2)} tasks`)
        )
      }
    }
  }
  const busiest = Math.max(...options.connections.filter((c) => c <= 16))
  const rows = Array.from(results).flatMap(([measure, byStore]) =>
    rowsOf(measure, byStore, measure.job.connections === busiest)
  )
  const rss = Object.fromEntries(running.map(({ process, store }) => [store, Machine.residentMiB(process.pid)]))
  return [...rows, { what: "RSS after that", unit: "MiB", values: { ...rss, [durableMcp]: earlier.rss } }]
}, Effect.scoped)

const restarts = Effect.fnUntraced(function*(options: { readonly rounds: number }) {
  const rounds: Record<string, Array<number>> = {}
  for (let round = 1; round <= options.rounds; round++) {
    for (const store of ["on Reboot", "on SQLite"] as const) {
      const ms = yield* replayMs(stores[store])
      rounds[store] = [...rounds[store] ?? [], ms]
      yield* Console.error(`restart to first replayed byte, ${store} ${ms.toFixed(0)} ms`)
    }
  }
  const rows: ReadonlyArray<Row> = [{
    what: "restart to first replayed byte",
    unit: "ms",
    values: { ...valuesOf(rounds), [durableMcp]: earlier.replayMs },
    rounds
  }]
  return rows
})

/** All that is measured on Reboot; `smoke` is less of it, in less than a minute. */
export const onReboot = Effect.fnUntraced(function*(options: {
  readonly rounds: number
  readonly seconds: number
  readonly smoke: boolean
}) {
  const all: ReadonlyArray<Store> = ["on Reboot", "a front", "on SQLite"]
  const { connections, rounds, seconds, stores } = options.smoke
    ? { rounds: 1, seconds: 2, connections: [1, 16], stores: all.filter((store) => store !== "a front") }
    : { ...options, connections: [1, 16, 64], stores: all }
  const rows: ReadonlyArray<Row> = [
    ...yield* throughput({ rounds, seconds, connections, stores }),
    ...yield* restarts({ rounds: Math.min(rounds, 5) })
  ]
  return { rounds, seconds, rows }
})

/** Fails where a call costs more than it may: counts are the same on any machine, other figures are not. */
export const judge = (rows: ReadonlyArray<Row>): Effect.Effect<void> => {
  const missed = rows.filter(({ target, unit }) => unit === perCall && target?.reached === false)
  return missed.length === 0 ? Effect.void : Effect.die(
    new Error(`${missed.map(({ target, what }) => `${what.trim()} a call: not ${target?.text}`).join(", ")}`)
  )
}
