/**
 * The queue in front of each state: first in, first out, and what waits goes
 * into one write.
 *
 * A list of writes is cut into groups, one for each state that it comes to; a
 * group is written when the group before it is. All groups of a list take their
 * places at once, so lists that share states keep one order, and none waits for
 * one that waits for it.
 *
 * What the contract says of submits holds for each state by itself: a submit
 * whose write failed stays at the head of its lane, so a commit succeeds only when
 * all that was submitted before it to the same states is stored.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import { delayMillis } from "../../store/internal/backoff.ts"
import type { Outcome } from "../../store/Store.ts"
import { StoreError } from "../../store/StoreError.ts"
import { Backoff, SubmitBacklog } from "../../store/StoreLimits.ts"
import { SubmitDelay } from "../RebootLimits.ts"
import type { StateType } from "./Application.ts"

/** Most writes and UTF-16 units in one Reboot write, which holds up Reboot's one thread. */
const maxWrites = 512
const maxSize = 512 * 1024

/** @internal */
export interface Group<W> {
  readonly type: StateType
  readonly id: string
  readonly writes: ReadonlyArray<W>
  /** In UTF-16 units. */
  readonly size: number
  /** Does not share a write with other groups. */
  readonly alone?: boolean | undefined
}

/**
 * What became of a group that is durable. `after` is done before its list goes
 * on, and gives the outcomes as they are told.
 *
 * @internal
 */
export interface Written {
  readonly outcomes: ReadonlyArray<Outcome>
  readonly after?: Effect.Effect<ReadonlyArray<Outcome>, StoreError> | undefined
}

/** @internal */
export interface Options<W> {
  /**
   * One write of a state, for the groups in order. `uncertain`: the write before
   * it failed, so nobody knows what of it stands.
   */
  readonly write: (
    type: StateType,
    id: string,
    groups: ReadonlyArray<ReadonlyArray<W>>,
    uncertain: boolean
  ) => Effect.Effect<ReadonlyArray<Written>, StoreError>
}

/** @internal */
export interface Lanes<W> {
  readonly commit: (groups: ReadonlyArray<Group<W>>) => Effect.Effect<ReadonlyArray<Outcome>, StoreError>
  readonly submit: (groups: ReadonlyArray<Group<W>>) => Effect.Effect<void, StoreError>
  /** A commit before everything that waits in its lane: for what follows from a write that is durable. */
  readonly first: (group: Group<W>) => Effect.Effect<ReadonlyArray<Outcome>, StoreError>
  /** Why this store takes nothing any more. */
  readonly closed: () => StoreError | undefined
  /** Whether the store is another's: nothing of this one is written any more. */
  readonly isFenced: () => boolean
  /** What is queued is still written; what comes now finds the door shut. */
  readonly close: Effect.Effect<void>
}

interface List<W> {
  readonly places: Array<Place<W>>
  readonly outcomes: Array<ReadonlyArray<Outcome>>
  readonly writes: number
  readonly size: number
  /** Absent for a submit. */
  readonly resume: ((effect: Effect.Effect<ReadonlyArray<Outcome>, StoreError>) => void) | undefined
}

/** A group of a list, in its lane. */
interface Place<W> {
  readonly list: List<W>
  readonly group: Group<W>
  readonly lane: Lane<W>
  /** The groups before it are written. */
  ready: boolean
}

interface Lane<W> {
  readonly key: string
  readonly type: StateType
  readonly id: string
  queue: Array<Place<W>>
  underWay: boolean
  /** Is flushed at the end of this turn of the event loop. */
  soon: boolean
  /** The wait of what was only submitted, or after a failure. */
  wait: { readonly fiber: Fiber.Fiber<void>; readonly failed: boolean } | undefined
  /** Writes in a row that failed. */
  failures: number
}

const count = <W>(groups: ReadonlyArray<Group<W>>): number => groups.reduce((sum, { writes }) => sum + writes.length, 0)

const sizeOf = <W>(groups: ReadonlyArray<Group<W>>): number => groups.reduce((sum, { size }) => sum + size, 0)

const storeError = (cause: Cause.Cause<StoreError>): StoreError => {
  const error = Cause.squash(cause)
  return StoreError.is(error)
    ? error
    : new StoreError({ reason: "Io", message: "A write of the store ended with a defect", cause: error })
}

/** @internal */
export const make = Effect.fnUntraced(function*<W>(options: Options<W>): Effect.fn.Return<Lanes<W>> {
  const backlog = yield* SubmitBacklog
  const backoff = yield* Backoff
  const submitDelayMillis = Duration.toMillis(Duration.fromInputUnsafe(yield* SubmitDelay))
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const dispatcher = (yield* Scheduler.Scheduler).makeDispatcher()

  const lanes = new Map<string, Lane<W>>()
  const lists = new Set<List<W>>()
  let pendingWrites = 0
  let pendingSize = 0
  /** Waits of what follows a submit and failed. */
  const retries = new Set<Fiber.Fiber<void>>()
  /** Submits that wait for the backlog to shrink. */
  const waiting = new Set<(effect: Effect.Effect<void, StoreError>) => void>()
  /** Why the last write failed. */
  let failure: StoreError | undefined
  /** Set when the store closes, or is found to be another's. */
  let closed: StoreError | undefined
  let fenced = false
  let onIdle: (() => void) | undefined

  const overBacklog = (writes = 0, size = 0): boolean =>
    pendingWrites + writes > backlog.writes || pendingSize + size > backlog.size

  const laneOf = ({ id, type }: Group<W>): Lane<W> => {
    const key = `${type}/${id}`
    let lane = lanes.get(key)
    if (lane === undefined) {
      lane = { key, type, id, queue: [], underWay: false, soon: false, wait: undefined, failures: 0 }
      lanes.set(key, lane)
    }
    return lane
  }

  const enqueue = (groups: ReadonlyArray<Group<W>>, resume: List<W>["resume"], first = false): List<W> => {
    const list: List<W> = { places: [], outcomes: [], writes: count(groups), size: sizeOf(groups), resume }
    for (const group of groups) {
      const place: Place<W> = { list, group, lane: laneOf(group), ready: list.places.length === 0 }
      list.places.push(place)
      if (first) {
        place.lane.queue.unshift(place)
      } else {
        place.lane.queue.push(place)
      }
    }
    lists.add(list)
    pendingWrites += list.writes
    pendingSize += list.size
    return list
  }

  const schedule = (lane: Lane<W>): void => {
    if (!lane.soon && !lane.underWay) {
      lane.soon = true
      dispatcher.scheduleTask(() => {
        lane.soon = false
        flush(lane)
      }, 0)
    }
  }

  const scheduleLater = (lane: Lane<W>, millis: number, failed: boolean): void => {
    if (lane.soon || lane.underWay || lane.wait !== undefined) {
      return
    }
    const fiber = runFork(Effect.sleep(millis))
    const wait = { fiber, failed }
    lane.wait = wait
    fiber.addObserver(() => {
      if (lane.wait === wait) {
        lane.wait = undefined
        flush(lane)
      }
    })
  }

  const stopWaiting = (lane: Lane<W>): void => {
    const wait = lane.wait
    lane.wait = undefined
    wait?.fiber.interruptUnsafe()
  }

  /** The groups at the head of the lane that can be written now, together. */
  const takeBatch = (lane: Lane<W>): ReadonlyArray<Place<W>> => {
    let writes = 0
    let size = 0
    let end = 0
    for (const { group, ready } of lane.queue) {
      writes += group.writes.length
      size += group.size
      if (!ready || (end > 0 && (group.alone === true || writes > maxWrites || size > maxSize))) {
        break
      }
      end++
      if (group.alone === true) {
        break
      }
    }
    return lane.queue.splice(0, end)
  }

  const flush = (lane: Lane<W>): void => {
    if (lane.underWay) {
      return
    }
    stopWaiting(lane)
    const batch = takeBatch(lane)
    if (batch.length === 0) {
      return rest(lane)
    }
    lane.underWay = true
    const fiber = runFork(
      Effect.suspend(() => options.write(lane.type, lane.id, batch.map(({ group }) => group.writes), lane.failures > 0))
    )
    fiber.addObserver((exit) => {
      lane.underWay = false
      if (Exit.isSuccess(exit)) {
        succeeded(lane, batch, exit.value)
      } else {
        failed(lane, batch, storeError(exit.cause))
      }
    })
  }

  /** Nothing can be written now. */
  const rest = (lane: Lane<W>): void => {
    // one whose last write failed is remembered until it is known what stands
    if (lane.queue.length === 0 && lane.failures === 0) {
      lanes.delete(lane.key)
    }
  }

  const succeeded = (lane: Lane<W>, batch: ReadonlyArray<Place<W>>, written: ReadonlyArray<Written>): void => {
    failure = undefined
    lane.failures = 0
    batch.forEach((place, i) => {
      const { after, outcomes } = written[i]!
      if (after === undefined) {
        done(place, outcomes)
      } else {
        finish(place, after, 1)
      }
    })
    if (lane.queue.some(({ list }) => list.resume !== undefined) || onIdle !== undefined || overBacklog()) {
      schedule(lane)
    } else if (lane.queue.length > 0) {
      scheduleLater(lane, submitDelayMillis, false)
    } else {
      rest(lane)
    }
  }

  const finish = (
    place: Place<W>,
    after: Effect.Effect<ReadonlyArray<Outcome>, StoreError>,
    attempt: number
  ): void => {
    runFork(after).addObserver((exit) => {
      if (Exit.isSuccess(exit)) {
        return done(place, exit.value)
      }
      const error = storeError(exit.cause)
      if (error.reason === "Fenced") {
        return fence(error)
      }
      if (place.list.resume !== undefined || onIdle !== undefined) {
        return fail(place.list, error)
      }
      const retry = runFork(Effect.sleep(delayMillis(backoff, attempt)))
      retries.add(retry)
      retry.addObserver(() => {
        retries.delete(retry)
        if (lists.has(place.list)) {
          finish(place, after, attempt + 1)
        }
      })
    })
  }

  const done = (place: Place<W>, outcomes: ReadonlyArray<Outcome>): void => {
    const { list } = place
    if (!lists.has(list)) {
      return
    }
    list.outcomes.push(outcomes)
    const next = list.places[list.outcomes.length]
    if (next !== undefined) {
      next.ready = true
      return schedule(next.lane)
    }
    leave(list)
    list.resume?.(Effect.succeed(list.outcomes.flat()))
    if (!overBacklog()) {
      release(Effect.void)
    }
  }

  const leave = (list: List<W>): void => {
    lists.delete(list)
    pendingWrites -= list.writes
    pendingSize -= list.size
    if (lists.size === 0) {
      onIdle?.()
    }
  }

  /** The list ends: what of it is not under way is written no more. */
  const fail = (list: List<W>, error: StoreError): void => {
    if (!lists.has(list)) {
      return
    }
    for (const place of list.places) {
      const { lane } = place
      const at = lane.queue.indexOf(place)
      if (at >= 0) {
        lane.queue.splice(at, 1)
        // what it was in front of may go on
        schedule(lane)
      }
    }
    leave(list)
    list.resume?.(Effect.fail(error))
  }

  /** Commits fail, those behind too, since none may overtake another; what was submitted stays. */
  const failed = (lane: Lane<W>, batch: ReadonlyArray<Place<W>>, error: StoreError): void => {
    if (error.reason === "Fenced") {
      return fence(error)
    }
    failure = error
    lane.failures++
    const queued = batch.concat(lane.queue)
    lane.queue = []
    const keeps = (place: Place<W>): boolean => place.list.resume === undefined && onIdle === undefined
    lane.queue = queued.filter((place) => lists.has(place.list) && keeps(place))
    if (lane.queue.length > 0) {
      scheduleLater(lane, delayMillis(backoff, lane.failures), true)
    }
    for (const place of queued) {
      if (!keeps(place)) {
        fail(place.list, error)
      }
    }
    release(Effect.fail(error))
  }

  const fence = (error: StoreError): void => {
    closed = error
    fenced = true
    for (const lane of lanes.values()) {
      stopWaiting(lane)
      lane.queue = []
    }
    for (const list of Array.from(lists)) {
      fail(list, error)
    }
    release(Effect.fail(error))
  }

  const release = (effect: Effect.Effect<void, StoreError>): void => {
    const resumes = Array.from(waiting)
    waiting.clear()
    for (const resume of resumes) {
      resume(effect)
    }
  }

  const commit = (groups: ReadonlyArray<Group<W>>, first: boolean): Effect.Effect<ReadonlyArray<Outcome>, StoreError> =>
    Effect.callback((resume) => {
      if (closed !== undefined && (fenced || !first)) {
        return resume(Effect.fail(closed))
      }
      for (const { lane } of enqueue(groups, resume, first).places) {
        schedule(lane)
      }
    })

  return {
    commit: (groups) => commit(groups, false),
    first: (group) => commit([group], true),
    submit: (groups) =>
      Effect.callback((resume) => {
        if (closed !== undefined) {
          return resume(Effect.fail(closed))
        }
        // nobody waits for a disk that is not there
        if (failure !== undefined && overBacklog(count(groups), sizeOf(groups))) {
          return resume(Effect.fail(failure))
        }
        const { lane } = enqueue(groups, undefined).places[0]!
        if (!overBacklog()) {
          scheduleLater(lane, submitDelayMillis, false)
          return resume(Effect.void)
        }
        // after a failure the retry is what comes next, or a commit
        if (lane.wait?.failed !== true) {
          schedule(lane)
        }
        waiting.add(resume)
        return Effect.sync(() => waiting.delete(resume))
      }),
    closed: () => closed,
    isFenced: () => fenced,
    close: Effect.callback((resume) => {
      closed ??= new StoreError({ reason: "Fenced", message: "This store is closed" })
      onIdle = () => resume(Effect.void)
      for (const lane of Array.from(lanes.values())) {
        flush(lane)
      }
      // once more: what fails now is left to the next process
      for (const retry of Array.from(retries)) {
        retry.interruptUnsafe()
      }
      if (lists.size === 0) {
        resume(Effect.void)
      }
    })
  }
})
