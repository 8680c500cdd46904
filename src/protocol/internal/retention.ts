/**
 * What ends and what is forgotten, and when: idle sessions, ended sessions,
 * finished calls.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Calls } from "../../engine/Calls.ts"
import { EventLog } from "../../session/EventLog.ts"
import * as Limits from "../../session/Limits.ts"
import { Outbox } from "../../session/Outbox.ts"
import { Sessions } from "../../session/Sessions.ts"
import { type ExecutionSummary, Store, type Write } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"

const unfinished: ReadonlyArray<ExecutionSummary["state"]> = ["running", "waiting", "stopped", "stuck"]

/** @internal */
export interface Retention {
  /** Cancels the open calls of a session that has ended (S-S5). */
  readonly cancelCalls: (session: string) => Effect.Effect<void, StoreError>
}

/**
 * Sweeps at start, and then every `Limits.SweepInterval`, for the life of the
 * scope.
 *
 * @internal
 */
export const make: Effect.Effect<
  Retention,
  never,
  Store | Sessions | Outbox | EventLog | Calls | Scope.Scope
> = Effect.gen(
  function*() {
    const store = yield* Store
    const sessions = yield* Sessions
    const outbox = yield* Outbox
    const eventLog = yield* EventLog
    const calls = yield* Calls
    const idleTimeout = Duration.toMillis(yield* Limits.IdleTimeout)
    const callRetention = Duration.toMillis(yield* Limits.CallRetention)
    const interval = yield* Limits.SweepInterval

    const cancelCalls = (session: string): Effect.Effect<void, StoreError> =>
      Stream.runForEach(
        store.list({ session, states: unfinished }),
        (execution) => calls.cancel(execution.id, "The session has ended")
      )

    // An open call and an open stream keep their session.
    const isInUse = Effect.fnUntraced(function*(session: string) {
      const open = yield* Stream.runHead(store.list({ session, states: unfinished }))
      if (open._tag === "Some") return true
      const followed = yield* store.streams({ session }).pipe(
        Stream.filter((stream) => eventLog.isFollowed(stream.stream)),
        Stream.runHead
      )
      return followed._tag === "Some"
    })

    /** In groups, whose members share their commits. */
    const each = <A>(
      records: Stream.Stream<A, StoreError>,
      f: (group: Arr.NonEmptyReadonlyArray<A>) => Effect.Effect<unknown, StoreError>
    ): Effect.Effect<void, StoreError> => Stream.runForEach(Stream.grouped(records, 64), f)

    /** A commit each: a store of many states makes the writes of one commit one after the other. */
    const forgetAll = (writes: ReadonlyArray<Write>): Effect.Effect<void, StoreError> =>
      Effect.forEach(writes, (write) => store.commit([write]), { concurrency: "unbounded", discard: true })

    // `touched` is behind the last use by a quarter of the timeout at most.
    const endIdle = (now: number): Effect.Effect<void, StoreError> =>
      each(
        store.sessions({ ended: false, writtenBefore: now - idleTimeout * 1.25 }),
        Effect.forEach(({ id }) =>
          Effect.flatMap(isInUse(id), (inUse): Effect.Effect<unknown, StoreError> =>
            inUse ? sessions.touch(id) : sessions.end(id)), { concurrency: "unbounded", discard: true })
      )

    // A session that ended before a crash may have calls that nobody cancelled.
    const forgetEnded = each(store.sessions({ ended: true }), (ended) =>
      Effect.andThen(
        Effect.forEach(ended, ({ id }) => cancelCalls(id), { discard: true }),
        forgetAll(Arr.map(ended, ({ id }) => ({ _tag: "ForgetSession", id })))
      ))

    const forgetCalls = (now: number): Effect.Effect<void, StoreError> =>
      each(
        store.streams({ closedBefore: now - callRetention }),
        (closed) => forgetAll(Arr.map(closed, ({ stream }) => ({ _tag: "Forget", id: stream })))
      )

    const sweep = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* endIdle(now)
      yield* forgetEnded
      yield* forgetCalls(now)
    })

    // A front only says which sessions are in use here; hosts sweep.
    const touchReaders = Effect.suspend(() =>
      Effect.forEach(outbox.readers(), (session) => sessions.touch(session), { discard: true })
    )

    yield* (store.role === "front" ? touchReaders : sweep).pipe(
      Effect.catchCause((cause) => Effect.logWarning("What has expired was not removed", cause)),
      Effect.andThen(Effect.sleep(interval)),
      Effect.forever,
      Effect.forkScoped
    )

    return { cancelCalls }
  }
)
