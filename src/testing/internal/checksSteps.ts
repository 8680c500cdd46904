/**
 * What steps do: a finished one never again, a cut one again under its key, an
 * at-most-once one no second time in an attempt.
 *
 * @internal
 */
import type { Attempt } from "../../engine/StepProbe.ts"
import type { Outcome, RecordStep } from "../../store/Store.ts"
import type { Operation, Settled } from "../FaultStore.ts"

/** @internal */
export interface StepChecks {
  /** A body is about to run; `isHolder`: in the process that has the disk. */
  readonly begins: (process: number, attempt: Attempt, isHolder: boolean) => void
  /** A body has ended, and its exit is not recorded yet. */
  readonly ended: (process: number, attempt: Attempt) => void
  readonly operation: (process: number, operation: Operation) => void
  readonly settled: (process: number, operation: Operation, settled: Settled) => void
  /** Something is done outside: how often, this time included, and whether it takes place. */
  readonly effect: (
    name: string,
    key: string | undefined
  ) => { readonly count: number; readonly takesPlace: boolean }
  /** Why a recorded `StepInterrupted` is right: names of executions and steps. */
  readonly cut: (execution: string, path: string) => boolean
  /** How often each effect was attempted, by name and key. */
  readonly attempts: ReadonlyMap<string, number>
  /** How often each effect took place, by name. */
  readonly effects: ReadonlyMap<string, number>
  /** Names of effects that took place without a key more than once. */
  readonly keyless: ReadonlySet<string>
  /** Of steps that were begun: by execution and path. */
  readonly keys: ReadonlyMap<string, string>
  /** Bodies that were begun. */
  readonly count: () => number
}

/** The body of an at-most-once attempt, as the engine announced it. */
interface Beginning {
  readonly process: number
  /** Number of the operation. */
  readonly at: number
}

const isFresh = (outcome: Outcome | undefined): boolean => outcome !== undefined && "fresh" in outcome && outcome.fresh

/** Last segment of the record that an at-most-once attempt has begun. */
const begin = "/%begin"

/** @internal */
export const make = (violation: (text: string) => void): StepChecks => {
  const attempts = new Map<string, number>()
  const effects = new Map<string, number>()
  const keyless = new Set<string>()
  /** Names of records that stand, by execution. */
  const recorded = new Map<string, Set<string>>()
  /** Keys of steps whose exit stands. */
  const finished = new Set<string>()
  const keys = new Map<string, string>()
  /** How often the body of an attempt was begun. */
  const begun = new Map<string, number>()
  /** Processes whose body of this attempt has not ended. */
  const open = new Map<string, number>()
  const beginnings = new Map<string, Array<Beginning>>()
  /** When an operation of a process last failed. */
  const failures = new Map<number, number>()
  /** Interrupted steps that a crash fell into. */
  const cut = new Set<string>()
  /** The latest attempt that was begun of a step of a body. */
  const latest = new Map<string, number>()
  /** Executions that follow an unclean end, by process, until that is counted. */
  const uncounted = new Set<string>()
  let now = 0
  let bodies = 0

  const recordsOf = (execution: string): Set<string> => {
    const known = recorded.get(execution) ?? new Set()
    recorded.set(execution, known)
    return known
  }

  /** Another process began it, or this one lost an operation since: then its outcome is unknown. */
  const wasCut = (process: number, { id, name }: RecordStep): boolean =>
    Array.from(beginnings).some(([key, of]) =>
      key.startsWith(`${id} ${name}@`) &&
      of.some((beginning) => beginning.process !== process || (failures.get(process) ?? -1) > beginning.at)
    )

  const interrupted = (process: number, write: RecordStep) => {
    if (wasCut(process, write)) {
      cut.add(`${write.id} ${write.name}`)
    } else if (!Array.from(open.keys()).some((key) => key.startsWith(`${write.id} ${write.name}@`))) {
      violation(`step ${write.name} is recorded as interrupted, though nothing has cut it off`)
    }
  }

  const record = (process: number, write: RecordStep) => {
    recordsOf(write.id).add(write.name)
    if (JSON.parse(write.exit)?._tag === "Interrupted") {
      interrupted(process, write)
    } else if ((write.kind === "step" || write.kind === "compensation") && !write.name.includes("@")) {
      // a failure inside an attempt of another step is that attempt's
      finished.add(write.key)
    }
  }

  return {
    attempts,
    effects,
    keyless,
    keys,
    count: () => bodies,
    cut: (execution, path) => cut.has(`${execution} ${path}`),
    begins: (process, { attempt, execution, key, path }, isHolder) => {
      bodies++
      const name = `${path}@${attempt}`
      const id = `${execution} ${name}`
      const count = (begun.get(id) ?? 0) + 1
      begun.set(id, count)
      open.set(id, process)
      const keyBefore = keys.get(`${execution} ${path}`)
      if (keyBefore !== undefined && keyBefore !== key) {
        violation(`step ${path} runs under the key ${key}, and ran under ${keyBefore} before`)
      }
      keys.set(`${execution} ${path}`, key)
      const records = recordsOf(execution)
      if (count > 1 && records.has(`${name}${begin}`)) {
        violation(`step ${path} is to run at most once, and attempt ${attempt} was begun ${count} times`)
      }
      if (uncounted.has(`${process} ${execution}`)) {
        violation(`step ${path} was begun by a run that follows an unclean end, and no BeginRecovery counts it`)
      }
      // Inside another step it begins anew with each attempt of that.
      if (isHolder && !path.includes("/")) {
        const before = latest.get(`${execution} ${path}`) ?? 0
        if (attempt < before) {
          violation(
            `attempt ${attempt} of step ${path} was begun after attempt ${before}: its failure was not on record`
          )
        }
        latest.set(`${execution} ${path}`, Math.max(before, attempt))
      }
      // who has lost the disk does not know what its successor recorded
      if (isHolder && (records.has(path) || records.has(name))) {
        violation(`step ${path} was begun again after its exit had been recorded`)
      }
    },
    ended: (_process, { attempt, execution, path }) => {
      open.delete(`${execution} ${path}@${attempt}`)
    },
    operation: (process, { cutOff, writes }) => {
      now++
      if (cutOff !== undefined) {
        uncounted.add(`${process} ${cutOff}`)
      }
      for (const write of writes) {
        if (write._tag === "RecordStep" && write.name.endsWith(begin)) {
          const key = `${write.id} ${write.name.slice(0, -begin.length)}`
          beginnings.set(key, [...beginnings.get(key) ?? [], { process, at: now }])
        }
      }
    },
    settled: (process, { writes }, settled) => {
      switch (settled._tag) {
        case "Failed":
          failures.set(process, now)
          break
        case "Acknowledged":
        case "Applied":
          writes.forEach((write, i) => {
            if (write._tag === "BeginRecovery") {
              uncounted.delete(`${process} ${write.id}`)
            }
            if (write._tag === "RecordStep" && isFresh(settled.outcomes[i])) {
              record(process, write)
            }
          })
      }
    },
    effect: (name, key) => {
      const under = JSON.stringify([name, key])
      const count = (attempts.get(under) ?? 0) + 1
      attempts.set(under, count)
      const takesPlace = key === undefined || count === 1
      if (takesPlace) {
        effects.set(name, (effects.get(name) ?? 0) + 1)
      }
      if (key === undefined && count > 1) {
        keyless.add(name)
      }
      if (key !== undefined && finished.has(key)) {
        violation(`${name} was done again after its exit had been recorded`)
      }
      return { count, takesPlace }
    }
  }
}
