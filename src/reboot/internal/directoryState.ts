/**
 * The log from which listings are read, since Reboot cannot list states. Pages
 * `0`, `1` and so on, each of a bounded number of entries; the page `first` holds
 * the number of the first page that is not empty for ever.
 *
 * A page that was full once is sealed: it takes no more entries, also when some
 * were removed, so that a process that knows only an older page cannot enter
 * anything before `first`.
 *
 * Entries are hints where to look: what a listing says comes from the states.
 *
 * @internal
 */
import type { Versioned } from "./Application.ts"

/** @internal */
export type DirectoryEntry =
  | {
    readonly _tag: "Session"
    readonly id: string
    readonly createdAt: number
  }
  | {
    readonly _tag: "Call"
    readonly id: string
    readonly createdAt: number
    readonly session: string | undefined
    readonly workflow: string | undefined
    readonly parent: string | undefined
  }
  /** The stream has its last event and the execution, if there is one, its result. */
  | { readonly _tag: "Closed"; readonly id: string; readonly at: number }
  /** The session was written at this time, or ended. */
  | { readonly _tag: "Written"; readonly id: string; readonly at: number }
  /** The call shrank to a tombstone. */
  | { readonly _tag: "Forgotten"; readonly id: string }
  /** In the page `first` only, where the `remove` of a request comes before its `enter`. */
  | { readonly _tag: "First"; readonly id: "first"; readonly page: number }
  /** The last entry of a page that was full; the machine enters it when it refuses, and `remove` leaves it. */
  | { readonly _tag: "Sealed"; readonly id: "" }

/** @internal */
export interface DirectoryRequest {
  readonly enter: ReadonlyArray<DirectoryEntry>
  /** Entries of these ids go, before others are entered. */
  readonly remove: ReadonlyArray<string>
}

/** @internal */
export interface DirectoryResponse {
  readonly version: number
  /** The page takes no more entries: nothing was entered, try the next one. */
  readonly full: boolean
}

/** @internal */
export interface DirectoryState extends Versioned {
  /** JSON of `DirectoryEntry`. */
  readonly entries: ReadonlyArray<string>
}
