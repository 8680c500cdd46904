/**
 * Listings: the directory says where to look, and the states what is so. What
 * cannot be in a listing by what is known of it is not read.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type {
  ExecutionQuery,
  ExecutionSummary,
  SessionQuery,
  SessionRecord,
  Store,
  StreamQuery,
  StreamRecord
} from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { States } from "./Application.ts"
import * as callRead from "./callRead.ts"
import type { CallState } from "./callState.ts"
import type { Directory } from "./directory.ts"
import { compare, type DirectoryView, type ListedCall, type ListedSession, type Place } from "./directoryView.ts"
import * as sessionState from "./sessionState.ts"
import type { SessionState } from "./sessionState.ts"
import * as stateId from "./stateId.ts"

/** States that are read at a time, and in one page of a listing. */
const concurrency = 16
const pageSize = 64

/**
 * Reads a state, from memory where that can be trusted.
 *
 * @internal
 */
export type Read = <T extends "Call" | "Session">(
  type: T,
  stateId: string
) => Effect.Effect<States[T]["state"], StoreError>

/** @internal */
export type Listings = Pick<Store["Service"], "sessions" | "streams" | "list">

const inOrder = <A>(all: ReadonlyArray<A>, place: (a: A) => Place | undefined): ReadonlyArray<A> =>
  all
    .flatMap((a) => {
      const at = place(a)
      return at === undefined ? [] : [{ a, at }]
    })
    .sort((a, b) => compare(a.at, b.at))
    .map(({ a }) => a)

const isUnfinished = ({ completedBefore, states }: ExecutionQuery): boolean =>
  completedBefore === undefined && states !== undefined && !states.includes("completed")

const mayList = (call: ListedCall, query: ExecutionQuery): boolean =>
  !call.forgotten &&
  (query.workflow === undefined || call.workflow === query.workflow) &&
  (call.closedAt === undefined || !isUnfinished(query)) &&
  (query.completedBefore === undefined || call.execution!.createdAt < query.completedBefore)

const isListed = (execution: ExecutionSummary, { completedBefore, session, states, workflow }: ExecutionQuery) =>
  (workflow === undefined || execution.workflow === workflow) &&
  (session === undefined || execution.session === session) &&
  (states === undefined || states.includes(execution.state)) &&
  (completedBefore === undefined ||
    (execution.completedAt !== undefined && execution.completedAt < completedBefore))

const mayBeListedStream = (call: ListedCall, { closedBefore }: StreamQuery): boolean =>
  closedBefore === undefined || (!call.forgotten && call.stream!.createdAt < closedBefore)

const isListedStream = (
  stream: StreamRecord,
  closedAt: number | undefined,
  { closedBefore, session }: StreamQuery
): boolean =>
  (session === undefined || stream.session === session) &&
  (closedBefore === undefined || (closedAt !== undefined && closedAt < closedBefore && !stream.forgotten))

const isListedSession = (
  session: SessionRecord,
  writtenAt: number,
  { ended, principal, writtenBefore }: SessionQuery
): boolean =>
  (ended === undefined || session.ended === ended) &&
  (principal === undefined || session.principal === principal) &&
  (writtenBefore === undefined || writtenAt < writtenBefore)

/** @internal */
export const make = (options: {
  readonly directory: Pick<Directory, "view" | "enter">
  readonly read: Read
}): Listings => {
  const { directory, read } = options

  /** What `select` finds in the directory, page for page, as `look` finds it. */
  const pages = <A extends ListedCall | ListedSession, B>(
    select: (view: DirectoryView) => ReadonlyArray<A>,
    look: (listed: A, view: DirectoryView) => Effect.Effect<B | undefined, StoreError>
  ): Stream.Stream<B, StoreError> =>
    Stream.unwrap(Effect.map(directory.view, (view) => {
      const selected = select(view)
      return Stream.paginate(0, (from) => {
        const to = from + pageSize
        return Effect.map(
          Effect.forEach(selected.slice(from, to), (listed) => look(listed, view), { concurrency }),
          (found) =>
            [
              found.filter((item): item is Exclude<typeof item, undefined> => item !== undefined),
              to < selected.length ? Option.some(to) : Option.none()
            ] as const
        )
      })
    }))

  const lookAtCall = <B>(
    listed: ListedCall,
    view: DirectoryView,
    f: (state: CallState) => B | undefined
  ): Effect.Effect<B | undefined, StoreError> =>
    Effect.map(read("Call", stateId.make(listed.id)), (state) => {
      if (callRead.idOf(state) === undefined) {
        view.drop(listed)
      }
      return f(state)
    })

  const lookAtSession = <B>(
    listed: ListedSession,
    view: DirectoryView,
    f: (state: SessionState) => B | undefined
  ): Effect.Effect<B | undefined, StoreError> =>
    Effect.map(read("Session", stateId.make(listed.id)), (state) => {
      if (state.session === "") {
        view.drop(listed)
      }
      return f(state)
    })

  return {
    list: (query) =>
      pages(
        (view) =>
          inOrder(
            view.calls(query.session).filter((call) => call.execution !== undefined && mayList(call, query)),
            ({ execution }) => execution
          ),
        (listed, view) =>
          lookAtCall(listed, view, (state) => {
            const execution = callRead.summary(state)
            return execution !== undefined && isListed(execution, query) ? execution : undefined
          })
      ),
    streams: (query) =>
      pages(
        (view) =>
          inOrder(
            view.calls(query.session).filter((call) => call.stream !== undefined && mayBeListedStream(call, query)),
            ({ stream }) => stream
          ),
        (listed, view) =>
          lookAtCall(listed, view, (state) => {
            const stream = callRead.stream(state)
            if (stream?.forgotten === true && !listed.forgotten) {
              // a process died before that was entered
              directory.enter({ _tag: "Forgotten", id: listed.id })
            }
            return stream !== undefined && isListedStream(stream, callRead.closedAt(state), query) ? stream : undefined
          })
      ),
    sessions: (query) =>
      pages(
        (view) =>
          inOrder(
            view.sessions().filter(({ writtenAt }) =>
              query.writtenBefore === undefined || writtenAt < query.writtenBefore
            ),
            ({ first }) => first
          ),
        (listed, view) =>
          lookAtSession(listed, view, (state) => {
            const session = sessionState.record(state)
            const writtenAt = sessionState.writtenAt(state)
            return session !== undefined && writtenAt !== undefined && isListedSession(session, writtenAt, query)
              ? session
              : undefined
          })
      )
  }
}
