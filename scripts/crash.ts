/**
 * `npm run crash`: the proof. Every area on memory and on SQLite, with a fault at
 * every point and with random ones; random programs, held to what they mean; then
 * real processes under SIGKILL.
 *
 *     npm run crash -- --only sleeps --store sqlite --replay crash@17/2
 *
 * `--store reboot-simulated` is the store of Reboot over an application in
 * memory, which dies also between any two of its writes; `--store reboot` has
 * random schedules on Reboot itself, which goes on while what uses it dies.
 */
import { NodeRuntime, NodeServices, NodeWorker } from "@effect/platform-node"
import { Console, Effect, Layer, Option, Random, Result, Runtime } from "effect"
import { CrashTest, Timeline } from "effect-durable-mcp/testing"
import { Command, Flag } from "effect/cli"
import { RpcClient } from "effect/rpc"
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import { areas, type Name, names } from "../test/crash/areas/index.ts"
import { campaign, invariants, type Report } from "../test/kill/campaign.ts"
import * as RebootDisk from "../test/reboot/disk.ts"
import { type Checked, programOf, type Proof, proofOf, Prover, random, type Store } from "./crash/Prover.ts"

const stores = ["memory", "sqlite", "reboot-simulated", "reboot"] as const

/** Where nothing else is asked for. */
const usual = ["memory", "sqlite"] as const

interface Job {
  readonly area: Name
  readonly store: typeof stores[number]
}

interface Settings {
  /** Random ones, of each job. Default: 40; on Reboot, where time is real, 12. */
  readonly schedules: Option.Option<number>
  readonly seed: number
}

// -----------------------------------------------------------------------------
// simulated
// -----------------------------------------------------------------------------

const threads = availableParallelism()

const Threads = RpcClient.layerProtocolWorker({ size: threads }).pipe(
  Layer.provide(NodeWorker.layer(() => new Worker(new URL("./crash/worker.ts", import.meta.url))))
)

/** Each job on the next thread that is free; a violation stops none of the others. */
const prove = (jobs: ReadonlyArray<Job>, settings: Settings) =>
  Effect.gen(function*() {
    const prover = yield* RpcClient.make(Prover)
    // a process has one Reboot, and this one has it
    const reboot = jobs.some(({ store }) => store === "reboot") ? yield* RebootDisk.embedded : undefined
    const proved = ({ area, store }: Job) => {
      const { seed } = settings
      const schedules = Option.getOrElse(settings.schedules, () => store === "reboot" ? 12 : 40)
      return store !== "reboot"
        ? prover.prove({ area, store, schedules, seed })
        : reboot === undefined
        ? Effect.die(new Error("Reboot was not started"))
        : proofOf(Effect.map(random(area, store, reboot, { schedules, seed }), (report) => [report]))
    }
    return yield* Effect.forEach(
      jobs,
      (job) =>
        Effect.matchEffect(proved(job), {
          onFailure: (error) =>
            Effect.as(
              Console.log(`${rowOf(job, undefined)}\n${failureOf(job, error)}`),
              { failure: `${job.area} on ${job.store}` }
            ),
          onSuccess: (proof) => Effect.as(Console.log(rowOf(job, proof)), { proof })
        }),
      { concurrency: threads }
    )
  }).pipe(Effect.scoped, Effect.provide(Threads))

const failureOf = ({ area, store }: Job, error: { readonly _tag: string; readonly message: string }): string =>
  error._tag === "Violation" && "token" in error
    ? `${area} on ${store}: ${error.message}\n` +
      `To replay: npm run crash -- --only ${area} --store ${store} --replay "${error.token}"`
    : `${area} on ${store}: ${error.message}`

const simulated = Effect.fnUntraced(function*(jobs: ReadonlyArray<Job>, settings: Settings) {
  const began = performance.now()
  yield* Console.log(line(columns.map(([title]) => title)))
  const ended = yield* prove(jobs, settings)
  const proofs = ended.flatMap((job) => "proof" in job ? job.proof : [])
  const total = (count: (proof: Proof) => number) => proofs.reduce((sum, proof) => sum + count(proof), 0)
  const [slowest] = proofs.map((proof) => proof.slowest).sort((a, b) => b.milliseconds - a.milliseconds)
  const seconds = Math.round((performance.now() - began) / 1000)
  yield* Console.log(
    `\n${total(({ crashes }) => crashes)} simulated crashes and ${total(({ otherFaults }) => otherFaults)} other ` +
      `faults survived in ${total(({ runs }) => runs)} runs; ${total(({ repeated }) => repeated)} effects were ` +
      `repeated under their keys; the slowest point: ${pointOf(slowest)}; ${seconds} s on ${threads} threads. ` +
      `Checked in each run:\n${CrashTest.invariants.map((invariant) => `  - ${invariant}`).join("\n")}`
  )
  return ended.flatMap((job) => "failure" in job ? job.failure : [])
})

/** Numbers to the right, in columns of one width. */
const columns = [
  ["area", -16],
  ["store", -16],
  ["operations", 10],
  ["runs", 6],
  ["crashes", 8],
  ["other faults", 12],
  ["repeated effects", 16],
  ["a run", 7],
  ["  slowest point", -40]
] as const

const line = (cells: ReadonlyArray<string>): string =>
  columns.map(([, width], i) => {
    const cell = cells[i] ?? ""
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width)
  }).join(" ").trimEnd()

const rowOf = ({ area, store }: Job, proof: Proof | undefined): string =>
  line(
    proof === undefined ? [area, store, "FAILED"] : [
      area,
      store,
      ...[proof.operations, proof.runs, proof.crashes, proof.otherFaults, proof.repeated].map(String),
      `${Math.round(proof.milliseconds / proof.runs)} ms`,
      `  ${pointOf(proof.slowest)}`
    ]
  )

const pointOf = (slowest: Proof["slowest"] | undefined): string =>
  slowest === undefined ? "none" : `${Math.round(slowest.milliseconds)} ms ${slowest.token}`

const replayed = Effect.fnUntraced(function*({ area, store }: Job, token: string) {
  const run = yield* store === "reboot"
    ? Effect.scoped(Effect.flatMap(RebootDisk.embedded, (disk) => CrashTest.replay({ ...areas[area], disk }, token)))
    : CrashTest.replay(programOf({ area, store }), token)
  yield* Console.log(Timeline.toText(run.timeline))
  yield* Console.log(`\n${area} on ${store} survives ${run.token}: ${JSON.stringify(run.value)}`)
})

// -----------------------------------------------------------------------------
// random programs
// -----------------------------------------------------------------------------

const modelChecked = (programs: number, seed: number, asked: ReadonlyArray<Store>) =>
  Effect.gen(function*() {
    const prover = yield* RpcClient.make(Prover)
    const began = performance.now()
    // A transaction for each commit makes SQLite the slower one.
    const parts = asked.flatMap((store) =>
      Array.from({ length: threads }, (_, i) => ({
        store,
        seed: `programs ${store} ${i} ${seed}`,
        programs: Math.ceil(programs * (asked.length === 1 ? 1 : store === "sqlite" ? 0.2 : 0.8) / threads)
      }))
    )
    const checked = yield* Effect.forEach(parts, (part) => Effect.result(prover.check(part)), { concurrency: threads })
    const passed = checked.flatMap((result) => Result.isSuccess(result) ? result.success : [])
    const total = (count: (part: Checked) => number) => passed.reduce((sum, part) => sum + count(part), 0)
    yield* Console.log(
      `\n${total(({ programs }) => programs)} random programs came to what they mean, through ` +
        `${total(({ crashes }) => crashes)} simulated crashes; ${total(({ repeated }) => repeated)} effects were ` +
        `repeated under their keys; ${Math.round((performance.now() - began) / 1000)} s.`
    )
    return checked.flatMap((result) => Result.isFailure(result) ? result.failure.message : [])
  }).pipe(Effect.scoped, Effect.provide(Threads))

// -----------------------------------------------------------------------------
// killed
// -----------------------------------------------------------------------------

const killed = Effect.fnUntraced(function*(fetch: "retrying" | "plain", kills: number) {
  const report: Report = yield* campaign({ kills, fetch, onRound: Console.log })
  yield* Console.log(
    `${fetch} fetch: ${report.kills} kills, ${report.calls} calls, ${report.questions} questions, ` +
      `${report.events} progress messages, ${report.repeatedSteps} steps cut off and run again; lost: ` +
      `${report.lostCalls} calls before their first event id, ${report.lostAnswers} answers before their 202`
  )
  return report
})

const campaigns = Effect.fnUntraced(function*(kills: number) {
  const reports = [
    yield* killed("retrying", Math.ceil(kills / 2)),
    yield* killed("plain", Math.floor(kills / 2))
  ]
  yield* Console.log(
    `\n${reports.reduce((sum, report) => sum + report.kills, 0)} SIGKILLs survived. Checked:\n` +
      invariants.map((invariant) => `  - ${invariant}`).join("\n")
  )
  return reports.flatMap(({ violations }) => violations)
})

// -----------------------------------------------------------------------------
// the command
// -----------------------------------------------------------------------------

const crash = Command.make(
  "crash",
  {
    only: Flag.Literals("only", [...names, "programs", "kills"]).pipe(
      Flag.withDescription("Only this area, the random programs or the SIGKILLs; may be given more than once"),
      Flag.atLeast(0)
    ),
    store: Flag.Literals("store", stores).pipe(
      Flag.withDescription("Only on this store"),
      Flag.atLeast(0)
    ),
    schedules: Flag.Int("schedules").pipe(
      Flag.withDescription("Random schedules of each area on each store; default: 40, on Reboot 12"),
      Flag.optional
    ),
    programs: Flag.Int("programs").pipe(
      Flag.withDescription("Random programs, each with a random schedule"),
      Flag.withDefault(1000)
    ),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Repeats the random choices"), Flag.withDefault(1)),
    kills: Flag.Int("kills").pipe(
      Flag.withDescription("SIGKILLs, half of them for each kind of client"),
      Flag.withDefault(100)
    ),
    replay: Flag.String("replay").pipe(
      Flag.withDescription("Runs what a failure named, in the area of --only, and shows what happens"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ kills, only, programs, replay, schedules, seed, store }) {
    const asked = names.filter((name) => only.length === 0 || only.includes(name))
    const chosen = store.length === 0 ? usual : store
    const jobs = chosen.flatMap((store) => asked.map((area): Job => ({ area, store })))
    if (Option.isSome(replay)) {
      const [job] = jobs
      if (only.length !== 1 || job === undefined) {
        return yield* Effect.die(new Error("--replay needs one area: --only <area>"))
      }
      return yield* replayed(job, replay.value)
    }
    const failures = jobs.length === 0 ? [] : yield* simulated(jobs, { schedules, seed })
    const threaded = chosen.filter((store) => store !== "reboot")
    if (threaded.length > 0 && (only.length === 0 || only.includes("programs"))) {
      failures.push(...yield* modelChecked(programs, seed, threaded))
    }
    // the server that they kill has a SQLite file
    if (only.includes("kills") || (only.length === 0 && chosen.includes("sqlite"))) {
      failures.push(...yield* campaigns(kills))
    }
    if (failures.length > 0) {
      yield* Console.error(`\n${failures.join("\n\n")}\n\n${failures.length} failed`)
      return yield* Effect.fail("violations")
    }
  })
)

crash.pipe(
  Command.withDescription("Proves by killing that nothing is lost and nothing done twice"),
  Command.run({ version: "0.1.0" }),
  Random.withSeed("crash"),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    // The SDK's client leaves the timer of each call behind that it gave up, which would keep the process for 10 minutes.
    teardown: (exit) => Runtime.defaultTeardown(exit, (code) => process.exit(code))
  })
)
