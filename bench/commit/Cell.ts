/**
 * One cell of the comparison, in a process of its own: some callers, one thread
 * that commits, one disk. Takes its settings as JSON in the first argument and
 * prints its result as JSON.
 *
 * A call is what a tool call with one step and two progress messages asks of
 * the store: three commits, two submits, one read, and a fixed amount of other
 * work, since a server does more than store.
 */
import { Cause, Effect, Result } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { DatabaseSync } from "node:sqlite"
import { Worker } from "node:worker_threads"
import type { Commit } from "../../src/store/internal/commitQueue.ts"
import { fromBackend } from "../../src/store/internal/fromBackend.ts"
import * as Backend from "../../src/store/internal/sqliteBackend.ts"
import * as SqliteCommit from "../../src/store/internal/sqliteCommit.ts"
import type { Outcome, Store, Write } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import * as Machine from "../internal/Machine.ts"
import * as Disk from "./Disk.ts"

export interface Settings {
  /** Who commits and who waits for the disk: `main` and `worker` do both; `pool` commits on the main thread and lets the thread pool sync. */
  readonly thread: "main" | "pool" | "worker"
  readonly connections: number
  readonly seconds: number
  /** Waited in the committing thread after each COMMIT, in milliseconds. */
  readonly diskMs: number
  /** Work of a call that is not the store's, in microseconds of the main thread. */
  readonly otherWorkUs: number
}

export interface Measured {
  readonly callsPerSecond: number
  /** CPU of all threads, other work subtracted. */
  readonly cpuUsPerCall: number
  readonly callP50Ms: number
  readonly callP99Ms: number
  /** Delay of a 1 ms timer. */
  readonly loopP99Ms: number
  /** Entries (commits and submits) that shared one COMMIT, mean. */
  readonly batch: number
  /** CPU that other processes used, in cores. */
  readonly otherCores: number
}

const settings: Settings = JSON.parse(process.argv[2]!)

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-mcp-commit-"))
const filename = Path.join(folder, "store.db")

let entries = 0
let commits = 0

const counted = (commit: Commit): Commit => (batch, now, done) => {
  entries += batch.length
  commits++
  commit(batch, now, done)
}

/** Commits in this thread and syncs in the thread pool, as the store does. */
const onPool = () => {
  const { backend, file } = Disk.open(filename, 0, false)
  const log = SqliteCommit.logSync(file.file)
  const commit = SqliteCommit.make(backend, filename, {
    ...log,
    sync: (done) => log.sync((error) => settings.diskMs === 0 ? done(error) : setTimeout(done, settings.diskMs, error))
  })
  return Promise.resolve({
    backend,
    commit,
    close: () => {
      log.close()
      file.close()
    }
  })
}

/** Commits and syncs in this thread. */
const onMain = () => {
  const { backend, file } = Disk.open(filename, settings.diskMs)
  const commit: Commit = (batch, now, done) =>
    done(Result.try({ try: () => backend.apply(batch, now), catch: (cause) => cause as StoreError }))
  return Promise.resolve({ backend, commit, close: file.close })
}

/** Commits in a worker thread; this thread reads on a connection of its own. */
const onWorker = async () => {
  const worker = new Worker(new URL("Worker.ts", import.meta.url), {
    workerData: { filename, diskMs: settings.diskMs }
  })
  await new Promise((resolve) => worker.once("message", resolve))
  let done: Parameters<Commit>[2] | undefined
  worker.on("message", (message: ReadonlyArray<ReadonlyArray<Outcome>> | { readonly error: string }) => {
    done!(
      "error" in message
        ? Result.fail(new StoreError({ reason: "Io", message: message.error }))
        : Result.succeed(message)
    )
  })
  const commit: Commit = (batch, now, callback) => {
    done = callback
    worker.postMessage({ batch, now })
  }
  const db = new DatabaseSync(filename, { readOnly: true })
  const close = () => db.close()
  return {
    backend: Backend.make({ db, file: filename, isOpen: () => true, close }),
    commit,
    close: () => {
      close()
      void worker.terminate()
    }
  }
}

const spin = (microseconds: number) => {
  const until = performance.now() + microseconds / 1_000
  while (performance.now() < until);
}

const text = JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params: { message: "x".repeat(120) } })

const call = Effect.fnUntraced(function*(store: Store["Service"], id: string) {
  spin(settings.otherWorkUs)
  const append = (key: string): Write => ({ _tag: "Append", stream: id, key, data: text })
  yield* store.commit([
    {
      _tag: "OpenStream",
      stream: id,
      session: "session",
      principal: "p",
      requestDigest: "d",
      version: "1",
      execution: id
    },
    { _tag: "StartExecution", id, workflow: "ToolCall", payload: text }
  ])
  yield* store.submit([append("progress/1")])
  yield* store.submit([append("progress/2")])
  yield* store.commit([
    { _tag: "RecordStep", id, name: "step", key: id, kind: "step", root: true, version: "1", exit: text }
  ])
  yield* store.commit([
    { _tag: "Append", stream: id, key: "result", data: text, last: true },
    { _tag: "Complete", id, result: text }
  ])
  const page = yield* store.events(id, 0, 100)
  if (page.events.length !== 3 || !page.closed) return yield* Effect.die(new Error(JSON.stringify(page)))
})

const measure = Effect.fnUntraced(function*(store: Store["Service"]) {
  const latencies: Array<number> = []
  let calls = 0
  const run = (milliseconds: number) => {
    const until = performance.now() + milliseconds
    return Effect.forEach(Array.from({ length: settings.connections }), () =>
      Effect.whileLoop({
        while: () => performance.now() < until,
        body: () => {
          const begun = performance.now()
          // Random ids, as they are in a server: in order they would be kinder to the index.
          return Effect.map(call(store, crypto.randomUUID()), () => {
            latencies.push(performance.now() - begun)
            calls++
          })
        },
        step: () => {}
      }), { concurrency: "unbounded", discard: true })
  }
  yield* run(700) // V8 warms up
  latencies.length = 0
  calls = entries = commits = 0
  const loop = monitorEventLoopDelay({ resolution: 1 })
  loop.enable()
  const cpu = process.cpuUsage()
  const machine = Machine.machineCpu()
  const begun = performance.now()
  yield* run(settings.seconds * 1_000)
  const seconds = (performance.now() - begun) / 1_000
  const { system, user } = process.cpuUsage(cpu)
  loop.disable()
  latencies.sort((a, b) => a - b)
  const measured: Measured = {
    callsPerSecond: calls / seconds,
    cpuUsPerCall: (user + system) / calls - settings.otherWorkUs,
    callP50Ms: latencies[Math.floor(latencies.length * 0.5)] ?? 0,
    callP99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    loopP99Ms: loop.percentile(99) / 1e6,
    batch: entries / commits,
    otherCores: (Machine.machineCpu() - machine - (user + system) / 1e6) / seconds
  }
  return measured
})

const { backend, close, commit } = await { main: onMain, pool: onPool, worker: onWorker }[settings.thread]()
try {
  const measured = await Effect.runPromise(
    fromBackend(backend, { commit: counted(commit) }).pipe(
      Effect.flatMap((store) =>
        Effect.andThen(
          store.commit([{ _tag: "OpenSession", id: "session", principal: "p", data: "{}" }]),
          measure(store)
        )
      ),
      Effect.scoped,
      Effect.tapCause((cause) => Effect.sync(() => console.error(Cause.pretty(cause))))
    )
  )
  console.log(JSON.stringify(measured))
} finally {
  close()
  Fs.rmSync(folder, { recursive: true, force: true })
}
