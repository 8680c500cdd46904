/**
 * The directory: which sessions and calls there are, since Reboot cannot say. A
 * log of pages, to which entries go many at a time; what is held back is kept by
 * the task of the call or session that it is of, so none is lost.
 *
 * Entries are hints where to look. A listing reads the states, and one entry too
 * many costs it a read.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { StoreError } from "../../store/StoreError.ts"
import type { Application } from "./Application.ts"
import { type DirectoryEntry, type DirectoryState, entriesOf, maxEntries } from "./directoryState.ts"
import * as directoryView from "./directoryView.ts"
import * as gathered from "./gathered.ts"
import * as holdBack from "./holdBack.ts"

/**
 * Forgotten calls of no session that listings still show; of the oldest over that
 * only the tombstone stays, which listings do not find. A session takes those of
 * its own with it, so nothing grows for ever. Default 10,000.
 *
 * @internal
 */
export const TombstonesListed: Context.Reference<number> = Context.Reference(
  "effect-durable-mcp/reboot/TombstonesListed",
  { defaultValue: () => 10_000 }
)

/** @internal */
export interface Directory {
  /**
   * What listings have to know, from now on; stored a while later. What is known
   * already is not stored again, and `Written` never is. A front stores nothing,
   * since the task of the call does: it only has what it wrote in its own listings.
   */
  readonly enter: (entry: DirectoryEntry) => void
  /** Waits until what was entered of the id is durable. Tries again for as long as the store is ours. */
  readonly settled: (id: string) => Effect.Effect<void>
  /** Where to look: with what is held back here, and where other processes write, with what they hold back. */
  readonly view: Effect.Effect<directoryView.DirectoryView, StoreError>
  /** What was entered of these ids is gone, durable. */
  readonly remove: (ids: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  /** What is held back is durable when it returns. */
  readonly flush: Effect.Effect<void, StoreError>
}

/** A page as this process saw it last. */
interface Page {
  /** Of the state; -1 where it was not seen since this process wrote it. */
  readonly version: number
  readonly ids: ReadonlySet<string>
  /** It takes no more entries, and all that it took were seen. */
  readonly sealed: boolean
}

/** Entries that are stored at a time: half a page, so that none turns with less in it. */
const entriesPerWrite = maxEntries / 2

/** Pages that are read or written at a time. */
const concurrency = 8

/** Whether so many pages hold so little that the first is to be moved to the end; each costs a read at start. */
const isSparse = (pages: number, ids: number): boolean => pages > 8 + 4 * (ids / maxEntries)

/** @internal */
export const make = Effect.fnUntraced(function*(
  application: Pick<Application, "read" | "write" | "role" | "flush">
): Effect.fn.Return<Directory, never, Scope.Scope> {
  const { role } = application
  const tombstonesListed = yield* TombstonesListed
  /** Held by who reads pages or writes them. */
  const lock = Semaphore.makeUnsafe(1)
  const pages = new Map<number, Page>()
  let view = directoryView.make()
  let isLoaded = false
  /** The first page that may hold something, and the one that takes entries. */
  let first = 0
  let last = 0
  /** What is held back, oldest first, and how much of it by id. */
  let pending: Array<DirectoryEntry> = []
  const pendingById = new Map<string, number>()
  /** Done when something of `pending` is durable, or gone. */
  let fewer = Deferred.makeUnsafe<void>()
  /** Forgotten calls of no session, and those that are over their number and go with the next flush. */
  const tombstones = new Set<string>()
  const dropped = new Set<string>()

  /** Whether the entry says something new. */
  const apply = (entry: DirectoryEntry): boolean => {
    if (dropped.has(entry.id)) {
      return false
    }
    const isNew = view.apply(entry)
    if (entry._tag === "Forgotten" && view.isOfNoSession(entry.id)) {
      tombstones.add(entry.id)
      for (const oldest of tombstones) {
        if (tombstones.size <= tombstonesListed) {
          break
        }
        tombstones.delete(oldest)
        dropped.add(oldest)
        view.remove(oldest)
        held.later()
      }
    }
    return isNew
  }

  const see = (no: number, state: DirectoryState): void => {
    const known = pages.get(no)
    if (known !== undefined && state.version < known.version) {
      return
    }
    const entries = entriesOf(state)
    const sealed = entries.at(-1)?._tag === "Sealed"
    entries.forEach(apply)
    pages.set(no, {
      version: state.version,
      ids: new Set(entries.flatMap((entry) => entry._tag === "Sealed" ? [] : [view.known(entry.id)])),
      sealed
    })
    last = Math.max(last, sealed ? no + 1 : no)
  }

  /** The page was written by this process, but is kept by another one. */
  const guess = (no: number, change: (ids: Set<string>) => void): void => {
    const ids = new Set(pages.get(no)?.ids)
    change(ids)
    pages.set(no, { version: -1, ids, sealed: pages.get(no)?.sealed ?? false })
  }

  const readPages = (nos: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<DirectoryState>, StoreError> =>
    Effect.forEach(nos, (no) => application.read("Directory", String(no)), { concurrency })

  /** The pages from `from` on, to the one that takes entries. */
  const readFrom = Effect.fnUntraced(function*(from: number) {
    const states: Array<DirectoryState> = []
    while (states.length === 0 || entriesOf(states.at(-1)!).at(-1)?._tag === "Sealed") {
      const nos = Array.from({ length: states.length === 0 ? 1 : concurrency }, (_, i) => from + states.length + i)
      states.push(...yield* readPages(nos))
    }
    return states.map((state, i) => [from + i, state] as const)
  })

  const isToStore = ({ _tag }: DirectoryEntry): boolean => role !== "front" && _tag !== "Written"

  const load = Effect.gen(function*() {
    if (isLoaded) {
      return
    }
    const [pointer] = entriesOf(yield* application.read("Directory", "first"))
    const from = pointer?._tag === "First" ? pointer.page : 0
    const states = yield* readFrom(from)
    view = directoryView.make()
    tombstones.clear()
    first = from
    last = from
    for (const [no, state] of states) {
      // there may be pages after the one that takes entries: nobody has written them
      if (no <= last) {
        see(no, state)
      }
    }
    isLoaded = true
    keep(pending.filter((entry) => apply(entry) && isToStore(entry)))
  })

  /** Where other processes write: what they wrote since. */
  const refresh = Effect.gen(function*() {
    if (!isLoaded || role === "owner") {
      return yield* load
    }
    const open = Array.from(pages).flatMap(([no, { sealed }]) => sealed || no >= last ? [] : [no])
    const states = yield* readPages(open)
    states.forEach((state, i) => see(open[i]!, state))
    for (const [no, state] of yield* readFrom(last)) {
      if (no <= last) {
        see(no, state)
      }
    }
  })

  // ---------------------------------------------------------------------------
  // what is held back
  // ---------------------------------------------------------------------------

  const keep = (entries: Array<DirectoryEntry>): void => {
    pending = entries
    pendingById.clear()
    for (const { id } of pending) {
      pendingById.set(id, (pendingById.get(id) ?? 0) + 1)
    }
    const waiting = fewer
    fewer = Deferred.makeUnsafe()
    Deferred.doneUnsafe(waiting, Effect.void)
  }

  /** Enters them into the page that takes entries, or into the next one. */
  const store = Effect.fnUntraced(function*(entries: ReadonlyArray<DirectoryEntry>) {
    while (entries.length > 0) {
      const no = last
      const { response, state } = yield* application.write("Directory", String(no), { enter: entries, remove: [] })
      if (state !== undefined) {
        see(no, state)
      } else if (!response.full) {
        guess(no, (ids) => entries.forEach(({ id }) => ids.add(id)))
      }
      if (!response.full) {
        return
      }
      last = Math.max(last, no + 1)
    }
  })

  const storePending = Effect.gen(function*() {
    yield* load
    while (pending.length > 0) {
      const entries = pending.slice(0, entriesPerWrite)
      yield* store(entries)
      keep(pending.slice(entries.length))
    }
  })

  const flush = Effect.suspend(() => pending.some(isToStore) ? lock.withPermit(storePending) : Effect.void)

  // ---------------------------------------------------------------------------
  // what goes
  // ---------------------------------------------------------------------------

  const removeFrom = Effect.fnUntraced(function*(no: number, ids: ReadonlyArray<string>) {
    const { state } = yield* application.write("Directory", String(no), { enter: [], remove: ids })
    if (state !== undefined) {
      see(no, state)
    } else {
      guess(no, (known) => ids.forEach((id) => known.delete(id)))
    }
  })

  const remove = Effect.fnUntraced(function*(ids: ReadonlySet<string>) {
    yield* refresh
    if (pending.some(({ id }) => ids.has(id))) {
      keep(pending.filter(({ id }) => !ids.has(id)))
    }
    ids.forEach(view.remove)
    yield* Effect.forEach(pages, ([no, page]) => {
      const there = Array.from(ids).filter((id) => page.ids.has(id))
      return there.length === 0 ? Effect.void : removeFrom(no, there)
    }, { concurrency, discard: true })
    held.later()
  })

  /** The first pages go when nothing is in them, and what is in one of many sparse ones goes to the end. */
  const tidy = Effect.gen(function*() {
    const page = pages.get(first)
    const ids = Array.from(pages.values()).reduce((sum, { ids }) => sum + ids.size, 0)
    if (page?.sealed === true && page.ids.size > 0 && isSparse(last - first + 1, ids)) {
      const entries = entriesOf(yield* application.read("Directory", String(first)))
        .filter(({ _tag }) => _tag !== "Sealed")
      yield* store(entries.slice(0, entriesPerWrite))
      yield* store(entries.slice(entriesPerWrite))
      yield* removeFrom(first, Array.from(new Set(entries.map(({ id }) => id))))
    }
    let next = first
    while (pages.get(next)?.sealed === true && pages.get(next)!.ids.size === 0) {
      next++
    }
    if (next > first) {
      const enter: ReadonlyArray<DirectoryEntry> = [{ _tag: "First", id: "first", page: next }]
      yield* application.write("Directory", "first", { enter, remove: [] })
      while (first < next) {
        pages.delete(first++)
      }
    }
  })

  const drop = Effect.suspend(() => {
    const ids = new Set(dropped)
    return ids.size === 0 ? Effect.void : Effect.map(remove(ids), () => ids.forEach((id) => dropped.delete(id)))
  })

  const held: holdBack.HeldBack = yield* holdBack.make(
    "The directory was not written",
    lock.withPermit(storePending.pipe(Effect.andThen(drop), Effect.andThen(tidy)))
  )
  yield* Effect.addFinalizer(() => Effect.ignore(flush))

  /** One look at what others wrote is for all who asked before it began. */
  const refreshing = gathered.make<void>(() => Effect.andThen(application.flush, lock.withPermit(refresh)))

  const removing = gathered.make<ReadonlyArray<string>>((batch) =>
    Effect.andThen(
      role === "owner" ? Effect.void : application.flush,
      lock.withPermit(remove(new Set(batch.flat())))
    )
  )

  return {
    enter: (entry) => {
      const isNew = apply(entry)
      // before the pages are known, all of it has to be said again when they are
      if (!isLoaded || (isNew && isToStore(entry))) {
        pending.push(entry)
        pendingById.set(entry.id, (pendingById.get(entry.id) ?? 0) + 1)
        if (isToStore(entry)) {
          held.later()
        }
      }
    },
    settled: (id) => {
      const wait: Effect.Effect<void> = Effect.suspend(() =>
        pendingById.has(id) ? Effect.andThen(Deferred.await(fewer), wait) : Effect.void
      )
      return wait
    },
    view: Effect.suspend(() => role !== "owner" ? refreshing() : isLoaded ? Effect.void : lock.withPermit(load)).pipe(
      Effect.map(() => view)
    ),
    remove: (ids) => ids.length === 0 ? Effect.void : removing(ids),
    flush
  }
})
