/**
 * `ForgetSession`, as the many writes that it is here: each call of the session
 * becomes as if it had never been, then the session. A process that died between
 * two of them left an ended session, which is forgotten again: what is gone
 * already is gone, the rest goes.
 *
 * Reboot deletes nothing: of each state an empty record stays, and of long values
 * the chunks, which nothing names any more.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Outcome } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import * as callRead from "./callRead.ts"
import type { CallState, Erase } from "./callState.ts"
import type { Directory } from "./directory.ts"
import type { DirectoryView } from "./directoryView.ts"
import type { Read } from "./listings.ts"
import * as sessionState from "./sessionState.ts"
import * as stateId from "./stateId.ts"
import type { Wheels } from "./wheels.ts"

/** Calls that are read or erased at a time. */
const concurrency = 8

/** @internal */
export interface Options {
  readonly directory: Pick<Directory, "view" | "remove">
  readonly wheels: Pick<Wheels, "forget">
  readonly read: Read
  /** One write of a call, behind those that are under way. */
  readonly eraseCall: (id: string, erase: Erase) => Effect.Effect<unknown, StoreError>
  /** One write of the session, which nothing else writes meanwhile. */
  readonly eraseSession: (id: string) => Effect.Effect<unknown, StoreError>
}

/** What goes with the session. */
interface Member {
  readonly id: string
  readonly state: CallState
}

const isErased = (state: CallState): boolean => callRead.idOf(state) === undefined

/** Also where the stream stays. */
const hasNoExecution = (state: CallState): boolean => state.execution === ""

const isOpen = (state: CallState): boolean => {
  const standing = callRead.standing(state)
  return standing !== undefined && standing.state !== "completed"
}

/** @internal */
export const make = (options: Options): (id: string) => Effect.Effect<Outcome, StoreError> => {
  const { directory, eraseCall, eraseSession, read, wheels } = options

  const readCalls = (ids: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Member>, StoreError> =>
    Effect.forEach(ids, (id) => Effect.map(read("Call", stateId.make(id)), (state) => ({ id, state })), { concurrency })

  /**
   * The calls of the session, their children, the children of these, and so on.
   * One that was erased already, by a process that died, still leads to what the
   * directory knows of its children.
   */
  const generations = Effect.fnUntraced(function*(session: string, view: DirectoryView) {
    const own = yield* readCalls(view.calls(session).map(({ id }) => id))
    let generation = own.filter(({ state }) => isErased(state) || callRead.stream(state)?.session === session)
    const known = new Set<string>()
    const all: Array<ReadonlyArray<Member>> = []
    while (generation.length > 0) {
      all.push(generation)
      const ids = new Set(generation.map(({ id }) => id))
      ids.forEach((id) => known.add(id))
      const children = new Set(generation.flatMap(({ id }) => view.childrenOf(id)).filter((id) => !known.has(id)))
      generation = (yield* readCalls(Array.from(children))).filter(({ state }) =>
        hasNoExecution(state) || ids.has(callRead.parent(state) ?? "")
      )
    }
    return all
  })

  return Effect.fnUntraced(function*(id) {
    const session = sessionState.record(yield* read("Session", stateId.make(id)))
    if (session === undefined) {
      return { _tag: "Missing" }
    }
    if (!session.ended) {
      return { _tag: "Made", fresh: false }
    }
    const all = yield* generations(id, yield* directory.view)
    if (all.some((generation) => generation.some(({ state }) => isOpen(state)))) {
      return { _tag: "Made", fresh: false }
    }
    yield* wheels.forget(all.flatMap((generation) => generation.map((member) => member.id)))
    const erased: Array<string> = []
    // the youngest first: while a call is there, its children are found
    for (const generation of all.toReversed()) {
      yield* Effect.forEach(generation, (member) => {
        const stream = callRead.stream(member.state)
        const keepStream = stream !== undefined && stream.session !== id
        if (!keepStream) {
          erased.push(member.id)
        }
        const isDone = keepStream ? hasNoExecution(member.state) : isErased(member.state)
        return isDone ? Effect.void : eraseCall(member.id, { _tag: "Erase", keepStream })
      }, { concurrency, discard: true })
    }
    yield* directory.remove(erased.filter((call) => call !== id))
    yield* eraseSession(id)
    yield* directory.remove([id])
    return { _tag: "Made", fresh: true }
  })
}
