/**
 * What the entries of the directory say, by id: where a listing has to look. An
 * entry that comes twice says nothing new, and in whatever order the pages are
 * read the result is as good a hint.
 *
 * @internal
 */
import type { DirectoryEntry } from "./directoryState.ts"

/** Where something stands in the order of creation. */
export interface Place {
  readonly createdAt: number
  /** Decides between what was created at the same time. */
  readonly order: number
}

/** What is known of a call; a new object whenever that changes. */
export interface ListedCall {
  readonly id: string
  readonly stream: Place | undefined
  readonly execution: Place | undefined
  readonly session: string | undefined
  readonly workflow: string | undefined
  readonly parent: string | undefined
  /** The execution, if there is one, had its result at this time, and the stream its last event. */
  readonly closedAt: number | undefined
  readonly forgotten: boolean
}

/** @internal */
export interface ListedSession {
  readonly id: string
  readonly first: Place
  /** It was written at this time, or later. */
  readonly writtenAt: number
}

/** @internal */
export interface DirectoryView {
  /** Whether the entry says something new. */
  readonly apply: (entry: DirectoryEntry) => boolean
  readonly remove: (id: string) => void
  /** Forgets what a listing did not find, unless something else has become known of it. */
  readonly drop: (listed: ListedCall | ListedSession) => void
  /** The calls, those of one session or all of them, in no order. */
  readonly calls: (session?: string) => ReadonlyArray<ListedCall>
  readonly sessions: () => ReadonlyArray<ListedSession>
  readonly childrenOf: (id: string) => ReadonlyArray<string>
  /** The same text, as memory has it already. */
  readonly known: (id: string) => string
  /** Whether the call is known, and will not go with a session. */
  readonly isOfNoSession: (id: string) => boolean
}

/** Entries whose `Call` or `Session` has not come, or not yet. */
interface Early {
  closedAt?: number | undefined
  forgotten?: boolean | undefined
}

/**
 * In the order of creation.
 *
 * @internal
 */
export const compare = (a: Place, b: Place): number => a.createdAt - b.createdAt || a.order - b.order

const add = (index: Map<string, Set<string>>, key: string | undefined, id: string): void => {
  if (key === undefined) {
    return
  }
  const ids = index.get(key)
  if (ids === undefined) {
    index.set(key, new Set([id]))
  } else {
    ids.add(id)
  }
}

const take = (index: Map<string, Set<string>>, key: string | undefined, id: string): void => {
  const ids = key === undefined ? undefined : index.get(key)
  if (ids?.delete(id) === true && ids.size === 0) {
    index.delete(key!)
  }
}

/** @internal */
export const make = (): DirectoryView => {
  const calls = new Map<string, ListedCall>()
  const sessions = new Map<string, ListedSession>()
  const early = new Map<string, Early>()
  const workflows = new Map<string, string>()
  const bySession = new Map<string, Set<string>>()
  const byParent = new Map<string, Set<string>>()
  let order = 0

  const enterCall = (entry: Extract<DirectoryEntry, { readonly _tag: "Call" }>): boolean => {
    const { createdAt, parent } = entry
    const before = calls.get(entry.id)
    // each text once: entries are parsed, thousands of them
    const id = before?.id ?? entry.id
    const session = entry.session === undefined ? undefined : sessions.get(entry.session)?.id ?? entry.session
    const workflow = entry.workflow === undefined ? undefined : workflows.get(entry.workflow) ?? entry.workflow
    if (workflow !== undefined) {
      workflows.set(workflow, workflow)
    }
    const place: Place = { createdAt, order: ++order }
    const isNewStream = entry.stream && before?.stream === undefined
    const isNewExecution = workflow !== undefined &&
      (before?.execution?.createdAt !== createdAt || before.workflow !== workflow || before.parent !== parent)
    const isNewSession = session !== undefined && before?.session === undefined
    if (before !== undefined && !isNewStream && !isNewExecution && !isNewSession) {
      return false
    }
    const waiting = early.get(id)
    early.delete(id)
    const after: ListedCall = {
      id,
      stream: before?.stream ?? (isNewStream ? place : undefined),
      execution: isNewExecution ? place : before?.execution,
      session: before?.session ?? session,
      workflow: isNewExecution ? workflow : before?.workflow,
      parent: isNewExecution ? parent : before?.parent,
      // an execution that began when the stream had its last event is not closed with it
      closedAt: before === undefined ? waiting?.closedAt : isNewExecution ? undefined : before.closedAt,
      forgotten: before?.forgotten ?? waiting?.forgotten ?? false
    }
    take(byParent, before?.parent, id)
    calls.set(id, after)
    add(bySession, after.session, id)
    add(byParent, after.parent, id)
    return true
  }

  const change = (id: string, fields: Early): boolean => {
    const before = calls.get(id)
    if (before === undefined) {
      const waiting = early.get(id)
      early.set(id, { ...waiting, ...fields })
      return true
    }
    if (
      (fields.closedAt === undefined || fields.closedAt === before.closedAt) &&
      (fields.forgotten === undefined || fields.forgotten === before.forgotten)
    ) {
      return false
    }
    calls.set(id, {
      ...before,
      closedAt: fields.closedAt ?? before.closedAt,
      forgotten: fields.forgotten ?? before.forgotten
    })
    return true
  }

  const removeCall = (id: string): void => {
    const call = calls.get(id)
    calls.delete(id)
    take(bySession, call?.session, id)
    take(byParent, call?.parent, id)
  }

  return {
    apply: (entry) => {
      switch (entry._tag) {
        case "Call": {
          return enterCall(entry)
        }
        case "Session": {
          const before = sessions.get(entry.id)
          if (before?.first.createdAt === entry.createdAt) {
            return false
          }
          const { createdAt, id } = entry
          sessions.set(id, { id, first: { createdAt, order: ++order }, writtenAt: createdAt })
          return true
        }
        case "Closed": {
          return change(entry.id, { closedAt: entry.at })
        }
        case "Forgotten": {
          return change(entry.id, { forgotten: true })
        }
        case "Written": {
          const before = sessions.get(entry.id)
          if (before !== undefined) {
            sessions.set(entry.id, { ...before, writtenAt: entry.at })
          }
          return before !== undefined
        }
        case "First":
        case "Sealed": {
          return false
        }
      }
    },
    remove: (id) => {
      removeCall(id)
      sessions.delete(id)
      early.delete(id)
    },
    drop: (listed) => {
      if (calls.get(listed.id) === listed) {
        removeCall(listed.id)
      } else if (sessions.get(listed.id) === listed) {
        sessions.delete(listed.id)
      }
    },
    calls: (session) =>
      session === undefined
        ? Array.from(calls.values())
        : Array.from(bySession.get(session) ?? [], (id) => calls.get(id)!),
    sessions: () => Array.from(sessions.values()),
    childrenOf: (id) => Array.from(byParent.get(id) ?? []),
    known: (id) => calls.get(id)?.id ?? id,
    isOfNoSession: (id) => {
      const call = calls.get(id)
      return call !== undefined && call.session === undefined && call.parent === undefined
    }
  }
}
