/**
 * What SQLite's result codes mean to whoever runs the server.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { StoreError } from "../StoreError.ts"

/** Primary result codes, https://sqlite.org/rescode.html. */
const Code = {
  Busy: 5,
  Locked: 6,
  ReadOnly: 8,
  IoError: 10,
  Corrupt: 11,
  Full: 13,
  CantOpen: 14,
  TooBig: 18,
  NotADatabase: 26
} as const

/** The primary result code of an error of `node:sqlite`; the extended one has more bits. */
const primaryCode = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "errcode") && typeof cause.errcode === "number" ? cause.errcode & 0xff : undefined

/** @internal */
export const isBusy = (cause: unknown): boolean => {
  const code = primaryCode(cause)
  return code === Code.Busy || code === Code.Locked
}

const nativeMessage = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** Whether this user may write the file, and make its companions (`-wal`, `-shm`, `.lock`) beside it. */
const canWrite = (file: string): boolean => {
  try {
    Fs.accessSync(Path.dirname(file), Fs.constants.W_OK)
    if (Fs.existsSync(file)) Fs.accessSync(file, Fs.constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Whether the file system failed with one of these codes. */
export const isErrno = (cause: unknown, ...codes: ReadonlyArray<string>): boolean =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" && codes.includes(cause.code)

const diskFull = (file: string, cause: unknown): StoreError =>
  new StoreError({
    reason: "DiskFull",
    message: `No room for ${file}: ${nativeMessage(cause)}. Nothing acknowledged is lost; `
      + "free space on its volume (or raise maxPageCount) and the store goes on.",
    cause
  })

/** @internal */
export const readOnly = (file: string, cause?: unknown): StoreError =>
  new StoreError({
    reason: "ReadOnly",
    message: `${file} or its folder cannot be written by this user. `
      + "Give the user of this process write access to both, or set another filename.",
    cause
  })

/** @internal */
export const notADatabase = (file: string, what: string, cause?: unknown): StoreError =>
  new StoreError({
    reason: "NotADatabase",
    message: `${file} ${what}. It was left as it is: set another filename, or move that file away.`,
    cause
  })

/** @internal */
export const corrupt = (file: string, what: string, cause?: unknown): StoreError =>
  new StoreError({
    reason: "Corrupt",
    message: `${file} is damaged: ${what}. Restore it from a backup together with its -wal file, `
      + "or move both away to start with an empty store.",
    cause
  })

/** @internal */
export const fenced = (file: string): StoreError =>
  new StoreError({ reason: "Fenced", message: `${file} was released by this store: nothing can be read or written.` })

/**
 * The error for what SQLite or the file system threw.
 *
 * @internal
 */
export const fromCause = (file: string, cause: unknown): StoreError => {
  if (StoreError.is(cause)) return cause
  if (isErrno(cause, "EACCES", "EPERM", "EROFS")) return readOnly(file, cause)
  if (isErrno(cause, "ENOSPC", "EDQUOT")) return diskFull(file, cause)
  const detail = nativeMessage(cause)
  switch (primaryCode(cause)) {
    case Code.Full:
      return diskFull(file, cause)
    case Code.ReadOnly:
      return readOnly(file, cause)
    case Code.CantOpen:
      return canWrite(file) ? io(file, detail, cause) : readOnly(file, cause)
    case Code.NotADatabase:
      return notADatabase(file, "is not an SQLite database", cause)
    case Code.Corrupt:
      return corrupt(file, detail, cause)
    case Code.Busy:
    case Code.Locked:
      return new StoreError({
        reason: "InUse",
        message: `Another program is writing ${file}. End its transaction; only readers may share the file.`,
        cause
      })
    case Code.TooBig:
      return new StoreError({
        reason: "PayloadTooLarge",
        message: `A value is larger than SQLite can hold in ${file}: ${detail}.`,
        cause
      })
    default:
      return io(file, detail, cause)
  }
}

/** @internal */
export const io = (file: string, detail: string, cause?: unknown): StoreError =>
  new StoreError({
    reason: "Io",
    message: `${file}: ${detail}. Check the volume that holds it; nothing acknowledged is lost.`,
    cause
  })
