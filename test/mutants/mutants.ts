/**
 * The test of the tests: bugs that the kit must find.
 */
import type { Mutant } from "./Mutant.ts"
import { patches } from "./patches.ts"
import { wrappers } from "./wrappers.ts"

export const mutants: ReadonlyArray<Mutant> = [...wrappers, ...patches]
