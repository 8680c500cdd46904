/**
 * The one queue in front of a backend: first in, first out, and everything that
 * gathers before a commit shares it (group commit).
 *
 * A batch that fails fails every commit that is queued, since none may overtake
 * another. What was submitted stays at the head, so a later commit succeeds only
 * when it is stored too, and the queue tries again by itself.
 *
 * @internal
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import type { Outcome, Write } from "../Store.ts"
import { StoreError } from "../StoreError.ts"
import { Backoff, SubmitBacklog } from "../StoreLimits.ts"
import { delayMillis } from "./backoff.ts"
import { measure } from "./validate.ts"

/**
 * Most writes in one batch. Bounds how long one transaction holds the thread;
 * what is over it goes into the next one.
 */
const maxBatchWrites = 4_096

/** @internal */
export type Committed = Result.Result<ReadonlyArray<ReadonlyArray<Outcome>>, StoreError>

/**
 * Makes a batch durable and calls back, at once or later. Never called while a
 * batch is under way.
 *
 * @internal
 */
export type Commit = (
  batch: ReadonlyArray<ReadonlyArray<Write>>,
  now: number,
  done: (committed: Committed) => void
) => void

/**
 * When what has gathered is committed: `flush` is to be called once, after
 * `gather` has returned. The next batch gathers while a commit is under way.
 *
 * @internal
 */
export type Gather = (flush: () => void) => void

/** @internal */
export interface CommitQueue {
  readonly commit: (writes: NonEmptyReadonlyArray<Write>) => Effect.Effect<ReadonlyArray<Outcome>, StoreError>
  readonly submit: (writes: NonEmptyReadonlyArray<Write>) => Effect.Effect<void, StoreError>
  /** Why this store takes nothing any more. */
  readonly closed: () => StoreError | undefined
  /** Whether everything that was applied is durable. Always, where a commit calls back at once. */
  readonly isSettled: () => boolean
  /** Waits for the batch under way. */
  readonly settled: Effect.Effect<void>
}

interface Entry {
  readonly writes: ReadonlyArray<Write>
  readonly size: number
  /** Absent for a submit. */
  readonly resume: ((effect: Effect.Effect<ReadonlyArray<Outcome>, StoreError>) => void) | undefined
}

/** @internal */
export const make = Effect.fnUntraced(function*(options: {
  readonly commit: Commit
  readonly gather?: Gather | undefined
  readonly maxPayloadBytes: number
  /** Called when a batch is durable, before its commits return. Must not throw. */
  readonly onApplied: (
    batch: ReadonlyArray<ReadonlyArray<Write>>,
    outcomes: ReadonlyArray<ReadonlyArray<Outcome>>
  ) => void
}): Effect.fn.Return<CommitQueue, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const backlog = yield* SubmitBacklog
  const backoff = yield* Backoff
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const dispatcher = (yield* Scheduler.Scheduler).makeDispatcher()
  // By default: when everything has run that was runnable in this turn of the event loop.
  const gather: Gather = options.gather ?? ((flush) => dispatcher.scheduleTask(flush, 0))

  let queue: Array<Entry> = []
  let underWay = false
  let gathering = false
  /** Writes in `queue` and under way, and their size. */
  let pendingWrites = 0
  let pendingSize = 0
  /** Submits that wait for the backlog to shrink. */
  const waiting = new Set<(effect: Effect.Effect<void, StoreError>) => void>()
  /** Why the last batch failed. */
  let failure: StoreError | undefined
  let failures = 0
  let retry: Fiber.Fiber<void> | undefined
  let closed: StoreError | undefined
  let onIdle: (() => void) | undefined
  /** Readers of what may not be durable yet. */
  let unsettled: Array<() => void> = []

  const overBacklog = (writes = 0, size = 0): boolean =>
    pendingWrites + writes > backlog.writes || pendingSize + size > backlog.size

  const enqueue = (entry: Entry): void => {
    queue.push(entry)
    pendingWrites += entry.writes.length
    pendingSize += entry.size
  }

  const schedule = (): void => {
    if (!gathering && !underWay) {
      gathering = true
      gather(flush)
    }
  }

  const flush = (): void => {
    gathering = false
    if (underWay) {
      return
    }
    const batch = takeBatch()
    if (batch.length === 0) {
      onIdle?.()
      return
    }
    underWay = true
    const writes = batch.map((entry) => entry.writes)
    options.commit(writes, clock.currentTimeMillisUnsafe(), (committed) => {
      underWay = false
      if (Result.isSuccess(committed)) {
        succeeded(batch)
        options.onApplied(writes, committed.success)
        acknowledge(batch, committed.success)
      } else {
        failed(batch, committed.failure)
      }
      const readers = unsettled
      unsettled = []
      for (const resume of readers) {
        resume()
      }
    })
  }

  const takeBatch = (): ReadonlyArray<Entry> => {
    let writes = 0
    let end = 0
    for (const entry of queue) {
      writes += entry.writes.length
      if (end > 0 && writes > maxBatchWrites) {
        break
      }
      end++
    }
    return queue.splice(0, end)
  }

  const succeeded = (batch: ReadonlyArray<Entry>): void => {
    failure = undefined
    failures = 0
    for (const entry of batch) {
      pendingWrites -= entry.writes.length
      pendingSize -= entry.size
    }
  }

  const acknowledge = (batch: ReadonlyArray<Entry>, outcomes: ReadonlyArray<ReadonlyArray<Outcome>>): void => {
    for (let i = 0; i < batch.length; i++) {
      batch[i]!.resume?.(Effect.succeed(outcomes[i]!))
    }
    if (!overBacklog()) {
      release(Effect.void)
    }
    if (queue.length > 0) {
      schedule()
    } else {
      onIdle?.()
    }
  }

  const failed = (batch: ReadonlyArray<Entry>, error: StoreError): void => {
    const entries = batch.concat(queue)
    failure = error
    failures++
    if (error.reason === "Fenced") {
      closed = error
    }
    queue = []
    pendingWrites = 0
    pendingSize = 0
    if (closed === undefined) {
      entries.filter((entry) => entry.resume === undefined).forEach(enqueue)
    }
    if (queue.length > 0) {
      retryLater()
    }
    for (const entry of entries) {
      entry.resume?.(Effect.fail(error))
    }
    release(Effect.fail(error))
    onIdle?.()
  }

  const release = (effect: Effect.Effect<void, StoreError>): void => {
    const resumes = Array.from(waiting)
    waiting.clear()
    for (const resume of resumes) {
      resume(effect)
    }
  }

  const retryLater = (): void => {
    if (retry !== undefined) {
      return
    }
    retry = runFork(Effect.sleep(delayMillis(backoff, failures)))
    retry.addObserver(() => {
      retry = undefined
      if (queue.length > 0) {
        schedule()
      }
    })
  }

  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      // What is queued still goes to disk; what comes now finds the door shut.
      closed ??= new StoreError({ reason: "Fenced", message: "This store is closed" })
      onIdle = () => {
        queue = []
        retry?.interruptUnsafe()
        resume(Effect.void)
      }
      flush()
    })
  )

  return {
    commit: (writes) =>
      Effect.callback((resume) => {
        const size = measure(writes, options.maxPayloadBytes)
        if (typeof size !== "number" || closed !== undefined) {
          return resume(Effect.fail(typeof size === "number" ? closed! : size))
        }
        enqueue({ writes, size, resume })
        schedule()
      }),
    submit: (writes) =>
      Effect.callback((resume) => {
        const size = measure(writes, options.maxPayloadBytes)
        if (typeof size !== "number" || closed !== undefined) {
          return resume(Effect.fail(typeof size === "number" ? closed! : size))
        }
        // nobody waits for a disk that is not there
        if (failure !== undefined && overBacklog(writes.length, size)) {
          return resume(Effect.fail(failure))
        }
        enqueue({ writes, size, resume: undefined })
        // after a failure the retry is what comes next, or a commit
        if (retry === undefined) {
          schedule()
        }
        if (!overBacklog()) {
          return resume(Effect.void)
        }
        waiting.add(resume)
        return Effect.sync(() => waiting.delete(resume))
      }),
    closed: () => closed,
    isSettled: () => !underWay,
    settled: Effect.callback((resume) => {
      if (!underWay) {
        return resume(Effect.void)
      }
      // an interrupted reader is resumed for nothing
      unsettled.push(() => resume(Effect.void))
    })
  }
})
