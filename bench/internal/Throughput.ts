/**
 * Calls per second, latency, CPU per call: windows of load, interleaved over
 * the servers, so that what else the machine does hits all alike.
 */
import { Console, Effect } from "effect"
import type { Job, Result } from "../load.ts"
import * as Load from "./Load.ts"
import * as Machine from "./Machine.ts"
import { median, type Row } from "./Report.ts"
import * as Servers from "./Servers.ts"

export interface Window extends Result {
  readonly perSecond: number
  /** Microseconds of the server's CPU for one call. */
  readonly cpuPerCall: number
  /** CPU that neither the server nor the load used, in cores. */
  readonly others: number
}

export interface Measure {
  readonly what: string
  readonly job: Omit<Job, "url" | "seconds">
}

const echo = (connections: number): Measure => ({
  what: `echo c=${connections}`,
  job: {
    connections,
    tool: "echo",
    args: { text: "a text of some length, as a model would write it" },
    progress: false,
    expect: "a text of some length",
    messages: 0
  }
})

const steps = (n: number, connections: number, progress: boolean): Measure => ({
  what: `slow_steps n=${n} c=${connections}${progress ? " with progress" : ""}`,
  job: { connections, tool: "slow_steps", args: { n }, progress, expect: `done:${n}`, messages: progress ? n : 0 }
})

export const measures = { echo, steps }

/** One window of load, with what the processes used in it. */
export const measured = Effect.fnUntraced(function*(load: Load.Load, pid: number, job: Job) {
  // opens the sessions outside the window
  yield* load.run({ ...job, seconds: 0 })
  const server = Machine.processCpu(pid)
  const machine = Machine.machineCpu()
  const begun = performance.now()
  const result = yield* load.run(job)
  const elapsed = (performance.now() - begun) / 1000
  const serverSeconds = Machine.processCpu(pid) - server
  const machineSeconds = Machine.machineCpu() - machine
  const window: Window = {
    ...result,
    perSecond: result.calls / result.seconds,
    cpuPerCall: serverSeconds * 1e6 / result.calls,
    others: Math.max(0, (machineSeconds - serverSeconds - result.loadCores * result.seconds) / elapsed)
  }
  return window
})

/** Windows of every measure over every server, `rounds` times, in turn. */
const windows = Effect.fnUntraced(function*(options: {
  readonly measures: ReadonlyArray<Measure>
  readonly servers: ReadonlyArray<Servers.Name>
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
}) {
  const dataDir = yield* Servers.dataDir
  const load = yield* Load.start(Servers.loadCore)
  const running = yield* Effect.forEach(
    options.servers,
    (name) => Effect.map(Servers.start(name, { dataDir }), (process) => ({ name, process }))
  )
  for (const { name, process } of running) {
    yield* Console.error(`warming up ${name}`)
    for (const { job } of options.measures) {
      yield* load.run({ ...job, url: process.url, seconds: options.warmUpSeconds / options.measures.length })
    }
  }
  const results = new Map<string, Map<Servers.Name, Array<Window>>>()
  for (let round = 0; round < options.rounds; round++) {
    for (const { job, what } of options.measures) {
      const rows = results.get(what) ?? new Map<Servers.Name, Array<Window>>()
      results.set(what, rows)
      // another one goes first each time
      for (let i = 0; i < running.length; i++) {
        const server = running[(i + round) % running.length]
        if (server !== undefined) {
          const { name, process } = server
          const window = yield* measured(load, process.pid, { ...job, url: process.url, seconds: options.seconds })
          rows.set(name, [...rows.get(name) ?? [], window])
          yield* Console.error(
            `round ${round + 1}  ${what.padEnd(36)} ${name.padEnd(7)} ${window.perSecond.toFixed(0).padStart(6)}/s  ` +
              `p50 ${window.p50.toFixed(2)} ms  p99 ${window.p99.toFixed(2)} ms  ` +
              `${window.cpuPerCall.toFixed(0)} us/call  others ${window.others.toFixed(2)} cores`
          )
        }
      }
    }
  }
  return results
}, Effect.scoped)

const row = (
  what: string,
  unit: string,
  results: ReadonlyMap<Servers.Name, ReadonlyArray<Window>>,
  f: (window: Window) => number
): Row => {
  const rounds = Object.fromEntries(Array.from(results, ([name, list]) => [name, list.map(f)]))
  return {
    what,
    unit,
    rounds,
    values: Object.fromEntries(Object.entries(rounds).map(([name, list]) => [name, median(list)]))
  }
}

/** A round counts as quiet when others used less than this many cores beside either server. */
const quietCores = 0.2

/**
 * The median over the rounds of our value over that of SDK v1 in the same
 * round; over the quiet rounds alone where there are some.
 */
const compare = (
  results: ReadonlyMap<Servers.Name, ReadonlyArray<Window>>,
  f: (window: Window) => number
): { readonly ratio: number; readonly text: string } => {
  const pairs = (results.get("ours") ?? []).flatMap((ours, round) => {
    const theirs = results.get("sdk-v1")?.[round]
    return theirs === undefined ? [] : [{ ours, theirs }]
  })
  const quiet = pairs.filter(({ ours, theirs }) => Math.max(ours.others, theirs.others) < quietCores)
  const ratio = median((quiet.length > 0 ? quiet : pairs).map(({ ours, theirs }) => f(ours) / f(theirs)))
  const which = quiet.length > 0
    ? `${quiet.length} quiet of ${pairs.length} rounds`
    : `no quiet round of ${pairs.length}`
  return { ratio, text: `${ratio.toFixed(2)}x SDK v1, ${which}` }
}

/** The row of one figure, with its ratio to SDK v1 and what that is to be. */
const compared = (
  what: string,
  unit: string,
  results: ReadonlyMap<Servers.Name, ReadonlyArray<Window>>,
  f: (window: Window) => number,
  target?: { readonly sign: ">=" | "<="; readonly limit: number } | undefined
): Row => {
  const { ratio, text } = compare(results, f)
  return {
    ...row(what, unit, results, f),
    note: text,
    target: target === undefined ? undefined : {
      text: `${text} (${target.sign} ${target.limit}x)`,
      reached: target.sign === ">=" ? ratio >= target.limit : ratio <= target.limit
    }
  }
}

/** `echo` at three concurrencies and progress streams, ours beside the others. */
export const comparison = Effect.fnUntraced(function*(options: {
  readonly rounds: number
  readonly seconds: number
  readonly echo: boolean
  readonly progress: boolean
}) {
  const messages = 10
  const streams = steps(messages, 16, true)
  const measures = [...options.echo ? [echo(1), echo(16), echo(64)] : [], ...options.progress ? [streams] : []]
  const results = yield* windows({ ...options, measures, servers: Servers.names, warmUpSeconds: 8 })
  const rows: Array<Row> = []
  for (const [what, windows] of results) {
    if (what === streams.what) {
      rows.push(compared(what, "messages/s", windows, (w) => w.perSecond * messages, { sign: ">=", limit: 1 }))
    } else {
      const all = what === "echo c=64" ? { sign: ">=", limit: 1 } as const : undefined
      const one = what === "echo c=1" ? { sign: "<=", limit: 0.5 } as const : undefined
      rows.push(
        compared(what, "calls/s", windows, (w) => w.perSecond, all),
        compared("  p50", "ms", windows, (w) => w.p50, one)
      )
    }
    rows.push(
      row("  p99", "ms", windows, (w) => w.p99),
      compared("  CPU of the server", "us/call", windows, (w) => w.cpuPerCall),
      row("  others used", "cores", windows, (w) => w.others)
    )
  }
  return rows
})

/** What one more durable step costs a call: n=11 against n=1, without progress, one at a time. */
export const marginalStep = Effect.fnUntraced(function*(options: {
  readonly rounds: number
  readonly seconds: number
}) {
  const one = steps(1, 1, false)
  const eleven = steps(11, 1, false)
  const results = yield* windows({ ...options, measures: [one, eleven], servers: ["ours"], warmUpSeconds: 4 })
  const p50 = (what: string) => results.get(what)?.get("ours")?.map((window) => window.p50) ?? []
  const rounds = p50(eleven.what).map((more, round) => (more - (p50(one.what)[round] ?? Number.NaN)) / 10)
  const value = median(rounds)
  const rows: ReadonlyArray<Row> = [{
    what: "one more durable step",
    unit: "ms",
    values: { ours: value },
    rounds: { ours: rounds },
    target: { text: "<= 0.5 ms", reached: value <= 0.5 }
  }]
  return rows
})
