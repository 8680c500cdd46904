/**
 * `npm run mutants`: the test of the tests. Plants bugs in the framework, one at
 * a time, and has the crash kit look for each in its two modes. Fails when a bug
 * is found in neither, and when the framework without bugs does not pass.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Clock, Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { modes, type Verdict } from "../test/mutants/hunt.ts"
import type { Mutant } from "../test/mutants/Mutant.ts"
import { mutants } from "../test/mutants/mutants.ts"
import { copy, huntIn } from "../test/mutants/tree.ts"

/** Processes at a time. */
const concurrency = 2

const describe = ({ bug, disk, edits, name }: Mutant, verdict: Verdict): string => {
  const how = edits === undefined ? "a layer" : `a patch of ${edits.map(({ file }) => file).join(", ")}`
  const lines = modes.map((mode) => {
    const found = verdict[mode]
    return `    ${mode.padEnd(10)}  ${
      found === undefined
        ? "NOT CAUGHT"
        : `${found.program}, ${found.runs} runs: ${found.token}\n${" ".repeat(16)}${found.violation.split("\n")[0]}`
    }`
  })
  return [`${name}: ${bug} (${how}${disk === undefined ? "" : `, ${disk}`})`, ...lines].join("\n")
}

const command = Command.make(
  "mutants",
  {
    only: Flag.String("only").pipe(
      Flag.withDescription("Only this mutant; may be given more than once"),
      Flag.atLeast(0)
    ),
    runs: Flag.Int("runs").pipe(Flag.withDescription("Random schedules on each program"), Flag.withDefault(200)),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Repeats the random choices"), Flag.withDefault(1))
  },
  Effect.fnUntraced(function*({ only, runs, seed }) {
    const settings = { runs, seed }
    const asked = only.length === 0 ? mutants : mutants.filter(({ name }) => only.includes(name))
    const began = yield* Clock.currentTimeMillis

    const judge = (mutant: Mutant | undefined) =>
      Effect.scoped(
        Effect.flatMap(copy(mutant?.edits ?? []), (tree) =>
          Effect.forEach(modes, (mode) =>
            Effect.map(huntIn(tree, mutant, mode, settings), (found) => [mode, found]), {
            concurrency
          }))
      ).pipe(Effect.map((found): Verdict =>
        Object.fromEntries(found)
      ))

    const honest = yield* judge(undefined)
    for (const mode of modes) {
      const alarm = honest[mode]
      if (alarm !== undefined) {
        return yield* Effect.die(
          new Error(`Without a bug: ${mode}, ${alarm.program}, ${alarm.token}: ${alarm.violation}`)
        )
      }
    }

    const verdicts = yield* Effect.forEach(
      asked,
      (mutant) => Effect.tap(judge(mutant), (verdict) => Console.log(describe(mutant, verdict)))
    )

    const caughtIn = (mode: typeof modes[number]) => verdicts.filter((verdict) => verdict[mode] !== undefined).length
    const caught = verdicts.filter((verdict) => modes.some((mode) => verdict[mode] !== undefined)).length
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - began) / 1000)
    yield* Console.log(
      [
        `\nexhaustive ${caughtIn("exhaustive")} of ${asked.length}, ` +
        `random ${caughtIn("random")} of ${asked.length} in ${runs} runs a program, ${seconds} s`,
        `caught ${caught} of ${asked.length}`
      ].join("\n")
    )
    if (caught < asked.length) {
      return yield* Effect.sync(() => void (process.exitCode = 1))
    }
  })
)

command.pipe(
  Command.withDescription("Proves by planted bugs that the crash tests find what is wrong"),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
