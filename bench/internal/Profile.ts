/**
 * Where the server's time goes: a CPU profile of ours under one load.
 */
import { Console, Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Load from "./Load.ts"
import * as Servers from "./Servers.ts"
import { type Measure, measures } from "./Throughput.ts"

interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

/** The part of a path that tells whose code it is. */
const shorten = (url: string): string =>
  url === "" ? "native" : url.replace(/^.*\/node_modules\//, "").replace(/^file:\/\/.*?\/(src|examples)\//, "$1/")

const group = (profile: CpuProfile, nameOf: (node: CpuProfile["nodes"][number]) => string) => {
  const names = new Map(profile.nodes.map((node) => [node.id, nameOf(node)]))
  const totals = new Map<string, number>()
  profile.samples.forEach((id, i) => {
    const name = names.get(id) ?? "?"
    totals.set(name, (totals.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0))
  })
  return Array.from(totals).sort(([, a], [, b]) => b - a)
}

const table = (rows: ReadonlyArray<readonly [string, number]>, calls: number, count: number) =>
  rows.slice(0, count).map(([name, us]) => `${(us / calls).toFixed(1).padStart(8)} us/call  ${name}`).join("\n")

const one = Effect.fnUntraced(function*(measure: Measure, seconds: number) {
  const dataDir = yield* Servers.dataDir
  const load = yield* Load.start(Servers.loadCore)
  const calls = yield* Effect.scoped(Effect.gen(function*() {
    const server = yield* Servers.start("ours", { dataDir, nodeArgs: ["--cpu-prof", `--cpu-prof-dir=${dataDir}`] })
    const { calls } = yield* load.run({ ...measure.job, url: server.url, seconds })
    yield* server.stop
    return calls
  }))
  const file = readdirSync(dataDir).find((name) => name.endsWith(".cpuprofile"))
  const profile: CpuProfile = JSON.parse(readFileSync(join(dataDir, file ?? "missing.cpuprofile"), "utf8"))
  const byFile = group(profile, ({ callFrame }) => shorten(callFrame.url))
  const byFunction = group(
    profile,
    ({ callFrame }) =>
      `${callFrame.functionName || "(anonymous)"}  ${shorten(callFrame.url)}:${callFrame.lineNumber + 1}`
  )
  yield* Console.log(
    `\n${measure.what}: ${calls} calls, self time, start included\n\n${table(byFile, calls, 25)}\n\n${
      table(byFunction, calls, 45)
    }`
  )
}, Effect.scoped)

export const profile = Effect.fnUntraced(function*(options: { readonly seconds: number }) {
  for (const measure of [measures.echo(64), measures.steps(10, 16, true)]) {
    yield* one(measure, options.seconds)
  }
})
