/**
 * What earlier runs recorded, and how much of it this run has reached.
 *
 * A record is named by its path. A `/` separates steps from those inside them,
 * `@` an attempt, `%` marks what is ours: `outer/inner#2`, `charge@2`,
 * `flight/%compensate`. Users' names have these characters escaped.
 *
 * @internal
 */
import type { SignalRecord, StepRecord } from "../../store/Store.ts"

/** `#` too: the second `charge` is `charge#2`. */
const reserved = /[%/@#]/g

/** @internal */
export const escape = (name: string): string => name.replace(reserved, (char) => encodeURIComponent(char))

/** @internal */
export class Replay {
  readonly #steps = new Map<string, StepRecord>()
  /** Paths of the root fiber's records that this run has not reached. Those inside a finished step never will be. */
  readonly #unreached = new Set<string>()

  constructor(steps: ReadonlyArray<StepRecord>) {
    for (const step of steps) {
      this.#steps.set(step.name, step)
    }
    const paths = new Set<string>()
    for (const step of steps) {
      const path = stepOf(step.name)
      if (path !== undefined) {
        paths.add(path)
        if (step.root && !this.#insideFinished(path)) {
          this.#unreached.add(path)
        }
      }
    }
    this.operations = paths.size
  }

  /** Durable operations on record; those of a step's attempts are one. */
  readonly operations: number

  /** Paths of the body's steps and activities that have succeeded. */
  succeeded(): ReadonlyArray<string> {
    return Array.from(this.#steps.values())
      .filter(({ exit, kind, name }) => compensable.has(kind) && isOfBody(name) && isSuccess(exit))
      .map(({ name }) => name)
  }

  get(name: string): StepRecord | undefined {
    return this.#steps.get(name)
  }

  add(step: StepRecord): void {
    this.#steps.set(step.name, step)
  }

  values(): Iterable<StepRecord> {
    return this.#steps.values()
  }

  /** The run is at `path`. */
  reach(path: string): void {
    if (this.#unreached.size > 0) {
      this.#unreached.delete(path)
    }
  }

  /** A further attempt need not do what the one before it did. */
  abandonInside(path: string): void {
    for (const unreached of this.#unreached) {
      if (unreached.startsWith(`${path}/`)) {
        this.#unreached.delete(unreached)
      }
    }
  }

  /** What the root fiber did before and has not done in this run, if it is about to do `path` for the first time. */
  skippedBefore(path: string): StepRecord | undefined {
    for (const unreached of this.#unreached) {
      if (unreached !== path && !unreached.startsWith(`${path}/`)) {
        return this.#recordOf(unreached)
      }
    }
    return undefined
  }

  leftovers(): ReadonlyArray<string> {
    return Array.from(this.#unreached)
  }

  #recordOf(path: string): StepRecord | undefined {
    for (const step of this.#steps.values()) {
      if (stepOf(step.name) === path) {
        return step
      }
    }
    return undefined
  }

  #insideFinished(path: string): boolean {
    for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
      if (this.#steps.has(path.slice(0, at))) {
        return true
      }
    }
    return false
  }
}

/**
 * Path of the step that a record belongs to: without attempts and marks.
 * `undefined` for a record that belongs to none.
 */
const stepOf = (name: string): string | undefined => {
  if (!name.includes("@") && !name.includes("%")) {
    return name
  }
  let path: string | undefined
  for (const segment of name.split("/")) {
    if (marks.has(segment)) {
      return path
    }
    const at = segment.indexOf("@")
    const plain = at === -1 ? segment : segment.slice(0, at)
    path = path === undefined ? plain : `${path}/${plain}`
  }
  return path
}

/** First segment of the record that the handler has stopped waiting for something. @internal */
export const abandoned = "%abandoned"

/** First segment of the paths of stock activities. @internal */
export const activities = "%activity"

/** Last segment of the record that an at-most-once attempt has begun. @internal */
export const begin = "%begin"

/** Last segment of a step that compensates the one it is in. @internal */
export const compensate = "%compensate"

/** The record that the execution has failed and is being compensated. @internal */
export const failure = "%failure"

/** The record of what a replay did not reach. @internal */
export const warning = "%warning"

/** Kinds of what a compensation can be for. */
const compensable: ReadonlySet<string> = new Set(["step", "activity"])

const isOfBody = (name: string): boolean =>
  !name.slice(name.startsWith(`${activities}/`) ? activities.length + 1 : 0).includes("/")

const isSuccess = (exit: string): boolean => (JSON.parse(exit) as { readonly _tag?: unknown })._tag === "Success"

const marks: ReadonlySet<string> = new Set([abandoned, begin, compensate, failure, warning])

/** Signals by name: what came from outside. @internal */
export const signalsOf = (signals: ReadonlyArray<SignalRecord>): Map<string, string> =>
  new Map(signals.map((signal) => [signal.name, signal.exit]))
