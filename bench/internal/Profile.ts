/**
 * Where the server's time goes: a CPU profile of ours under one load.
 */
import { Console, Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Load from "./Load.ts"
import * as Servers from "./Servers.ts"
import { type Measure, measures } from "./Throughput.ts"

interface Node {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: ReadonlyArray<number> | undefined
}

interface CpuProfile {
  readonly nodes: ReadonlyArray<Node>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

/** The part of a path that tells whose code it is. */
const shorten = (url: string): string =>
  url === "" ? "native" : url.replace(/^.*\/node_modules\//, "").replace(/^file:\/\/.*?\/(src|examples)\//, "$1/")

const isOurs = (url: string) => /^(src|examples)\//.test(shorten(url))

const functionOf = ({ callFrame }: Node) =>
  `${callFrame.functionName || "(anonymous)"}  ${shorten(callFrame.url)}:${callFrame.lineNumber + 1}`

/** Time by the name that each sample gets; the process' idle time is left out. */
const group = (profile: CpuProfile, nameOf: (node: Node) => string) => {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const totals = new Map<string, number>()
  profile.samples.forEach((id, i) => {
    const node = nodes.get(id)
    if (node !== undefined && node.callFrame.functionName !== "(idle)") {
      const name = nameOf(node)
      totals.set(name, (totals.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0))
    }
  })
  return Array.from(totals).sort(([, a], [, b]) => b - a)
}

/** The function of ours on whose behalf a frame runs: itself, or the nearest caller. */
const onBehalfOf = (profile: CpuProfile) => {
  const parents = new Map(profile.nodes.flatMap((node) => node.children?.map((child) => [child, node] as const) ?? []))
  return (node: Node): string => {
    for (let at: Node | undefined = node; at !== undefined; at = parents.get(at.id)) {
      if (isOurs(at.callFrame.url)) {
        return functionOf(at)
      }
    }
    return `(none of ours)  ${shorten(node.callFrame.url)}`
  }
}

const table = (title: string, rows: ReadonlyArray<readonly [string, number]>, calls: number, count: number) =>
  `\n${title}\n${
    rows.slice(0, count).map(([name, us]) => `${(us / calls).toFixed(1).padStart(8)} us/call  ${name}`).join("\n")
  }`

const one = Effect.fnUntraced(function*(measure: Measure, seconds: number) {
  const dataDir = yield* Servers.dataDir
  const file = join(dataDir, "server.cpuprofile")
  const load = yield* Load.start(Servers.loadCore)
  const server = yield* Servers.start("ours", { dataDir, nodeArgs: Servers.cpuProbe, env: { CPU_PROFILE: file } })
  const toggle = Effect.sync(() => process.kill(server.pid, "SIGUSR2"))
  const job = { ...measure.job, url: server.url }
  yield* load.run({ ...job, seconds })
  yield* toggle
  yield* Effect.sleep("300 millis")
  const { calls } = yield* load.run({ ...job, seconds })
  yield* toggle
  while (!(yield* server.output).includes("profile written")) {
    yield* Effect.sleep("50 millis")
  }
  const profile: CpuProfile = JSON.parse(readFileSync(file, "utf8"))
  yield* Console.log(`\n${measure.what}: ${calls} calls`)
  yield* Console.log(table("by file", group(profile, ({ callFrame }) => shorten(callFrame.url)), calls, 25))
  yield* Console.log(table("by function of ours on whose behalf", group(profile, onBehalfOf(profile)), calls, 40))
  yield* Console.log(table("by function", group(profile, functionOf), calls, 40))
}, Effect.scoped)

export const profile = Effect.fnUntraced(function*(options: { readonly seconds: number }) {
  for (const measure of [measures.echo(64), measures.steps(10, 16, true)]) {
    yield* one(measure, options.seconds)
  }
})
