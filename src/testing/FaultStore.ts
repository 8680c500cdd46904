/**
 * A store as a process sees it that will die: at its n-th operation, before or
 * after it, or within, when only its first writes are applied.
 *
 * Wraps any store. From the moment of death every operation fails with
 * `Fenced`, and none hangs, so that no finalizer of the dead process can write.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Outcome, Store, Write } from "../store/Store.ts"
import { StoreError } from "../store/StoreError.ts"
import type { Crash } from "./Schedule.ts"

/**
 * An operation on the store, at which a process can die.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operation {
  /** From 1, since the process started. */
  readonly index: number
  readonly kind: "commit" | "submit" | "read" | "run"
  /** What was written, read or run, for a reader. */
  readonly what: string
  /** Number of writes; 0 for others than commits and submits. */
  readonly writes: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default: it lives. */
  readonly crash?: Crash | undefined
  /** Told of each operation when it begins, and whether the process dies at it. */
  readonly onOperation?: ((operation: Operation, dies: boolean) => void) | undefined
  /** Told of writes that stand, with what became of them. */
  readonly onApplied?: ((writes: ReadonlyArray<Write>, outcomes: ReadonlyArray<Outcome>) => void) | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface FaultStore {
  readonly store: Store["Service"]
  /** Returns when the process has died. */
  readonly died: Effect.Effect<void>
  readonly isDead: () => boolean
  /** Dies now: fences the store, whatever goes on. */
  readonly kill: Effect.Effect<void>
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (inner: Store["Service"], options?: Options): Effect.Effect<FaultStore> =>
  Effect.sync(() => {
    const died = Deferred.makeUnsafe<void>()
    const crash = options?.crash
    let dead = false
    let operations = 0

    const fenced = Effect.suspend(() =>
      Effect.fail(new StoreError({ reason: "Fenced", message: "This process has died" }))
    )

    const kill = Effect.suspend(() => {
      dead = true
      return Effect.asVoid(Deferred.succeed(died, undefined))
    })

    /** Counts an operation; true when the process dies at it. */
    const begin = (kind: Operation["kind"], what: string, writes: number): boolean => {
      const index = ++operations
      const dies = crash !== undefined && crash.at === index
      options?.onOperation?.({ index, kind, what, writes }, dies)
      return dies
    }

    /** What comes back from a store after the process has died reaches nobody. */
    const alive = <A>(value: A): Effect.Effect<A, StoreError> => dead ? fenced : Effect.succeed(value)

    const read = <A, R>(what: string, effect: Effect.Effect<A, StoreError, R>): Effect.Effect<A, StoreError, R> =>
      Effect.suspend(() => {
        if (dead) {
          return fenced
        }
        return begin("read", what, 0) ? Effect.andThen(kill, fenced) : Effect.flatMap(effect, alive)
      })

    const readStream = <A>(what: string, stream: Stream.Stream<A, StoreError>): Stream.Stream<A, StoreError> =>
      Stream.unwrap(read(what, Effect.succeed(Stream.mapEffect(stream, alive))))

    /** Applies the first writes as the last thing that this process does; nobody can stop it in that. */
    const tear = (writes: ReadonlyArray<Write>, applied: number) =>
      Effect.suspend(() => {
        dead = true
        const first = writes.slice(0, applied)
        return isNonEmpty(first)
          ? Effect.ignore(Effect.map(inner.commit(first), (outcomes) => options?.onApplied?.(first, outcomes)))
          : Effect.void
      }).pipe(Effect.andThen(kill), Effect.uninterruptible, Effect.andThen(fenced))

    const commit = (writes: NonEmptyReadonlyArray<Write>) =>
      Effect.suspend(() => {
        if (dead) {
          return fenced
        }
        if (begin("commit", writes.map(describe).join(", "), writes.length)) {
          return tear(writes, crash?.applied ?? 0)
        }
        return Effect.flatMap(inner.commit(writes), (outcomes) => {
          options?.onApplied?.(writes, outcomes)
          return alive(outcomes)
        })
      })

    const submit = (writes: NonEmptyReadonlyArray<Write>) =>
      Effect.suspend(() => {
        if (dead) {
          return fenced
        }
        return begin("submit", writes.map(describe).join(", "), writes.length)
          ? tear(writes, crash?.applied ?? 0)
          : Effect.flatMap(inner.submit(writes), alive)
      })

    const store: Store["Service"] = {
      commit,
      submit,
      key: (name) => read(`key ${name}`, inner.key(name)),
      session: (id) => read("session", inner.session(id)),
      sessions: (query) => readStream("sessions", inner.sessions(query)),
      execution: (id) => read(`execution ${short(id)}`, inner.execution(id)),
      stream: (by) => read("id" in by ? `stream ${short(by.id)}` : `stream token ${by.token}`, inner.stream(by)),
      streams: (query) => readStream("streams", inner.streams(query)),
      events: (stream, afterSeq, limit) =>
        read(`events ${short(stream)} after ${afterSeq}`, inner.events(stream, afterSeq, limit)),
      list: (query) => readStream("list", inner.list(query)),
      watch: inner.watch,
      drive: (run) =>
        read(
          "drive",
          inner.drive((id, cause) =>
            Effect.suspend(() => {
              if (dead) {
                return Effect.void
              }
              return begin("run", `${short(id)}${cause.cutOff ? ", cut off" : ""}`, 0) ? kill : run(id, cause)
            })
          )
        )
    }

    return { store, died: Deferred.await(died), isDead: () => dead, kill }
  })

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const isNonEmpty = <A>(items: ReadonlyArray<A>): items is NonEmptyReadonlyArray<A> => items.length > 0

const short = (id: string): string => id.slice(0, 6)

/** A write for a reader: what it is and under which key. */
const describe = (write: Write): string => {
  switch (write._tag) {
    case "Append":
      return `Append ${write.key}${write.last === true ? " (last)" : ""}`
    case "RecordStep":
      return `RecordStep ${write.name}`
    case "Signal":
    case "ArmTimer":
    case "SetSession":
    case "PutKey":
      return `${write._tag} ${write.name}`
    default:
      return write._tag
  }
}
