/**
 * `npm run crash`: the proof. In one process, at every point and at random ones,
 * on memory and on SQLite; then real processes under SIGKILL.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Random, Runtime } from "effect"
import { Command, Flag } from "effect/cli"
import * as CrashTest from "../src/testing/CrashTest.ts"
import * as Disk from "../src/testing/Disk.ts"
import { program } from "../test/crash/program.ts"
import { campaign, invariants, type Report } from "../test/kill/campaign.ts"

const parts = ["memory", "sqlite", "kill"] as const

const simulated = Effect.fnUntraced(function*(
  disk: "memory" | "sqlite",
  settings: { readonly schedules: number; readonly seed: number }
) {
  const onDisk = { ...program, disk: disk === "memory" ? Disk.memory : Disk.sqlite() }
  const every = yield* CrashTest.exhaustive(onDisk)
  yield* Console.log(
    `${disk}: every point of ${every.operations} operations on the store: ` +
      `${every.crashes} crashes survived, ${every.repeated} steps cut off and run again`
  )
  const random = yield* CrashTest.random({ ...onDisk, runs: settings.schedules, seed: settings.seed })
  yield* Console.log(
    `${disk}: ${random.runs - 1} random schedules: ` +
      `${random.crashes} crashes survived, ${random.repeated} steps cut off and run again`
  )
  return every.crashes + random.crashes
})

const killed = Effect.fnUntraced(function*(fetch: "retrying" | "plain", kills: number) {
  const report: Report = yield* campaign({ kills, fetch, onRound: Console.log })
  yield* Console.log(
    `${fetch} fetch: ${report.kills} kills, ${report.calls} calls, ${report.questions} questions, ` +
      `${report.events} progress messages, ${report.repeatedSteps} steps cut off and run again; lost: ` +
      `${report.lostCalls} calls before their first event id, ${report.lostAnswers} answers before their 202`
  )
  if (report.violations.length > 0) {
    return yield* Effect.die(new Error(`${fetch} fetch:\n${report.violations.join("\n")}`))
  }
  return report.kills
})

const crash = Command.make(
  "crash",
  {
    only: Flag.Literals("only", parts).pipe(
      Flag.withDescription("Only this part; may be given more than once"),
      Flag.atLeast(0)
    ),
    schedules: Flag.Int("schedules").pipe(
      Flag.withDescription("Random schedules on each store"),
      Flag.withDefault(2000)
    ),
    kills: Flag.Int("kills").pipe(
      Flag.withDescription("SIGKILLs, half of them for each kind of client"),
      Flag.withDefault(100)
    ),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Repeats the random choices"), Flag.withDefault(1))
  },
  Effect.fnUntraced(function*({ kills, only, schedules, seed }) {
    const asked = (part: typeof parts[number]) => only.length === 0 || only.includes(part)
    const summary: Array<string> = []
    const conclude = (survived: number, what: string, checked: ReadonlyArray<string>) =>
      summary.push(`${survived} ${what} survived. Checked:`, ...checked.map((invariant) => `  - ${invariant}`))

    let crashes = 0
    for (const disk of ["memory", "sqlite"] as const) {
      crashes += asked(disk) ? yield* simulated(disk, { schedules, seed }) : 0
    }
    if (crashes > 0) {
      conclude(crashes, "simulated crashes", CrashTest.invariants)
    }
    if (asked("kill")) {
      const survived = yield* killed("retrying", Math.ceil(kills / 2))
      conclude(survived + (yield* killed("plain", Math.floor(kills / 2))), "SIGKILLs", invariants)
    }
    yield* Console.log(`\n${summary.join("\n")}`)
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
