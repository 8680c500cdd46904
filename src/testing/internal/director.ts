/**
 * Lets a schedule happen: knows which fault is due next, and when.
 *
 * @internal
 */
import type { Decision, Operation } from "../FaultStore.ts"
import type { Fault, Schedule } from "../Schedule.ts"

/** What a run without faults does: what fractions are of. @internal */
export interface Baseline {
  readonly operations: number
  readonly steps: number
  /** Milliseconds of virtual time. */
  readonly duration: number
}

/** What a director can do besides deciding about operations. @internal */
export interface Stage {
  readonly now: () => number
  /** Calls back at a virtual time, before anything else that is due then. */
  readonly at: (time: number, f: () => void) => void
  readonly kill: () => void
  readonly cutConnections: () => void
  readonly repeatPosts: () => void
  readonly jump: (ms: number) => void
  readonly startSecondProcess: () => void
  readonly happened: (fault: Fault) => void
}

/** @internal */
export interface Director {
  /** A process has started: what is due counts from here. */
  readonly processStarted: () => void
  readonly operation: (operation: Operation) => Decision | undefined
  /** Whether the process dies here. The step's path is that of its record. */
  readonly step: (path: string, when: "before" | "after") => boolean
  /** No more faults. */
  readonly stop: () => void
  /** What has happened so far, in absolute numbers. */
  readonly happened: () => ReadonlyArray<Fault>
}

/** Operations that a process does at least, when it finds nearly all work done. */
const fewest = 6

/** @internal */
export const make = (schedule: Schedule, baseline: Baseline, stage: Stage): Director => {
  const happened: Array<Fault> = []
  let next = 0
  /** The fault that is due next, in absolute numbers from `origin`. */
  let due: Fault | undefined
  let operations = 0
  let steps = 0
  /** By path. */
  const runs = new Map<string, number>()
  let total = 0
  /** Bodies that were run to their end. */
  let finished = 0
  let armed = 0

  /** A fraction of what is left to do; later processes find most of the work done. */
  const absolute = (position: number, left: number) =>
    position >= 1 ? position : Math.max(1, Math.ceil(position * left))

  const resolve = (fault: Fault): Fault => {
    switch (fault._tag) {
      case "CrashAfter":
        return {
          ...fault,
          ms: fault.ms >= 1 || fault.ms === 0 ? fault.ms : Math.max(1, Math.ceil(fault.ms * baseline.duration))
        }
      case "CrashInStep":
        return { ...fault, nth: absolute(fault.nth, baseline.steps - finished) }
      default:
        return { ...fault, at: absolute(fault.at, Math.max(fewest, baseline.operations - total)) }
    }
  }

  const arm = () => {
    const fault = schedule[next]
    operations = 0
    steps = 0
    runs.clear()
    due = fault === undefined ? undefined : resolve(fault)
    const mine = ++armed
    if (due?._tag === "CrashAfter") {
      const crash = due
      stage.at(stage.now() + crash.ms, () => {
        if (armed === mine && due === crash) {
          happen(crash)
          stage.kill()
        }
      })
    }
  }

  const happen = (fault: Fault) => {
    happened.push(fault)
    stage.happened(fault)
    due = undefined
    next++
  }

  return {
    processStarted: arm,
    operation: (operation) => {
      total++
      operations++
      if (due === undefined || !("at" in due) || due.at !== operations) {
        return undefined
      }
      const fault = due
      // Of a commit all writes or fewer; the token says how many they were.
      happen(fault._tag === "Crash" ? { ...fault, applied: Math.min(fault.applied, operation.writes.length) } : fault)
      switch (fault._tag) {
        case "Crash":
          return { _tag: "Crash", applied: fault.applied }
        case "TornCommit":
          return { _tag: "Torn" }
        case "FailedOperation":
          arm()
          return { _tag: "Fail" }
        case "CutConnections":
          stage.cutConnections()
          break
        case "RepeatedPosts":
          stage.repeatPosts()
          break
        case "ClockJump":
          stage.jump(fault.ms)
          break
        case "SecondProcess":
          stage.startSecondProcess()
          return undefined
      }
      arm()
      return undefined
    },
    step: (path, when) => {
      finished += when === "after" ? 1 : 0
      if (due?._tag !== "CrashInStep" || due.when !== when) {
        return false
      }
      if (due.step !== undefined && due.step !== nameOf(path) && due.step !== path) {
        return false
      }
      const nth = (runs.get(path) ?? 0) + 1
      runs.set(path, nth)
      if (++steps !== due.nth) {
        return false
      }
      happen({ ...due, step: path, nth })
      return true
    },
    stop: () => {
      next = schedule.length
      due = undefined
      armed++
    },
    happened: () => happened
  }
}

/** The name that the handler gave: the last segment, without the number of one that came before. */
const nameOf = (path: string): string | undefined => {
  const [name = ""] = path.slice(path.lastIndexOf("/") + 1).split("#")
  // a compensation has none
  return /^%[a-z]/.test(name) ? undefined : decodeURIComponent(name)
}
