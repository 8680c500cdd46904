/**
 * Makes a store of a backend: queue, wake-ups, driver.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Outcome, Store, Write } from "../Store.ts"
import { StoreError } from "../StoreError.ts"
import { EventsInMemory } from "../StoreLimits.ts"
import type { Backend, Page } from "./Backend.ts"
import * as commitQueue from "./commitQueue.ts"
import * as driver from "./driver.ts"
import * as tails from "./tails.ts"
import { defaultMaxPayloadBytes } from "./validate.ts"
import * as watches from "./watches.ts"

/** Items of a listing that are read at a time. */
const pageSize = 256

/** @internal */
export interface Options {
  /** Largest value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
  /** Default: at the end of the turn of the event loop. */
  readonly gather?: commitQueue.Gather | undefined
  /** Default: `backend.apply`, on this thread. */
  readonly commit?: commitQueue.Commit | undefined
}

const storeError = (cause: unknown): StoreError =>
  StoreError.is(cause) ? cause : new StoreError({ reason: "Io", message: "The store's backend failed", cause })

/** What changed something; of a `Park`, whatever became of it. */
const forEachFresh = (
  batch: ReadonlyArray<ReadonlyArray<Write>>,
  outcomes: ReadonlyArray<ReadonlyArray<Outcome>>,
  f: (write: Write, outcome: Outcome) => void
): void => {
  for (let i = 0; i < batch.length; i++) {
    for (let j = 0; j < batch[i]!.length; j++) {
      const outcome = outcomes[i]![j]!
      if (outcome._tag === "Parked" || ("fresh" in outcome && outcome.fresh)) {
        f(batch[i]![j]!, outcome)
      }
    }
  }
}

const attempt = <A>(f: () => A): Result.Result<A, StoreError> => Result.try({ try: f, catch: storeError })

/** @internal */
export const fromBackend = Effect.fnUntraced(function*(
  backend: Backend,
  options?: Options
): Effect.fn.Return<Store["Service"], never, Scope.Scope> {
  const topics = watches.make()
  const recent = tails.make(yield* EventsInMemory)

  /**
   * First what memory holds is brought up to date, then those who wait are told,
   * followers once a batch: they run at once, and read.
   */
  const onApplied = (
    batch: ReadonlyArray<ReadonlyArray<Write>>,
    outcomes: ReadonlyArray<ReadonlyArray<Outcome>>
  ): void => {
    const streams = new Set<string>()
    forEachFresh(batch, outcomes, (write, outcome) => remember(streams, write, outcome))
    for (const stream of streams) {
      topics.notify("Stream", stream)
    }
    forEachFresh(batch, outcomes, tell)
  }

  const remember = (streams: Set<string>, write: Write, outcome: Outcome): void => {
    switch (write._tag) {
      case "OpenStream": {
        return recent.open(write.stream)
      }
      case "Append": {
        if (outcome._tag === "Appended") {
          recent.append(write.stream, { seq: outcome.seq, key: write.key, data: write.data }, write.last === true)
          streams.add(write.stream)
        }
        return
      }
      case "Trim": {
        return recent.drop(write.stream)
      }
      case "Forget": {
        return recent.drop(write.id)
      }
      case "ForgetSession": {
        return recent.drop()
      }
    }
  }

  const tell = (write: Write, outcome: Outcome): void => {
    switch (write._tag) {
      case "OpenSession":
      case "SetSession":
      case "EndSession": {
        return topics.notify("Session", write.id)
      }
      case "StartExecution": {
        return driving.started(write.id)
      }
      case "Signal":
      case "RequestCancel": {
        topics.notify("Execution", write.id)
        return driving.news(write.id)
      }
      case "Resume": {
        topics.notify("Execution", write.id)
        return driving.resumed(write.id)
      }
      case "RecordStep": {
        return driving.progress(write.id)
      }
      case "ArmTimer": {
        return driving.armed(write.at)
      }
      case "Park": {
        return outcome._tag === "Parked" && !outcome.parked ? driving.refused(write.id) : undefined
      }
      case "Complete": {
        topics.notify("Execution", write.id)
        return wakeParent(write.id)
      }
    }
  }

  /** The parent has got the signal `child/<id>`. */
  const wakeParent = (id: string): void => {
    const parent = Result.getOrUndefined(attempt(() => backend.standing(id)))?.parent
    if (parent !== undefined) {
      topics.notify("Execution", parent)
      driving.news(parent)
    }
  }

  const queue = yield* commitQueue.make({
    maxPayloadBytes: options?.maxPayloadBytes ?? defaultMaxPayloadBytes,
    gather: options?.gather,
    commit: options?.commit ?? ((batch, now, done) => done(attempt(() => backend.apply(batch, now)))),
    onApplied
  })

  /** What a commit under way has applied is read, but said only when it is durable. Nothing may be said at once. */
  const read = <A>(f: () => A): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => {
      const closed = queue.closed()
      if (closed !== undefined) {
        return Effect.fail(closed)
      }
      const result = attempt(f)
      return queue.isSettled() || (Result.isSuccess(result) && result.success === undefined)
        ? Effect.fromResult(result)
        : Effect.andThen(queue.settled, settledRead(result))
    })

  const settledRead = <A>(result: Result.Result<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => {
      const closed = queue.closed()
      return closed === undefined ? Effect.fromResult(result) : Effect.fail(closed)
    })

  const readOption = <A>(f: () => A | undefined): Effect.Effect<Option.Option<A>, StoreError> =>
    Effect.map(read(f), Option.fromUndefinedOr)

  const pages = <A>(f: (after: number) => Page<A>): Stream.Stream<A, StoreError> =>
    Stream.paginate(
      0,
      (after) => Effect.map(read(() => f(after)), ({ items, next }) => [items, Option.fromUndefinedOr(next)] as const)
    )

  const driving = driver.make({
    runnable: (after, limit) => read(() => backend.runnable(after, limit)),
    nextTimer: read(backend.nextTimer),
    dueTimers: (now, limit) => read(() => backend.dueTimers(now, limit)),
    standing: (id) => attempt(() => backend.standing(id)),
    commit: queue.commit
  })

  return {
    commit: queue.commit,
    submit: queue.submit,
    key: (name) => Effect.map(readOption(() => backend.key(name)), Option.map((value) => Redacted.make(value))),
    session: (id) => readOption(() => backend.session(id)),
    sessions: (query) => pages((after) => backend.sessions(query, after, pageSize)),
    execution: (id) => readOption(() => backend.execution(id)),
    stream: (by) => readOption(() => backend.stream(by)),
    streams: (query) => pages((after) => backend.streams(query, after, pageSize)),
    events: (stream, afterSeq, limit) =>
      Effect.suspend(() => {
        // memory has only what is durable
        const page = queue.closed() === undefined ? recent.page(stream, afterSeq, limit) : undefined
        return page === undefined ? read(() => backend.events(stream, afterSeq, limit)) : Effect.succeed(page)
      }),
    list: (query) => pages((after) => backend.list(query, after, pageSize)),
    watch: topics.watch,
    drive: driving.drive
  }
})
