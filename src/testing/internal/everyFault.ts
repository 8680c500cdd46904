/**
 * Every point of a run at which something can go wrong, found in a run in which
 * nothing did, or nothing more.
 *
 * @internal
 */
import type { Fault, Kind } from "../Schedule.ts"
import type { Result } from "./simulation.ts"

/**
 * How far the wall clock jumps: past the deadlines of most questions, and back to
 * before they were asked; not past the hour for which answers are kept.
 */
const jump = 50 * 60 * 1000

/**
 * Single faults, each to be the next one from the start of a process on.
 *
 * - `Crash` before each operation on the store, within it and after it, before it is acknowledged.
 * - `CrashInStep` before and after each body of a step.
 * - `CrashAfter` at each instant at which something happens, so in front of each timer that fires.
 * - `TornCommit` in each commit; `FailedOperation` at each that can fail.
 * - `CutConnections`, `RepeatedPosts` and `SecondProcess` at each operation.
 * - `ClockJump` (50 minutes, both ways) in each commit, where times are written.
 *
 * @internal
 */
export const everyFault = (
  { processes }: Pick<Result<unknown, unknown>, "processes">,
  kinds: ReadonlyArray<Kind>,
  /** From 1: the first. */
  process = 1
): ReadonlyArray<Fault> => {
  const { bodies = 0, instants = [], operations = [] } = processes[process - 1] ?? {}
  return kinds.flatMap((kind): ReadonlyArray<Fault> => {
    switch (kind) {
      case "Crash":
        return operations.flatMap(({ index, writes }) =>
          Array.from({ length: writes.length + 1 }, (_, applied): Fault => ({ _tag: kind, at: index, applied }))
        )
      case "CrashInStep":
        return Array.from({ length: bodies }, (_, i) => i + 1).flatMap((nth): ReadonlyArray<Fault> => [
          { _tag: kind, step: undefined, nth, when: "before" },
          { _tag: kind, step: undefined, nth, when: "after" }
        ])
      case "CrashAfter":
        return instants.map((ms): Fault => ({ _tag: kind, ms }))
      case "TornCommit":
        return operations.filter(({ writes }) => writes.length > 0).map(({ index }): Fault => ({
          _tag: kind,
          at: index
        }))
      case "FailedOperation":
        return operations.filter((operation) => operation.kind !== "run").map(({ index }): Fault => ({
          _tag: kind,
          at: index
        }))
      case "ClockJump":
        return operations.filter(({ writes }) => writes.length > 0).flatMap(({ index }): ReadonlyArray<Fault> => [
          { _tag: kind, at: index, ms: jump },
          { _tag: kind, at: index, ms: -jump }
        ])
      default:
        return operations.map(({ index }): Fault => ({ _tag: kind, at: index }))
    }
  })
}

/**
 * One crash, after which the next process has much to recover: in the middle of
 * what was written, with all of it applied and nothing acknowledged. The points
 * of that process are then those of a recovery. Undefined when nothing is
 * written.
 *
 * @internal
 */
export const representativeCrash = (
  { processes }: Pick<Result<unknown, unknown>, "processes">
): Fault | undefined => {
  const commits = (processes[0]?.operations ?? []).filter(({ kind, writes }) => kind === "commit" && writes.length > 0)
  const middle = commits[Math.floor(commits.length / 2)]
  return middle === undefined ? undefined : { _tag: "Crash", at: middle.index, applied: middle.writes.length }
}
