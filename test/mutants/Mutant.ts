/**
 * A deliberate fault in the framework, by which the kit is tested.
 */
import type { Planted, ProgramName } from "./programs.ts"

export interface Mutant {
  readonly name: string
  /** What is wrong. */
  readonly bug: string
  /** The program that does what goes wrong; tried before the others. Default: the first. */
  readonly program?: ProgramName | undefined
  /** As services of the framework that behave otherwise. */
  readonly planted?: (() => Planted) | undefined
  /** As changes of a copy of the sources. */
  readonly edits?: ReadonlyArray<Edit> | undefined
  /** Default: in memory. */
  readonly disk?: "sqlite" | undefined
}

export interface Edit {
  /** Path below `src`. */
  readonly file: string
  /** Occurs there exactly once, or the mutant is stale. */
  readonly search: string
  readonly replace: string
}
