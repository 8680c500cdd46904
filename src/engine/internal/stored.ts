/**
 * Exits as JSON text. Values and errors are JSON already; defects become JSON
 * as `Schema.Defect` has it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"

type Reason =
  | { readonly _tag: "Fail"; readonly error: unknown }
  | { readonly _tag: "Die"; readonly defect: unknown }
  | { readonly _tag: "Interrupt" }

/** @internal */
export type StoredExit =
  | { readonly _tag: "Success"; readonly value?: unknown }
  | { readonly _tag: "Failure"; readonly reasons: ReadonlyArray<Reason> }

const encodeDefectSync = Schema.encodeUnknownSync(Schema.Defect())
const decodeDefectSync = Schema.decodeUnknownSync(Schema.Defect())

/** Never throws: a defect may be anything. @internal */
export const encodeDefect = (defect: unknown): unknown => {
  try {
    const encoded: unknown = encodeDefectSync(defect)
    JSON.stringify(encoded)
    return encoded
  } catch {
    return { name: "Error", message: "A defect that cannot be stored" }
  }
}

/** @internal */
export const decodeDefect = (defect: unknown): unknown => {
  try {
    return decodeDefectSync(defect)
  } catch {
    return defect
  }
}

/** @internal */
export const fromExit = (exit: Exit.Exit<unknown, unknown>): StoredExit =>
  Exit.isSuccess(exit)
    ? { _tag: "Success", value: exit.value }
    : {
      _tag: "Failure",
      reasons: exit.cause.reasons.map((reason): Reason =>
        Cause.isFailReason(reason)
          ? { _tag: "Fail", error: reason.error }
          : Cause.isDieReason(reason)
          ? { _tag: "Die", defect: encodeDefect(reason.defect) }
          : { _tag: "Interrupt" }
      )
    }

/** @internal */
export const toExit = (stored: StoredExit): Exit.Exit<unknown, unknown> =>
  stored._tag === "Success"
    ? Exit.succeed(stored.value)
    : Exit.failCause(Cause.fromReasons(stored.reasons.map((reason) => {
      switch (reason._tag) {
        case "Fail":
          return Cause.makeFailReason(reason.error)
        case "Die":
          return Cause.makeDieReason(decodeDefect(reason.defect))
        case "Interrupt":
          return Cause.makeInterruptReason()
      }
    })))

/** @internal */
export const encode = (exit: Exit.Exit<unknown, unknown>): string => JSON.stringify(fromExit(exit))

/** @internal */
export const decode = (text: string): Exit.Exit<unknown, unknown> => toExit(JSON.parse(text) as StoredExit)
