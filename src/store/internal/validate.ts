/// <reference lib="es2024.string" />
/**
 * What a store can keep at all, checked before a write is queued so that a bad
 * write fails alone.
 *
 * @internal
 */
import type { Write } from "../Store.ts"
import { StoreError } from "../StoreError.ts"

/**
 * Longest id, name or key, in UTF-16 units.
 *
 * @internal
 */
export const maxTextLength = 1024

/**
 * Default of `maxPayloadBytes`, in bytes of UTF-8.
 *
 * @internal
 */
export const defaultMaxPayloadBytes = 4 * 1024 * 1024

interface Fields {
  /** Ids, names, keys: short text. */
  readonly text: ReadonlyArray<string>
  /** JSON text of any length up to `maxPayloadBytes`. */
  readonly payload: ReadonlyArray<string>
  /** Times: any finite number. */
  readonly time: ReadonlyArray<string>
  /** Whole numbers. */
  readonly count: ReadonlyArray<string>
}

const fields = <T extends Write["_tag"], K extends keyof Extract<Write, { readonly _tag: T }>>(
  _tag: T,
  options: {
    readonly text: ReadonlyArray<K>
    readonly payload?: ReadonlyArray<K>
    readonly time?: ReadonlyArray<K>
    readonly count?: ReadonlyArray<K>
  }
): Fields => ({
  text: options.text as ReadonlyArray<string>,
  payload: (options.payload ?? []) as ReadonlyArray<string>,
  time: (options.time ?? []) as ReadonlyArray<string>,
  count: (options.count ?? []) as ReadonlyArray<string>
})

const fieldsOf: Readonly<Record<Write["_tag"], Fields>> = {
  OpenSession: fields("OpenSession", { text: ["id", "principal"], payload: ["data"] }),
  SetSession: fields("SetSession", { text: ["id", "name", "writeKey"], payload: ["value"] }),
  EndSession: fields("EndSession", { text: ["id"] }),
  ForgetSession: fields("ForgetSession", { text: ["id"] }),
  PutKey: fields("PutKey", { text: ["name"], payload: ["value"] }),
  OpenStream: fields("OpenStream", {
    text: ["stream", "session", "principal", "requestDigest", "version", "execution"]
  }),
  Append: fields("Append", { text: ["stream", "key"], payload: ["data"] }),
  Trim: fields("Trim", { text: ["stream"], count: ["beforeSeq"] }),
  StartExecution: fields("StartExecution", { text: ["id", "workflow", "parent"], payload: ["payload"] }),
  BeginRecovery: fields("BeginRecovery", { text: ["id", "boot"] }),
  RecordStep: fields("RecordStep", { text: ["id", "name", "key", "kind", "version"], payload: ["exit"] }),
  Signal: fields("Signal", { text: ["id", "name"], payload: ["exit"] }),
  ArmTimer: fields("ArmTimer", { text: ["id", "name"], payload: ["exit"], time: ["at"] }),
  RequestCancel: fields("RequestCancel", { text: ["id"] }),
  Park: fields("Park", { text: ["id"], payload: ["reason"], count: ["seenSignals"] }),
  Resume: fields("Resume", { text: ["id"] }),
  Complete: fields("Complete", { text: ["id"], payload: ["result"] }),
  Forget: fields("Forget", { text: ["id"] })
}

const holdsBadText = (text: string): boolean => !text.isWellFormed() || text.includes("\0")

const invalid = (write: Write, field: string, why: string): StoreError =>
  new StoreError({ reason: "InvalidText", message: `${write._tag}.${field} cannot be stored: ${why}` })

/**
 * The length of all that the writes hold, in UTF-16 units, or why they cannot
 * be stored.
 *
 * @internal
 */
export const measure = (writes: ReadonlyArray<Write>, maxPayloadBytes: number): number | StoreError => {
  let size = 0
  for (const write of writes) {
    const { count, payload, text, time } = fieldsOf[write._tag]
    const values = write as unknown as Readonly<Record<string, unknown>>
    for (const field of text) {
      const value = values[field] as string | undefined
      if (value === undefined) {
        continue
      }
      if (value.length === 0) {
        return invalid(write, field, "it is empty")
      }
      if (value.length > maxTextLength) {
        return invalid(write, field, `it is longer than ${maxTextLength} characters`)
      }
      if (holdsBadText(value)) {
        return invalid(write, field, "it holds NUL or a lone surrogate")
      }
      size += value.length
    }
    for (const field of payload) {
      const value = values[field] as string | undefined
      if (value === undefined) {
        continue
      }
      // one UTF-16 unit is at most three bytes of UTF-8
      if (value.length * 3 > maxPayloadBytes && Buffer.byteLength(value) > maxPayloadBytes) {
        return new StoreError({
          reason: "PayloadTooLarge",
          message: `${write._tag}.${field} has ${Buffer.byteLength(value)} bytes; maxPayloadBytes is ${maxPayloadBytes}`
        })
      }
      if (holdsBadText(value)) {
        return invalid(write, field, "it holds NUL or a lone surrogate, which JSON text has as escapes")
      }
      size += value.length
    }
    for (const field of time) {
      if (!Number.isFinite(values[field])) {
        return invalid(write, field, "it is no finite number")
      }
    }
    for (const field of count) {
      if (!Number.isSafeInteger(values[field])) {
        return invalid(write, field, "it is no whole number")
      }
    }
  }
  return size
}
