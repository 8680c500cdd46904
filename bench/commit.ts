/**
 * Where commits run and who waits for the disk, behind the same queue: the main
 * thread does both; the main thread commits and the thread pool waits, as
 * `SqliteStore` does; or a worker thread does both. `node bench/commit.ts` prints
 * one row for each disk and number of callers; about a minute a round. On a busy
 * machine, as root: `chrt -f 10 node bench/commit.ts`, which goes before all
 * others.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Measured, Settings } from "./commit/Cell.ts"

const rounds = Number(process.argv[2] ?? 2)
const threads = ["main", "pool", "worker"] as const

const run = (settings: Settings): Measured =>
  JSON.parse(
    execFileSync(process.execPath, [
      fileURLToPath(new URL("commit/Cell.ts", import.meta.url)),
      JSON.stringify(settings)
    ], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })
  )

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const columns: ReadonlyArray<readonly [title: string, of: (measured: Measured) => number, digits: number]> = [
  ["calls/s", (measured) => measured.callsPerSecond, 0],
  ["CPU µs/call", (measured) => measured.cpuUsPerCall, 0],
  ["call p50 ms", (measured) => measured.callP50Ms, 2],
  ["call p99 ms", (measured) => measured.callP99Ms, 1],
  ["loop p99 ms", (measured) => measured.loopP99Ms, 1],
  ["batch", (measured) => measured.batch, 1],
  ["others' cores", (measured) => measured.otherCores, 2]
]

console.log(`| disk | callers | ${columns.map(([title]) => `${title} main / pool / worker`).join(" | ")} |`)
console.log(`|---|---|${columns.map(() => "---|").join("")}`)
for (const diskMs of [0, 2, 20]) {
  for (const connections of [1, 16, 64]) {
    const results = { main: [] as Array<Measured>, pool: [] as Array<Measured>, worker: [] as Array<Measured> }
    for (let round = 0; round < rounds; round++) {
      // Interleaved, so that all meet the same disturbance.
      for (const thread of threads) {
        results[thread].push(run({ thread, connections, diskMs, seconds: 1.5, otherWorkUs: 150 }))
      }
    }
    const cells = columns.map(([, of, digits]) =>
      threads.map((thread) => median(results[thread].map(of)).toFixed(digits)).join(" / ")
    )
    console.log(`| ${diskMs === 0 ? "quiet" : `+${diskMs} ms`} | ${connections} | ${cells.join(" | ")} |`)
  }
}
