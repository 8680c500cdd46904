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
import type { Machine, Versioned } from "./Application.ts"

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
    /** Whether the stream is there; `workflow` says it of the execution. What came later has an entry of its own. */
    readonly stream: boolean
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

/**
 * Most entries of a page, unless one request brings more to an empty one.
 *
 * @internal
 */
export const maxEntries = 256

/**
 * What a page holds, in the order in which it was entered.
 *
 * @internal
 */
export const entriesOf = (state: DirectoryState): ReadonlyArray<DirectoryEntry> => state.entries.map(decode)

const decode = (text: string): DirectoryEntry => JSON.parse(text)

const sealed: string = JSON.stringify({ _tag: "Sealed", id: "" } satisfies DirectoryEntry)

const isSealed = (entries: ReadonlyArray<string>): boolean => entries.at(-1) === sealed

/** The entry is one that takes the place of others of its kind and id: the later, the further. */
const isLater = (entry: DirectoryEntry, than: DirectoryEntry): boolean =>
  entry._tag === "Written" && than._tag === "Written"
    ? entry.at > than.at
    : entry._tag === "First" && than._tag === "First" && entry.page > than.page

/**
 * The entries with these, each once. Of when a session was written and where the
 * pages begin only the last is kept, in whatever order they come.
 */
const withEntries = (
  entries: ReadonlyArray<string>,
  enter: ReadonlyArray<DirectoryEntry>
): ReadonlyArray<string> => {
  const after = Array.from(entries)
  const known = new Set(entries)
  for (const entry of enter) {
    const text = JSON.stringify(entry)
    if (known.has(text)) {
      continue
    }
    known.add(text)
    const place = entry._tag === "Written" || entry._tag === "First"
      ? after.findIndex((other) => {
        const { _tag, id } = decode(other)
        return _tag === entry._tag && id === entry.id
      })
      : -1
    if (place < 0) {
      after.push(text)
    } else if (isLater(entry, decode(after[place]!))) {
      after[place] = text
    }
  }
  return after
}

/** @internal */
export const machine: Machine<"Directory"> = {
  empty: { version: 0, entries: [] },
  apply: (state, { enter, remove }) => {
    const gone = new Set(remove)
    const left = remove.length === 0 ? state.entries : state.entries.filter((text) => {
      const { _tag, id } = decode(text)
      return _tag === "Sealed" || !gone.has(id)
    })
    const entered = withEntries(left, enter)
    const isMore = entered.length > left.length
    const full = isMore && (isSealed(left) || (left.length > 0 && entered.length > maxEntries))
    const entries = !full ? entered : isSealed(left) ? left : [...left, sealed]
    const same = entries.length === state.entries.length && entries.every((text, i) => text === state.entries[i])
    const after = same ? state : { version: state.version + 1, entries }
    return { state: after, response: { version: after.version, full }, task: false }
  }
}
