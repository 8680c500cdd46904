/** One hunt, over the sources of the tree that this file is in. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { hunt, type Mode, type Settings } from "./hunt.ts"
import { mutants } from "./mutants.ts"

const { mode, mutant, settings } = JSON.parse(process.argv[2] ?? "") as {
  readonly mutant?: string
  readonly mode: Mode
  readonly settings: Settings
}

hunt(mutants.find(({ name }) => name === mutant) ?? {}, mode, settings).pipe(
  Effect.flatMap((found) => Console.log(JSON.stringify({ found }))),
  NodeRuntime.runMain
)
