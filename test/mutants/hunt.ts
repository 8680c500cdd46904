/**
 * Puts the programs to the kit's two modes, over the sources that this file is
 * beside: the honest ones, or those of a mutant.
 */
import { Effect } from "effect"
import { CrashTest, Disk } from "effect-durable-mcp/testing"
import type { Mutant } from "./Mutant.ts"
import { type Program, type ProgramName, programs } from "./programs.ts"

/** How a mode found a bug. */
export interface Catch {
  readonly program: ProgramName
  /** The schedule that shows it, made small; `none` where no crash is needed. */
  readonly token: string
  /** Runs until it was seen, in this program. */
  readonly runs: number
  /** What the kit says is wrong. */
  readonly violation: string
}

export type Verdict = { readonly [M in Mode]?: Catch | undefined }

export const modes = ["exhaustive", "random"] as const
export type Mode = typeof modes[number]

export interface Settings {
  /** Random schedules on each program. */
  readonly runs: number
  readonly seed: number
}

const inMode = (mode: Mode, program: Program, { runs, seed }: Settings) =>
  mode === "exhaustive" ? CrashTest.exhaustive(program) : CrashTest.random({ ...program, runs, seed })

const names: ReadonlyArray<ProgramName> = ["trip", "memos"]

/** The first program that shows the bug in a mode; none when they all pass. */
export const hunt = Effect.fnUntraced(function*(
  mutant: Pick<Mutant, "disk" | "planted" | "program">,
  mode: Mode,
  settings: Settings
): Effect.fn.Return<Catch | undefined> {
  for (const name of names.toSorted((a, b) => Number(b === mutant.program) - Number(a === mutant.program))) {
    const program = programs[name](mutant.planted)
    let runs = 0
    const disk = mutant.disk === "sqlite" ? Disk.sqlite() : Disk.memory
    const counted: Disk.Disk = { ...disk, make: Effect.andThen(Effect.sync(() => runs++), disk.make) }
    const found = yield* Effect.flip(inMode(mode, { ...program, disk: counted }, settings)).pipe(
      Effect.catch(() => Effect.undefined)
    )
    if (found !== undefined) {
      return {
        program: name,
        token: found.token,
        runs: found.runs ?? runs,
        violation: found.violations[0] ?? found.message
      }
    }
  }
  return undefined
})
