/**
 * What the disk says when all is done: nothing is left to do, and why a result
 * may be another one than that of a run without faults.
 *
 * @internal
 */
import type { ExecutionRecord } from "../../store/Store.ts"
import { type Clocks, type Disk, signalsOf } from "./audit.ts"
import { short } from "./auditLedger.ts"

/**
 * What is left to do, though nobody is at work: executions that are neither
 * done nor waiting for a time that will come, and timers that did not fire.
 *
 * @internal
 */
export const leftovers = (disk: Disk, now: number): ReadonlyArray<string> => {
  const open = new Set(disk.executions.filter(({ result }) => result === undefined).map(({ id }) => id))
  const parents = new Set(disk.executions.filter(({ id }) => open.has(id)).map(({ parent }) => parent))
  return disk.executions.filter(({ id }) => open.has(id)).flatMap((execution) => {
    const { id, parked, timers } = execution
    const where = `execution ${short(id)}`
    const late = Array.from(timers).filter(([, at]) => at <= now).map(([name]) =>
      `${where}: timer ${name} did not fire`
    )
    if (late.length > 0) {
      return late
    }
    switch (parked?.state) {
      case undefined:
        return [`${where} has no result, and nobody works on it`]
      case "stuck":
        return [`${where} is stuck: ${parked?.reason ?? "no reason"}`]
      default:
        return timers.size > 0 || parents.has(id)
          ? []
          : [`${where} waits for what never comes${openQuestions(execution)}`]
    }
  })
}

const openQuestions = ({ signals, steps }: ExecutionRecord): string => {
  const heard = new Set(signals.map(({ name }) => name))
  const open = steps.filter(({ kind, name }) => kind === "question" && !heard.has(`answer/${name}`))
  return open.length === 0 ? "" : `: question ${open.map(({ name }) => name).join(", ")} is open`
}

/**
 * What the clock, or a crash, did to the executions: as a multiset of words like
 * `StepInterrupted mail`. `cut` says of an interrupted step whether a process
 * really died in it.
 *
 * @internal
 */
export const circumstances = (
  disk: Disk,
  cut: (execution: string, path: string) => boolean,
  { latest, wereSetBack }: Clocks
): { readonly excuses: ReadonlyArray<string>; readonly violations: ReadonlyArray<string> } => {
  const excuses: Array<string> = []
  const violations: Array<string> = []
  for (const execution of disk.executions) {
    const signals = signalsOf(execution)
    for (const { exit, kind, name } of execution.steps) {
      const outcome = JSON.parse(exit)
      if (kind === "question") {
        const signal = signals.get(`answer/${name}`)
        if (signal !== undefined && JSON.parse(signal.exit)?._tag === "TimedOut") {
          excuses.push(`TimedOut ${name}`)
          const at = wereSetBack ? latest : signal.recordedAt
          if (at < outcome.deadline) {
            violations.push(`question ${name} timed out ${outcome.deadline - at} ms before its deadline`)
          }
        }
      } else if (kind === "sleep") {
        // one that nobody waited for to the end has lost a race; a short one is waited for in memory
        if (signals.has(`due/${name}`) || Number(outcome) <= (execution.completedAt ?? Infinity)) {
          excuses.push(`Slept ${name}`)
        }
      } else if (outcome?._tag === "TimedOut" || outcome?.outcome?._tag === "TimedOut") {
        excuses.push(`TimedOut ${name}`)
      } else if (outcome?._tag === "Interrupted" && cut(execution.id, name)) {
        excuses.push(`StepInterrupted ${name}`)
      }
    }
  }
  return { excuses, violations }
}

/** What one of the two has and the other has not. @internal */
export const difference = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): ReadonlyArray<string> => {
  const left = [...b]
  const onlyInA = a.filter((word) => {
    const at = left.indexOf(word)
    if (at !== -1) {
      left.splice(at, 1)
    }
    return at === -1
  })
  return [...onlyInA, ...left]
}
