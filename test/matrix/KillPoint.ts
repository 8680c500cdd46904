/**
 * A moment to die at, that a simulation and a process of its own understand
 * alike: at an operation on the store, named by what is said of it, or around
 * an effect on the world.
 */
import { Schema } from "effect"
import type { Operation } from "../../src/testing/FaultStore.ts"
import type { Fault } from "../../src/testing/Schedule.ts"

export const KillPoint = Schema.Union([
  Schema.Struct({
    _tag: Schema.tag("Operation"),
    /** A regular expression for `<kind> <what>` of operations. */
    like: Schema.String,
    /** Which of those that are like it, from 1. */
    nth: Schema.Int,
    /** How many writes are applied before. */
    applied: Schema.Union([Schema.Int, Schema.Literal("all")])
  }),
  Schema.Struct({
    _tag: Schema.tag("Effect"),
    name: Schema.String,
    when: Schema.Literals(["before", "after"])
  })
])
export type KillPoint = typeof KillPoint.Type

/** Before the n-th operation of this kind. */
export const before = (like: string, nth = 1): KillPoint => ({ _tag: "Operation", like, nth, applied: 0 })

/** After the n-th operation of this kind, before anybody can know of it. */
export const after = (like: string, nth = 1): KillPoint => ({ _tag: "Operation", like, nth, applied: "all" })

/** Within it: a part of its writes is applied. */
export const within = (like: string, applied: number, nth = 1): KillPoint => ({ _tag: "Operation", like, nth, applied })

/** In the step that does this: before or after it is done. */
export const around = (when: "before" | "after", name: string): KillPoint => ({ _tag: "Effect", name, when })

export const text = (point: KillPoint): string =>
  point._tag === "Effect"
    ? `${point.when} the effect ${point.name}`
    : `${point.nth === 1 ? "" : `${point.nth}. `}/${point.like}/ with ${point.applied} writes applied`

/** Any operation of a run: the n-th, with so many writes applied. */
export const nth = (nth: number, applied: number | "all"): KillPoint => ({ _tag: "Operation", like: "", nth, applied })

/** What an operation is, without ids. */
export const nameOf = ({ kind, what, writes }: Operation): string =>
  kind === "run"
    ? kind
    : `${kind} ${
      writes.length === 0 ? what.split(" ")[0] : Array.from(new Set(writes.map(({ _tag }) => _tag))).join(", ")
    }`

const isLike = (point: KillPoint & { readonly _tag: "Operation" }, { kind, what }: Operation) =>
  new RegExp(point.like).test(`${kind} ${what}`)

/** Of the operations of a process those at which it must die, one by one: writes to apply before, or undefined. */
export const watch = (point: KillPoint): (operation: Operation) => number | undefined => {
  let count = 0
  return (operation) =>
    point._tag === "Operation" && isLike(point, operation) && ++count === point.nth
      ? Math.min(point.applied === "all" ? Infinity : point.applied, operation.writes.length)
      : undefined
}

/** The point in a run that goes like this one up to there. */
export const toFault = (point: KillPoint, operations: ReadonlyArray<Operation>): Fault => {
  if (point._tag === "Effect") {
    return { _tag: "CrashInStep", step: point.name, nth: 1, when: point.when }
  }
  const applied = watch(point)
  for (const operation of operations) {
    const writes = applied(operation)
    if (writes !== undefined) {
      return { _tag: "Crash", at: operation.index, applied: writes }
    }
  }
  throw new Error(
    `No operation is ${text(point)}:\n${operations.map(({ kind, what }) => `  ${kind} ${what}`).join("\n")}`
  )
}

/** What the store does at the points of the matrix. */
export const points = {
  opened: "commit OpenSession",
  initialized: "commit SetSession initialized",
  accepted: "OpenStream",
  progress: "Append .*progress",
  result: "Append .*\\(last\\)",
  question: "Append question",
  answered: "commit Signal",
  cancelled: "commit RequestCancel",
  ended: "commit EndSession"
}
