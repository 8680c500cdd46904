/**
 * What goes wrong in a run, and when.
 *
 * @since 0.1.0
 */
import * as Arbitrary from "effect/Arbitrary"
import * as EffectSchema from "effect/Schema"

/**
 * Things that go wrong, one after the other: each is due from the moment at
 * which the one before it has happened, or the process after it has started.
 *
 * A position `at` counts operations on the store from there, the first is 1.
 * Below 1 it is a fraction of what a run without faults does, so that a schedule
 * fits any run; what it came to is in `Run.schedule`.
 *
 * @category models
 * @since 0.1.0
 */
export type Schedule = ReadonlyArray<Fault>

/**
 * @category models
 * @since 0.1.0
 */
export type Fault =
  | Crash
  | TornCommit
  | CrashAfter
  | CrashInStep
  | FailedOperation
  | CutConnections
  | RepeatedPosts
  | ClockJump
  | SecondProcess

/**
 * The process dies at an operation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Crash {
  readonly _tag: "Crash"
  readonly at: number
  /**
   * How many writes of that operation are applied before: 0 dies before it, all
   * of them (or more than there are) after it but before it is acknowledged,
   * fewer within it. Reads and starts of runs have none.
   */
  readonly applied: number
}

/**
 * The machine dies in a commit, and leaves on the disk a part of what was being
 * written, not at the border of a write. On a disk that cannot show this: a
 * `Crash` before the commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface TornCommit {
  readonly _tag: "TornCommit"
  readonly at: number
}

/**
 * The process dies at an instant, before anything that is due at it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CrashAfter {
  readonly _tag: "CrashAfter"
  /** Milliseconds of virtual time; below 1 a fraction of a run without faults. */
  readonly ms: number
}

/**
 * The process dies while a step runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface CrashInStep {
  readonly _tag: "CrashInStep"
  /** The step's name as the handler gave it, or its path (`outer/inner#2`). Undefined: any step. */
  readonly step: string | undefined
  /** Which of its runs, from 1; below 1 a fraction of those of a run without faults. */
  readonly nth: number
  /** `before` its body; `after` its body, whose exit is not recorded yet. */
  readonly when: "before" | "after"
}

/**
 * The disk refuses an operation (`Io`), and goes on. A process that cannot start
 * for that is started again. The start of a run is no operation of the disk:
 * there nothing happens.
 *
 * @category models
 * @since 0.1.0
 */
export interface FailedOperation {
  readonly _tag: "FailedOperation"
  readonly at: number
}

/**
 * Every connection is cut; the process lives.
 *
 * @category models
 * @since 0.1.0
 */
export interface CutConnections {
  readonly _tag: "CutConnections"
  readonly at: number
}

/**
 * Every POST that has no whole answer yet is sent once more, as a proxy does.
 *
 * @category models
 * @since 0.1.0
 */
export interface RepeatedPosts {
  readonly _tag: "RepeatedPosts"
  readonly at: number
}

/**
 * The wall clock jumps, as when it is set. What sleeps goes on sleeping as long
 * as it meant to, as timers of Node do: what is due by a forward jump is noticed
 * when its sleep ends, at the latest after the ten minutes that a store's driver
 * sleeps at most, or by the next process at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClockJump {
  readonly _tag: "ClockJump"
  readonly at: number
  /** Forward, or back when negative. */
  readonly ms: number
}

/**
 * Another process opens the store while this one lives, and all new requests go
 * to it. The store decides which of the two may go on writing: in memory it is
 * the new one, and the first lives on for a minute of virtual time, with its
 * connections and all that it has begun; a SQLite file refuses the new one.
 *
 * @category models
 * @since 0.1.0
 */
export interface SecondProcess {
  readonly _tag: "SecondProcess"
  readonly at: number
}

/**
 * The schedule as a word that can be copied from a failure and replayed:
 * `crash@17/2,crash@3/0`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (schedule: Schedule): string =>
  schedule.length === 0 ? "none" : schedule.map(encodeFault).join(",")

const encodeFault = (fault: Fault): string => {
  switch (fault._tag) {
    case "Crash":
      return `crash@${fault.at}/${fault.applied}`
    case "TornCommit":
      return `torn@${fault.at}`
    case "CrashAfter":
      return `crash@${fault.ms}ms`
    case "CrashInStep":
      return `crash@${fault.when}:${fault.step === undefined ? "" : encodeURIComponent(fault.step)}:${fault.nth}`
    case "FailedOperation":
      return `fail@${fault.at}`
    case "CutConnections":
      return `cut@${fault.at}`
    case "RepeatedPosts":
      return `repeat@${fault.at}`
    case "ClockJump":
      return `jump@${fault.at}/${fault.ms}`
    case "SecondProcess":
      return `second@${fault.at}`
  }
}

/**
 * Reads what `encode` wrote; undefined for anything else.
 *
 * @category encoding
 * @since 0.1.0
 */
export const decode = (token: string): Schedule | undefined => {
  const faults: Array<Fault> = []
  for (const word of token === "none" ? [] : token.split(",")) {
    const fault = decodeFault(word)
    if (fault === undefined) {
      return undefined
    }
    faults.push(fault)
  }
  return faults
}

const position = "([0-9]+(?:\\.[0-9]+)?)"
const words = {
  crash: new RegExp(`^crash@${position}/([0-9]+)$`),
  torn: new RegExp(`^torn@${position}$`),
  after: new RegExp(`^crash@${position}ms$`),
  inStep: new RegExp(`^crash@(before|after):([^:,]*):${position}$`),
  fail: new RegExp(`^fail@${position}$`),
  cut: new RegExp(`^cut@${position}$`),
  repeat: new RegExp(`^repeat@${position}$`),
  jump: new RegExp(`^jump@${position}/(-?[0-9]+)$`),
  second: new RegExp(`^second@${position}$`)
}

/** Empty when it is not what `encodeURIComponent` writes. */
const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return ""
  }
}

const decodeFault = (word: string): Fault | undefined => {
  let match: RegExpExecArray | null
  if ((match = words.crash.exec(word)) !== null) {
    return { _tag: "Crash", at: Number(match[1]), applied: Number(match[2]) }
  }
  if ((match = words.torn.exec(word)) !== null) {
    return { _tag: "TornCommit", at: Number(match[1]) }
  }
  if ((match = words.after.exec(word)) !== null) {
    return { _tag: "CrashAfter", ms: Number(match[1]) }
  }
  if ((match = words.inStep.exec(word)) !== null) {
    const step = match[2] === "" ? undefined : decoded(match[2] ?? "")
    return step === ""
      ? undefined
      : { _tag: "CrashInStep", step, nth: Number(match[3]), when: match[1] === "before" ? "before" : "after" }
  }
  if ((match = words.fail.exec(word)) !== null) {
    return { _tag: "FailedOperation", at: Number(match[1]) }
  }
  if ((match = words.cut.exec(word)) !== null) {
    return { _tag: "CutConnections", at: Number(match[1]) }
  }
  if ((match = words.repeat.exec(word)) !== null) {
    return { _tag: "RepeatedPosts", at: Number(match[1]) }
  }
  if ((match = words.jump.exec(word)) !== null) {
    return { _tag: "ClockJump", at: Number(match[1]), ms: Number(match[2]) }
  }
  if ((match = words.second.exec(word)) !== null) {
    return { _tag: "SecondProcess", at: Number(match[1]) }
  }
  return undefined
}

/**
 * Kinds of faults.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = Fault["_tag"]

/**
 * All of them, crashes first.
 *
 * @category constants
 * @since 0.1.0
 */
export const kinds: ReadonlyArray<Kind> = [
  "Crash",
  "CrashInStep",
  "CrashAfter",
  "TornCommit",
  "FailedOperation",
  "CutConnections",
  "RepeatedPosts",
  "ClockJump",
  "SecondProcess"
]

/**
 * Those of which a process dies.
 *
 * @category constants
 * @since 0.1.0
 */
export const deaths: ReadonlyArray<Kind> = ["Crash", "CrashInStep", "CrashAfter", "TornCommit"]

/** How often of 100 faults; what a generator draws first shrinks towards the first of them. */
const shares: ReadonlyArray<readonly [kind: Kind, percent: number]> = [
  ["Crash", 48],
  ["CrashInStep", 20],
  ["CrashAfter", 6],
  ["TornCommit", 3],
  ["FailedOperation", 6],
  ["CutConnections", 6],
  ["RepeatedPosts", 5],
  ["ClockJump", 3],
  ["SecondProcess", 3]
]

/** Writes that are applied: most commits have one or two, and dying before them all is what a handler notices most. */
const applied = [0, 1, 0, 2, 0, 3]

/**
 * Milliseconds by which a clock jumps. Six jumps stay below the hour for which the
 * answers of a call are kept: after that no client can have them.
 */
const jumps = [1000, -1000, 60_000, -60_000, 540_000, -540_000]

/**
 * Random schedules that fit any run. They shrink by leaving faults out, then
 * towards plain crashes at earlier operations.
 *
 * @category constructors
 * @since 0.1.0
 */
export const arbitrary = (options?: {
  /** Most faults of a schedule. Default 6. */
  readonly max?: number | undefined
  /** Default: all. */
  readonly kinds?: ReadonlyArray<Kind> | undefined
}): Arbitrary.Arbitrary<Schedule> => {
  const allowed = options?.kinds ?? kinds
  const bag = shares.filter(([kind]) => allowed.includes(kind))
    .flatMap(([kind, percent]) => Array.from({ length: percent }, () => kind))
  const int = (minimum: number, maximum: number) => EffectSchema.Int.check(EffectSchema.isBetween({ minimum, maximum }))
  const drawn = Arbitrary.schema(EffectSchema.Struct({
    kind: int(0, bag.length - 1),
    at: int(1, 999),
    detail: int(0, 5)
  }))
  // An array shrinks by leaving elements out, which a number of faults would not.
  return Arbitrary.map(
    Arbitrary.array(drawn, { minLength: 1, maxLength: options?.max ?? 6 }),
    (faults) => faults.map(({ at, detail, kind }) => fault(bag[kind] ?? "Crash", at / 1000, detail))
  )
}

const fault = (kind: Kind, at: number, detail: number): Fault => {
  switch (kind) {
    case "Crash":
      return { _tag: kind, at, applied: applied[detail] ?? 0 }
    case "CrashInStep":
      return { _tag: kind, step: undefined, nth: at, when: detail % 2 === 0 ? "before" : "after" }
    case "CrashAfter":
      return { _tag: kind, ms: at }
    case "ClockJump":
      return { _tag: kind, at, ms: jumps[detail] ?? 1000 }
    default:
      return { _tag: kind, at }
  }
}
