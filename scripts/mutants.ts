/**
 * `npm run mutants`: the test of the tests. Plants bugs in the framework, one at
 * a time, and has the crash kit look for each in its two modes. Fails when a bug
 * is found in neither, and when the framework without bugs does not pass.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Clock, Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { type Catch, type Mode, modes, type Settings, type Verdict } from "../test/mutants/hunt.ts"
import type { Mutant } from "../test/mutants/Mutant.ts"
import { mutants } from "../test/mutants/mutants.ts"
import { copy, huntIn } from "../test/mutants/tree.ts"

/** Processes at a time. */
const concurrency = 2

/** Of what the kit says is wrong, as much as a line has room for. */
const shown = 140

const lineOf = (mode: Mode, found: Catch | undefined): string =>
  `    ${mode.padEnd(10)}  ${
    found === undefined
      ? "NOT CAUGHT"
      : `${found.program}, run ${found.runs}: ${found.token}\n                ${
        found.violation.replaceAll(/\s+/g, " ").slice(0, shown)
      }`
  }`

const describe = ({ bug, disk, edits, name }: Mutant, verdict: Verdict): string => {
  const how = edits === undefined
    ? "a layer"
    : `a patch of ${Array.from(new Set(edits.map(({ file }) => file))).join(", ")}`
  return [
    `${name}: ${bug} (${how}${disk === undefined ? "" : `, on ${disk}`})`,
    ...modes.map((mode) => lineOf(mode, verdict[mode]))
  ].join("\n")
}

const plant = Effect.fnUntraced(function*(mutant: Mutant | undefined, settings: Settings, concurrency: number) {
  const tree = yield* copy(mutant?.edits ?? [])
  const found = yield* Effect.forEach(modes, (mode) => huntIn(tree, mutant, mode, settings), { concurrency })
  return Object.fromEntries(modes.map((mode, i) => [mode, found[i]])) as Verdict
}, Effect.scoped)

const command = Command.make(
  "mutants",
  {
    only: Flag.String("only").pipe(
      Flag.withDescription("Only this mutant; may be given more than once"),
      Flag.atLeast(0)
    ),
    runs: Flag.Int("runs").pipe(Flag.withDescription("Random schedules on each program"), Flag.withDefault(100)),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Repeats the random choices"), Flag.withDefault(1))
  },
  Effect.fnUntraced(function*({ only, runs, seed }) {
    const settings = { runs, seed }
    const asked = only.length === 0 ? mutants : mutants.filter(({ name }) => only.includes(name))
    const began = yield* Clock.currentTimeMillis

    const honest = yield* plant(undefined, settings, concurrency)
    for (const mode of modes) {
      if (honest[mode] !== undefined) {
        return yield* Effect.die(new Error(`Without a bug\n${lineOf(mode, honest[mode])}`))
      }
    }
    yield* Console.log("no bug: passes\n")

    const verdicts = yield* Effect.forEach(
      asked,
      (mutant) => Effect.tap(plant(mutant, settings, 1), (verdict) => Console.log(describe(mutant, verdict))),
      { concurrency }
    )

    const caughtIn = (some: ReadonlyArray<Mode>) =>
      verdicts.filter((verdict) => some.some((mode) => verdict[mode] !== undefined)).length
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - began) / 1000)
    yield* Console.log(
      `\nexhaustive ${caughtIn(["exhaustive"])} of ${asked.length}, ` +
        `random ${caughtIn(["random"])} of ${asked.length} in ${runs} schedules a program, ${seconds} s\n` +
        `caught ${caughtIn(modes)} of ${asked.length}`
    )
    if (caughtIn(modes) < asked.length) {
      process.exitCode = 1
    }
  })
)

command.pipe(
  Command.withDescription("Proves by planted bugs that the crash tests find what is wrong"),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
