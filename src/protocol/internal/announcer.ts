/**
 * Tells sessions of what the server says outside of calls.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Calls } from "../../engine/Calls.ts"
import * as Facts from "../../session/Facts.ts"
import { Outbox } from "../../session/Outbox.ts"
import { type Session, Sessions } from "../../session/Sessions.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { Backoff } from "../../store/StoreLimits.ts"
import { type Announcement, Stock } from "../stock.ts"
import { areKept } from "./promises.ts"

type List = Extract<Announcement, { readonly _tag: "ListChanged" }>["list"]

const lists: ReadonlyArray<List> = ["tools", "resources", "prompts"]

/** @internal */
export interface Announcer {
  /** Digest by list of what the server offers now. */
  readonly digests: Effect.Effect<Readonly<Record<string, string>>>
  /** Queues a `list_changed` for each list that is not as the session was last told. */
  readonly announce: (session: Session) => Effect.Effect<void, StoreError>
}

/**
 * A list change is told at once to sessions with an open GET; the others are
 * told when they open one, because what they were last told is on disk. So a
 * change costs nothing for those who do not listen, and one that came with a
 * deploy is no special case (S-T9).
 *
 * @internal
 */
export const make: Effect.Effect<Announcer, never, Stock | Sessions | Outbox | Calls | Scope.Scope> = Effect.gen(
  function*() {
    const stock = yield* Stock
    const sessions = yield* Sessions
    const outbox = yield* Outbox
    const calls = yield* Calls
    let known: Readonly<Record<string, string>> | undefined

    const digests = Effect.suspend(() =>
      known === undefined
        ? Effect.map(stock.digests, (digests) => known = { ...digests })
        : Effect.succeed(known)
    )

    const raise = Effect.fnUntraced(function*(session: Session, topic: string, announcement: Announcement) {
      const message = yield* stock.at(session.negotiated.version).announce(announcement)
      if (message !== undefined) yield* outbox.raise(session.id, topic, message)
    })

    const announce = Effect.fnUntraced(function*(session: Session, changed?: List) {
      const now = yield* digests
      const fact = yield* sessions.fact(session.id, Facts.lists)
      const told = fact === undefined ? session.negotiated.lists : JSON.parse(fact) as Readonly<Record<string, string>>
      const news = lists.filter((list) => list === changed || told[list] !== now[list])
      for (const list of news) {
        if (declares(session, list)) yield* raise(session, `list_changed/${list}`, { _tag: "ListChanged", list })
      }
      // After the messages: a crash between repeats them, and they are queued once.
      if (news.length > 0) yield* sessions.update(session.id, Facts.lists, () => JSON.stringify(now))
    })

    const eachOf = (ids: ReadonlyArray<string>, f: (session: Session) => Effect.Effect<void, StoreError>) =>
      Effect.forEach(ids, (id) =>
        Effect.flatMap(sessions.get(id), (session) =>
          session === undefined
            ? Effect.void
            : Effect.flatMap(areKept(stock, session), (kept) => kept ? f(session) : Effect.void)), { discard: true })

    const tell = (announcement: Announcement): Effect.Effect<void, StoreError> => {
      switch (announcement._tag) {
        case "ListChanged":
          known = undefined
          return Effect.suspend(() => eachOf(outbox.readers(), (session) => announce(session, announcement.list)))
        case "ResourceUpdated":
          return Effect.flatMap(
            sessions.subscribers(announcement.uri),
            (ids) => eachOf(ids, (session) => raise(session, `updated/${announcement.uri}`, announcement))
          )
        case "ElicitationComplete":
          return calls.completeElicitation(announcement.elicitationId) // to the call that asked (S-E8)
      }
    }

    const { initial, maximum } = yield* Backoff
    const untilHealed = Schedule.min([Schedule.exponential(initial), Schedule.spaced(maximum)])

    yield* stock.listen((announcement) =>
      tell(announcement).pipe(
        // A disk that fails may heal: until then whoever announces waits.
        Effect.retry({
          schedule: untilHealed,
          while: ({ isInvalidWrite, reason }) => reason !== "Fenced" && !isInvalidWrite
        }),
        Effect.catchTag("StoreError", (error) =>
          // Whoever says that a page is done is believed only when it is stored; the rest can be seen by asking again.
          announcement._tag === "ElicitationComplete"
            ? Effect.die(error)
            : Effect.logWarning(`A change was not announced: ${error.message}`))
      )
    )

    return { digests, announce: (session) => announce(session) }
  }
)

/** S-L4: no notification that was not declared. */
const declares = (session: Session, list: List): boolean => {
  const capability = session.negotiated.serverCapabilities[list]
  return typeof capability === "object" && capability !== null && "listChanged" in capability &&
    capability.listChanged === true
}
