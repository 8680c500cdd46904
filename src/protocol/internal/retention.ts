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
import { Sessions } from "../../session/Sessions.ts"
import { type ExecutionSummary, Store } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"

const unfinished: ReadonlyArray<ExecutionSummary["state"]> = ["running", "waiting", "stopped", "stuck"]

/** @internal */
export interface Retention {
  /** Cancels the open calls of a session that has ended (S-S5). */
  readonly cancelCalls: (session: string) => Effect.Effect<void, StoreError>
  /** One pass over everything that is due. */
  readonly sweep: Effect.Effect<void, StoreError>
}

/**
 * Sweeps at start, and then every `Limits.SweepInterval`, for the life of the
 * scope.
 *
 * @internal
 */
export const make: Effect.Effect<Retention, never, Store | Sessions | EventLog | Calls | Scope.Scope> = Effect.gen(
  function*() {
    const store = yield* Store
    const sessions = yield* Sessions
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

    // `touched` is behind the last use by a quarter of the timeout at most.
    const endIdle = Effect.fnUntraced(function*(now: number) {
      const idle = store.sessions({ ended: false, writtenBefore: now - idleTimeout * 1.25 })
      yield* Stream.runForEach(
        idle,
        ({ id }) => Effect.flatMap(isInUse(id), (inUse) => inUse ? sessions.touch(id) : sessions.end(id))
      )
    })

    // A session that ended before a crash may have calls that nobody cancelled.
    const forgetEnded = Stream.runForEach(
      store.sessions({ ended: true }),
      ({ id }) => Effect.andThen(cancelCalls(id), store.commit([{ _tag: "ForgetSession", id }]))
    )

    const forgetCalls = (now: number): Effect.Effect<void, StoreError> =>
      store.streams({ closedBefore: now - callRetention }).pipe(
        Stream.grouped(64),
        Stream.runForEach((streams) => store.commit(Arr.map(streams, ({ stream }) => ({ _tag: "Forget", id: stream }))))
      )

    const sweep = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* endIdle(now)
      yield* forgetEnded
      yield* forgetCalls(now)
    })

    yield* sweep.pipe(
      Effect.catch((error) => Effect.logWarning(`Expired records were not removed: ${error.message}`)),
      Effect.andThen(Effect.sleep(interval)),
      Effect.forever,
      Effect.forkScoped
    )

    return { cancelCalls, sweep }
  }
)
