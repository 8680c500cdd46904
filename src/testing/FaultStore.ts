/**
 * A store as a process sees it that will die: at an operation, before or after
 * it, or within, when only its first writes are applied; or whose disk fails.
 *
 * Wraps any store. From the moment of death every operation fails with
 * `Fenced`, and none hangs, so that no finalizer of the dead process can write.
 * What the wrapped store's own driver does (it starts what must run and fires
 * timers) is no operation, but each run that it starts is one.
 *
 * **Example** (A backend loses nothing that it has acknowledged)
 *
 * ```ts
 * const acknowledged: Array<FaultStore.Operation> = []
 * const { store } = yield* FaultStore.make(yield* myStore, {
 *   // the process dies in its fifth operation, with one of its writes applied
 *   decide: ({ index }) => index === 5 ? { _tag: "Crash", applied: 1 } : undefined,
 *   onSettled: (operation, { _tag }) => {
 *     if (_tag === "Acknowledged") acknowledged.push(operation)
 *   }
 * })
 * ```
 *
 * A whole server on a backend of one's own is crashed by `CrashTest` with a
 * `Disk` for it, which uses this.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Outcome, Store, Write } from "../store/Store.ts"
import { StoreError } from "../store/StoreError.ts"

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
  /** Of commits and submits; others have none. */
  readonly writes: ReadonlyArray<Write>
  /** Of a run that follows an unclean end: the execution. */
  readonly cutOff?: string | undefined
}

/**
 * What becomes of an operation.
 *
 * - `Crash`: the process dies, with the first `applied` writes applied.
 * - `Torn`: the machine dies in the middle of a write.
 * - `Fail`: nothing is applied, the operation fails with `Io`, the process goes on.
 *
 * @category models
 * @since 0.1.0
 */
export type Decision =
  | { readonly _tag: "Crash"; readonly applied: number }
  | { readonly _tag: "Torn" }
  | { readonly _tag: "Fail" }

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Asked at each operation when it begins. Default: nothing goes wrong. */
  readonly decide?: ((operation: Operation) => Decision | undefined) | undefined
  /** Damages what was not acknowledged (`Disk.Instance`). Default: a torn commit is not applied. */
  readonly tear?: ((unacknowledged: Effect.Effect<void>) => Effect.Effect<void>) | undefined
  /** Told what became of an operation, where that is known: of a torn commit it is not. Of reads only when they fail. */
  readonly onSettled?: ((operation: Operation, settled: Settled) => void) | undefined
  /** Told in the moment of death, before anything else of the process runs. */
  readonly onDeath?: (() => void) | undefined
}

/**
 * What became of the writes of an operation.
 *
 * - `Acknowledged`: they stand, and the process knows.
 * - `Applied`: the first of them stand, as many as there are outcomes, and the process died before it was told.
 * - `Queued`: a submit has returned; they stand when a later commit of the process is acknowledged.
 * - `Failed`: the process was told that it failed; writes may stand all the same, where the store itself has failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Settled =
  | { readonly _tag: "Acknowledged"; readonly outcomes: ReadonlyArray<Outcome> }
  | { readonly _tag: "Applied"; readonly outcomes: ReadonlyArray<Outcome> }
  | { readonly _tag: "Queued" }
  | { readonly _tag: "Failed" }

/**
 * @category models
 * @since 0.1.0
 */
export interface FaultStore {
  readonly store: Store["Service"]
  /** Returns when the process has died. */
  readonly died: Effect.Effect<void>
  readonly isDead: () => boolean
  /** Whether an operation has begun and not ended: the disk is at work. */
  readonly isBusy: () => boolean
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
    /** Nothing is done any more, except what `die` does last. */
    let dead = false
    let killed = false
    let operations = 0
    let underWay = 0

    const fenced = Effect.suspend(() =>
      Effect.fail(new StoreError({ reason: "Fenced", message: "This process has died" }))
    )

    const kill = Effect.sync(() => {
      dead = true
      if (!killed) {
        killed = true
        options?.onDeath?.()
        Deferred.doneUnsafe(died, Effect.void)
      }
    })

    const counted = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        underWay++
        return Effect.ensuring(effect, ended)
      })

    const ended = Effect.sync(() => {
      underWay--
    })

    const failed = Effect.fail(new StoreError({ reason: "Io", message: "The disk has failed, as the schedule wants" }))

    const telling = <A, E, R>(operation: Operation, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.tapError(effect, () =>
        Effect.sync(() => {
          if (!dead) {
            options?.onSettled?.(operation, { _tag: "Failed" })
          }
        }))

    const begin = (kind: Operation["kind"], what: string, writes: ReadonlyArray<Write>): Operation => ({
      index: ++operations,
      kind,
      what,
      writes
    })

    /** What comes back from a store after the process has died reaches nobody. */
    const alive = <A>(value: A): Effect.Effect<A, StoreError> => dead ? fenced : Effect.succeed(value)

    const read = <A, R>(what: string, effect: Effect.Effect<A, StoreError, R>): Effect.Effect<A, StoreError, R> =>
      Effect.suspend(() => {
        if (dead) {
          return fenced
        }
        const operation = begin("read", what, [])
        const decision = options?.decide?.(operation)
        switch (decision?._tag) {
          case "Crash":
          case "Torn":
            return Effect.andThen(kill, fenced)
          case "Fail":
            return telling(operation, failed)
          default:
            return Effect.flatMap(telling(operation, counted(effect)), alive)
        }
      })

    const readStream = <A>(what: string, stream: Stream.Stream<A, StoreError>): Stream.Stream<A, StoreError> =>
      Stream.unwrap(read(what, Effect.succeed(Stream.mapEffect(stream, alive))))

    /** The last thing that this process does; nobody can stop it in that. */
    const die = (last: Effect.Effect<void>) =>
      Effect.suspend(() => {
        dead = true
        return last
      }).pipe(Effect.andThen(kill), Effect.uninterruptible, Effect.andThen(fenced))

    const apply = (writes: ReadonlyArray<Write>, onApplied?: (outcomes: ReadonlyArray<Outcome>) => void) =>
      isNonEmpty(writes)
        ? Effect.ignore(Effect.map(counted(inner.commit(writes)), onApplied ?? (() => {})))
        : Effect.void

    const write = <A>(
      kind: "commit" | "submit",
      writes: NonEmptyReadonlyArray<Write>,
      effect: Effect.Effect<A, StoreError>,
      settled: (value: A) => Settled
    ): Effect.Effect<A, StoreError> =>
      Effect.suspend(() => {
        if (dead) {
          return fenced
        }
        const operation = begin(kind, writes.map(describe).join(", "), writes)
        const decision = options?.decide?.(operation)
        switch (decision?._tag) {
          case "Crash":
            return die(apply(
              writes.slice(0, decision.applied),
              (outcomes) => options?.onSettled?.(operation, { _tag: "Applied", outcomes })
            ))
          case "Torn":
            return die(options?.tear?.(apply(writes)) ?? Effect.void)
          case "Fail":
            return telling(operation, failed)
          default:
            // a submit may wait for a disk that has failed, which only time heals
            return Effect.flatMap(telling(operation, kind === "commit" ? counted(effect) : effect), (value) => {
              if (!dead) {
                options?.onSettled?.(operation, settled(value))
              }
              return alive(value)
            })
        }
      })

    const commit = (writes: NonEmptyReadonlyArray<Write>) =>
      write("commit", writes, inner.commit(writes), (outcomes) => ({ _tag: "Acknowledged", outcomes }))

    const submit = (writes: NonEmptyReadonlyArray<Write>) =>
      write("submit", writes, inner.submit(writes), () => ({ _tag: "Queued" }))

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
              const operation = begin("run", `${short(id)}${cause.cutOff ? ", cut off" : ""}`, [])
              const decision = options?.decide?.({ ...operation, cutOff: cause.cutOff ? id : undefined })
              return decision === undefined || decision._tag === "Fail" ? run(id, cause) : kill
            })
          )
        )
    }

    return { store, died: Deferred.await(died), isDead: () => dead, isBusy: () => underWay > 0, kill }
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
