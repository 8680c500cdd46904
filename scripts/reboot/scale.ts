/**
 * `npm run reboot:scale`: what Reboot's limits make worth a look. More waiting
 * calls and more timers than it has tasks for (1,024 a type), through a SIGKILL;
 * and whether memory levels off over many calls, each of which is a state that
 * Reboot never deletes.
 *
 *     npm run reboot:scale -- --calls 5000 --store sqlite
 */
import { globSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { parseArgs } from "node:util"
import * as Server from "../server.ts"
import { root } from "../tools.ts"
import { Client, type Left } from "./scale/client.ts"

const { values } = parseArgs({
  options: {
    store: { type: "string", default: "reboot" },
    parked: { type: "string", default: "2000" },
    timers: { type: "string", default: "1500" },
    calls: { type: "string", default: "20000" }
  }
})
const store = values.store
const parked = Number(values.parked)
const timers = Number(values.timers)
const calls = Number(values.calls)

/** On the disk of this checkout: a temporary folder may be memory. */
const artifacts = join(root, ".artifacts")

/** Calls under way at a time. */
const concurrency = 32

/** Sessions, so that none has more calls under way than it may have. */
const sessions = 8

/** How far the memory at the end may lie above that of the middle. */
const mostGrowth = 0.05

const failures: Array<string> = []
const check = (isRight: boolean, what: string): void => {
  console.log(`${isRight ? "ok" : "FAILED"}: ${what}`)
  if (!isRight) failures.push(what)
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`

/** Each item once, so many at a time; the results in order. */
const each = async <A, B>(items: ReadonlyArray<A>, f: (item: A, i: number) => Promise<B>): Promise<Array<B>> => {
  const results: Array<B> = []
  let next = 0
  await Promise.all(Array.from({ length: concurrency }, async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await f(items[i]!, i)
  }))
  return results
}

const range = (length: number): ReadonlyArray<number> => Array.from({ length }, (_, i) => i)

/** A server on a folder of its own, that can be killed and comes back. */
const started = async (env: Readonly<Record<string, string>> = {}) => {
  mkdirSync(artifacts, { recursive: true })
  const folder = mkdtempSync(join(artifacts, "scale-"))
  const start = () =>
    Server.start("scripts/reboot/scale/server.ts", { PORT: "0", DATA_DIR: folder, STORE: store, ...env }, {
      nodeArgs: ["--expose-gc"]
    })
  let server = await start()
  const url = () => new URL(server.url)
  const ask = async (path: string) => (await fetch(new URL(path, url()))).json()
  return {
    url,
    clients: await Promise.all(range(sessions).map(() => Client.open(url))),
    /** Executions by state. */
    executions: () => ask("/executions") as Promise<Readonly<Record<string, number>>>,
    /** Calls that are over and were not forgotten. */
    kept: () => ask("/kept") as Promise<number>,
    /**
     * Heap after garbage collection, and all of the process without RocksDB's
     * write buffer, in MiB. The buffer holds what its log on disk holds, and grows
     * to 64 MiB before it is emptied, which takes it some 25,000 calls.
     */
    memory: async () => {
      const { heap, rss } = await ask("/memory") as { readonly heap: number; readonly rss: number }
      const buffered = globSync(join(folder, "reboot", "*", "*.log")).reduce((sum, log) => sum + statSync(log).size, 0)
      return { heap: heap / 2 ** 20, all: (rss - buffered) / 2 ** 20, buffered: buffered / 2 ** 20 }
    },
    /** SIGKILL; returns when the next process listens, with the milliseconds from its start. */
    kill: async () => {
      await server.kill()
      const began = performance.now()
      server = await start()
      return Math.round(performance.now() - began)
    },
    end: async () => {
      await server.stop()
      rmSync(folder, { recursive: true })
    }
  }
}

/** Waits until all that waits is parked. */
const untilWaiting = async (server: Awaited<ReturnType<typeof started>>, count: number): Promise<boolean> => {
  for (let i = 0; i < 120; i++) {
    if ((await server.executions())["waiting"] === count) return true
    await delay(500)
  }
  return false
}

const waitForAnswers = async (): Promise<void> => {
  const server = await started()
  const { clients } = server
  const of = (i: number) => clients[i % clients.length]!
  let began = performance.now()
  const left: ReadonlyArray<Left> = await each(range(parked), (i) => of(i).leave("ask", { n: i }, "asked"))
  check(await untilWaiting(server, parked), `${parked} calls have asked and are parked, ${seconds(began)}`)
  console.log(`killed; the next process listened after ${await server.kill()} ms`)
  began = performance.now()
  await each(left, (call, i) => of(i).answer(call, { more: i + 1 }))
  const results = await each(left, (call, i) => of(i).resume(call))
  const right = results.filter((text, i) =>
    text === JSON.stringify(`${i} and ${i + 1}`) || text === `${i} and ${i + 1}`
  )
  check(right.length === parked, `${right.length} of ${parked} were answered and are done, ${seconds(began)}`)
  const { completed = 0, ...others } = await server.executions()
  check(completed === parked && Object.keys(others).length === 0, `nothing else is there: ${JSON.stringify(others)}`)
  await server.end()
}

const waitForTimers = async (): Promise<void> => {
  const server = await started()
  const { clients } = server
  const of = (i: number) => clients[i % clients.length]!
  const began = performance.now()
  // the latest first, so that each is earlier than all that are armed
  const first = Date.now() + 60_000
  const last = first + 10_000
  const left = await each(
    range(timers),
    (i) => of(i).leave("nap", { n: i, until: Math.round(last - i * (last - first) / timers) }, "accepted")
  )
  check(await untilWaiting(server, timers), `${timers} timers are armed, ${seconds(began)}`)
  check(Date.now() < first, "none was due meanwhile")
  console.log(`killed; the next process listened after ${await server.kill()} ms`)
  const results = await each(left, (call, i) => of(i).resume(call))
  const right = results.filter((text, i) => text === JSON.stringify(`${i} is awake`) || text === `${i} is awake`)
  check(right.length === timers, `${right.length} of ${timers} have fired`)
  console.log(`the last one ${((Date.now() - last) / 1000).toFixed(1)} s after it was due`)
  const { completed = 0, ...others } = await server.executions()
  check(completed === timers && Object.keys(others).length === 0, `nothing else is there: ${JSON.stringify(others)}`)
  await server.end()
}

const levelOff = async (): Promise<void> => {
  // calls are forgotten while others come
  const server = await started({ RETENTION: "15 seconds" })
  let { clients } = server
  const began = performance.now()
  const samples: Array<{ readonly calls: number; readonly heap: number; readonly all: number }> = []
  const portion = Math.ceil(calls / 20)
  let wrong = 0
  for (let done = 0; done < calls; done += portion) {
    // sessions come and go: what belongs to one, tombstones too, goes with it
    const before = clients
    clients = await Promise.all(range(sessions).map(() => Client.open(server.url)))
    await Promise.all(before.map((client) => client.close()))
    const results = await each(
      range(portion),
      (i) => clients[i % clients.length]!.call("echo", { text: `${done + i}` })
    )
    wrong += results.filter((text, i) => text !== JSON.stringify(`${done + i}`) && text !== `${done + i}`).length
    const sample = { calls: done + portion, ...await server.memory() }
    samples.push(sample)
    console.log(
      `${String(sample.calls).padStart(6)} calls  heap ${sample.heap.toFixed(1)} MiB  ` +
        `all ${sample.all.toFixed(0)} MiB and ${sample.buffered.toFixed(0)} MiB of write buffer  ${seconds(began)}`
    )
  }
  console.log(`${await server.kept()} of them are not forgotten yet`)
  check(wrong === 0, `${calls} calls were answered, ${Math.round(calls / (performance.now() - began) * 1000)} a second`)
  for (const what of ["heap", "all"] as const) {
    const half = samples.slice(Math.floor(samples.length / 2))
    const growth = slope(half.map((sample) => [sample.calls, sample[what]])) * 1000
    const share = growth * (calls / 2 / 1000) / half[0]![what]
    check(
      share <= mostGrowth,
      `${what === "heap" ? "heap" : "all but the write buffer"}: ${
        growth.toFixed(2)
      } MiB for each 1,000 calls of the last half, ` +
        `${(share * 100).toFixed(1)} % over it`
    )
  }
  await server.end()
}

/** Of the straight line through the points that misses them least. */
const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean(([x]) => x), mean(([, y]) => y)]
  return mean((point) => (point[0] - x) * (point[1] - y)) / mean((point) => (point[0] - x) ** 2)
}

const began = performance.now()
if (parked > 0) await waitForAnswers()
if (timers > 0) await waitForTimers()
if (calls > 0) await levelOff()
console.log(`\nscale on ${store}: ${failures.length} failed, ${seconds(began)}`)
process.exitCode = failures.length === 0 ? 0 : 1
