/**
 * The store of the contract over a Reboot application.
 *
 * Each write goes to the state that it concerns, in the lane of that state
 * (`lanes.ts`); what this process knows of states is in the mirror; what must run
 * is said by Reboot's tasks (`tasks.ts`) and run by the driver that all backends
 * share.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Crypto from "node:crypto"
import * as driver from "../../store/internal/driver.ts"
import * as tails from "../../store/internal/tails.ts"
import * as watches from "../../store/internal/watches.ts"
import type { Outcome, Store, Topic, Watch, Write } from "../../store/Store.ts"
import { StoreError } from "../../store/StoreError.ts"
import { EventsInMemory } from "../../store/StoreLimits.ts"
import { PollInterval, StatesInMemory } from "../RebootLimits.ts"
import type { Application, States, StateType } from "./Application.ts"
import * as callRead from "./callRead.ts"
import * as calls from "./calls.ts"
import type { CallWrite } from "./callState.ts"
import * as directory from "./directory.ts"
import * as forgetSession from "./forgetSession.ts"
import * as format from "./format.ts"
import * as lanes from "./lanes.ts"
import * as listings from "./listings.ts"
import * as mirror from "./mirror.ts"
import * as routes from "./routes.ts"
import * as sessionState from "./sessionState.ts"
import type { SessionWrite } from "./sessionState.ts"
import * as stateId from "./stateId.ts"
import * as streamToken from "./streamToken.ts"
import * as tasks from "./tasks.ts"
import * as values from "./values.ts"
import * as wheels from "./wheels.ts"

/** @internal */
export interface Options {
  /**
   * Names this opening of the store: what another one made run was cut off when
   * this one finds it running. Default: a new name. Hosts give the one that their
   * servicers put into the writes of others (`CallRequest.boot`).
   */
  readonly boot?: string | undefined
  /** Largest value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
}

/** Writes of lanes that Reboot has at a time; it makes them one after the other anyway. */
const concurrency = 64

/** Watches that are woken in one poll, those first that have waited longest: each may cost a read. */
const wokenPerPoll = 128

/** @internal */
export const make = Effect.fnUntraced(function*(
  application: Application,
  options: Options = {}
): Effect.fn.Return<Store["Service"], StoreError, Scope.Scope> {
  const boot = options.boot ?? Crypto.randomUUID()
  const isFront = application.role === "front"
  if (!isFront) {
    yield* format.check(application)
  }
  const clock = yield* Clock.Clock
  const permits = Semaphore.makeUnsafe(concurrency)
  const fork = yield* FiberSet.makeRuntime<never, void, never>()
  const limited: Application = {
    ...application,
    write: (type, id, request) => permits.withPermit(application.write(type, id, request))
  }
  const known = mirror.make(application, yield* StatesInMemory)
  const topics = watches.make()
  const recent = tails.make(isFront ? 0 : yield* EventsInMemory)
  const texts = values.make(application, known)
  const entries = yield* directory.make(application)
  const timers = yield* wheels.make(application, { armed: (at) => driving.armed(at) })
  const taskScope = yield* Scope.make()

  // ---------------------------------------------------------------------------
  // writes
  // ---------------------------------------------------------------------------

  const call: calls.Calls = yield* calls.make({
    application: limited,
    boot,
    mirror: known,
    values: texts,
    topics,
    recent,
    directory: entries,
    wheels: timers,
    tasks: () => running,
    driving: () => driving,
    lanes: () => queue,
    fork: (effect) => {
      fork(effect)
    }
  })

  const writeSession = Effect.fnUntraced(
    function*(id: string, writes: ReadonlyArray<SessionWrite>, uncertain: boolean) {
      const key = stateId.make(id)
      const now = clock.currentTimeMillisUnsafe()
      const { response, state } = yield* limited.write("Session", key, { writes, now }).pipe(
        Effect.onError(() => Effect.sync(() => known.changed("Session", key)))
      )
      known.written("Session", key, state)
      let isFresh = uncertain
      writes.forEach((write, i) => {
        const outcome = response.outcomes[i]!
        if ("fresh" in outcome && outcome.fresh) {
          isFresh = true
          if (write._tag === "OpenSession") {
            entries.enter({ _tag: "Session", id, createdAt: now })
          } else if (write._tag === "SetSession") {
            entries.enter({ _tag: "Written", id, at: now })
          }
        }
      })
      if (isFresh) {
        topics.notify("Session", key)
      }
      return response.outcomes
    }
  )

  const writeKey = Effect.fnUntraced(function*(id: string, value: string) {
    const key = stateId.make(id)
    const { response, state } = yield* limited.write("Chunk", key, { value })
    known.written("Chunk", key, state)
    const outcome: Outcome = { _tag: "Stands", fresh: response.fresh, value: response.value ?? value }
    return outcome
  })

  const write = Effect.fnUntraced(function*(
    type: StateType,
    id: string,
    groups: ReadonlyArray<ReadonlyArray<routes.LaneWrite>>,
    uncertain: boolean
  ): Effect.fn.Return<ReadonlyArray<lanes.Written>, StoreError> {
    const [first] = groups[0]!
    if (type === "Call") {
      return yield* call.write(id, groups as ReadonlyArray<ReadonlyArray<CallWrite>>, uncertain)
    }
    if (first!._tag === "ForgetSession") {
      return [{ outcomes: [yield* forget(id)] }]
    }
    if (first!._tag === "PutKey") {
      return [{ outcomes: [yield* writeKey(id, first.value)] }]
    }
    const outcomes = yield* writeSession(id, groups.flat() as ReadonlyArray<SessionWrite>, uncertain)
    let at = 0
    return groups.map((group) => ({ outcomes: outcomes.slice(at, at += group.length) }))
  })

  const forget = forgetSession.make({
    directory: entries,
    wheels: timers,
    read: known.read,
    eraseCall: (id, erase) => queue.first({ type: "Call", id, writes: [erase], size: 0 }),
    eraseSession: (id) => writeSession(id, [{ _tag: "Erase" }], false)
  })

  const queue: lanes.Lanes<routes.LaneWrite> = yield* lanes.make<routes.LaneWrite>({ write })

  const queued = <A>(
    writes: ReadonlyArray<Write>,
    enqueue: (groups: ReadonlyArray<lanes.Group<routes.LaneWrite>>) => Effect.Effect<A, StoreError>
  ): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => {
      const groups = routes.groupsOf(writes, options.maxPayloadBytes)
      return StoreError.is(groups) ? Effect.fail(groups) : enqueue(groups)
    })

  const commit: Store["Service"]["commit"] = (writes) => queued(writes, queue.commit)

  // ---------------------------------------------------------------------------
  // reads
  // ---------------------------------------------------------------------------

  /** An application that was opened by another process says so, to whoever asks. */
  const read = <T extends StateType>(type: T, key: string): Effect.Effect<States[T]["state"], StoreError> =>
    Effect.suspend(() => {
      const closed = queue.closed()
      return closed === undefined ? known.read(type, key) : Effect.fail(closed)
    })

  const listed = listings.make({ directory: entries, read })

  const chunksOf = (names: ReadonlyArray<string>): Effect.Effect<callRead.ChunkText, StoreError> =>
    Effect.map(
      Effect.forEach(names, (name) => Effect.map(texts.entries(name), (text) => [name, text] as const)),
      (found) => {
        const byName = new Map(found)
        return (name) => byName.get(name)!
      }
    )

  const withExit = <A extends { readonly exit: callRead.ExecutionParts["payload"] }>(part: A) =>
    Effect.map(texts.get(part.exit), (exit) => ({ ...part, exit }))

  const execution = Effect.fnUntraced(function*(id: string) {
    const state = yield* read("Call", stateId.make(id))
    const parts = callRead.execution(state, yield* chunksOf(callRead.executionChunks(state)))
    return parts === undefined ? Option.none() : Option.some({
      ...parts,
      payload: yield* texts.get(parts.payload),
      steps: yield* Effect.forEach(parts.steps, withExit),
      signals: yield* Effect.forEach(parts.signals, withExit),
      result: parts.result === undefined ? undefined : yield* texts.get(parts.result)
    })
  })

  const stream = Effect.fnUntraced(function*(by: { readonly id: string } | { readonly token: string }) {
    const id = "id" in by ? by.id : streamToken.parse(by.token)?.id
    const record = id === undefined ? undefined : callRead.stream(yield* read("Call", stateId.make(id)))
    return Option.fromUndefinedOr("token" in by && record?.token !== by.token ? undefined : record)
  })

  const events: Store["Service"]["events"] = Effect.fnUntraced(function*(id, afterSeq, limit) {
    const key = stateId.make(id)
    const page = queue.closed() === undefined ? recent.page(key, afterSeq, limit) : undefined
    if (page !== undefined) {
      return page
    }
    const state = yield* read("Call", key)
    const parts = callRead.events(
      state,
      afterSeq,
      limit,
      yield* chunksOf(callRead.eventChunks(state, afterSeq, limit))
    )
    return {
      ...parts,
      events: yield* Effect.forEach(parts.events, (event) =>
        typeof event.data === "object"
          ? Effect.map(texts.get(event.data), (data) => ({ ...event, data }))
          : Effect.succeed({ ...event, data: event.data }))
    }
  })

  // ---------------------------------------------------------------------------
  // tasks and the driver
  // ---------------------------------------------------------------------------

  /**
   * The state as the write left it that scheduled the task, which may not be known
   * here yet: its answer is under way, or it was another process that made it.
   */
  const anew = <T extends "Call" | "Session">(
    type: T,
    key: string,
    quiet?: Effect.Effect<void>
  ): Effect.Effect<States[T]["state"], StoreError> =>
    Effect.suspend(() => {
      if (application.role === "owner" && quiet !== undefined) {
        return Effect.andThen(quiet, known.read(type, key))
      }
      known.changed(type, key)
      return known.read(type, key)
    })

  const running: tasks.Tasks = isFront ? tasks.none : yield* tasks.make({
    application,
    read: (key) =>
      Effect.map(anew("Call", key, call.quiet(key)), (state) => {
        // what the process before may have held back: listings are to know of it while it runs
        for (const entry of callRead.directoryEntries(state)) {
          entries.enter(entry)
        }
        const id = callRead.idOf(state)
        return id === undefined ? undefined : { id, standing: call.standing(state) }
      }),
    started: (id) => driving.started(id),
    resume: (id) => commit([{ _tag: "Resume", id }]),
    takeOver: call.takeOver,
    settled: entries.settled,
    settle: entries.flush,
    session: Effect.fnUntraced(function*(key) {
      const record = sessionState.record(yield* anew("Session", key))
      if (record !== undefined) {
        entries.enter({ _tag: "Session", id: record.id, createdAt: record.createdAt })
      }
      return record?.id
    }),
    wheel: timers.task
  })

  const driving = driver.make({
    // Reboot's tasks say what must run
    runnable: () => {
      const closed = queue.closed()
      return closed === undefined ? Effect.succeed({ items: [], next: undefined }) : Effect.fail(closed)
    },
    nextTimer: timers.nextTimer,
    dueTimers: Effect.fnUntraced(function*(now, limit) {
      const due = yield* timers.due(now, limit)
      return yield* Effect.forEach(
        due,
        ({ exit, id, name }) => Effect.map(texts.get(exit), (exit) => ({ id, name, exit }))
      )
    }),
    standing: (id) => Result.succeed(running.standing(id)),
    // executions that have nothing to do with each other: hundreds of timers that fire do not wait in a row
    commit: (writes) =>
      Effect.map(
        Effect.forEach(writes, (write) => commit([write]), { concurrency: "unbounded" }),
        (outcomes) => outcomes.flat()
      )
  })

  const drive: Store["Service"]["drive"] = Effect.fnUntraced(function*(run) {
    if (isFront) {
      return { adopt: () => false, release: () => Effect.void, stop: Effect.void }
    }
    const driver = yield* driving.drive(run)
    running.driven()
    // where states are shared, Reboot says which process runs what
    return application.role === "owner" ? driver : { ...driver, adopt: () => false }
  })

  // ---------------------------------------------------------------------------
  // changes by other processes
  // ---------------------------------------------------------------------------

  const observe = (key: string): Effect.Effect<void> =>
    Effect.ignore(Effect.map(known.read("Call", key), (state) => {
      const id = callRead.idOf(state)
      if (id !== undefined) {
        running.observe(id, call.standing(state))
        driving.news(id)
      }
    }))

  const changed = (type: StateType, key: string): void => {
    known.changed(type, key)
    switch (type) {
      case "Call": {
        recent.drop(key)
        topics.notify("Stream", key)
        topics.notify("Execution", key)
        if (running.holds(key)) {
          fork(observe(key))
        }
        return
      }
      case "Session": {
        return topics.notify("Session", key)
      }
      case "Timers": {
        return timers.changed(key)
      }
    }
  }

  // in the order of their last wake-up
  const open = new Set<Watch>()

  const watch = (topic: Topic): Watch => {
    const watch = topics.watch(
      topic._tag === "Stream"
        ? { _tag: "Stream", stream: stateId.make(topic.stream) }
        : { _tag: topic._tag, id: stateId.make(topic.id) }
    )
    if (application.role === "owner") {
      return watch
    }
    open.add(watch)
    return {
      ...watch,
      close: () => {
        open.delete(watch)
        watch.close()
      }
    }
  }

  const poll = Effect.sync(() => {
    for (const watch of Array.from(open).slice(0, wokenPerPoll)) {
      open.delete(watch)
      open.add(watch)
      watch.wake()
    }
  })

  application.onFlush?.(entries.flush)
  if (application.role !== "owner") {
    yield* application.watch(changed)
    yield* Effect.forkScoped(Effect.forever(Effect.delay(poll, yield* PollInterval)))
  }
  yield* Scope.provide(running.serve, taskScope)
  // What is queued is still written and entered; then who waits for that ends, and the rest is left to the next process.
  yield* Effect.addFinalizer((exit) =>
    queue.close.pipe(
      Effect.andThen(Effect.suspend(() => queue.isFenced() ? Effect.void : running.close)),
      Effect.andThen(Scope.close(taskScope, exit))
    )
  )

  return {
    role: application.role,
    commit,
    submit: (writes) => queued(writes, queue.submit),
    key: (name) =>
      Effect.map(
        read("Chunk", stateId.make(routes.keyId(name))),
        ({ value, version }) => version === 0 ? Option.none() : Option.some(Redacted.make(value))
      ),
    session: (id) =>
      Effect.map(read("Session", stateId.make(id)), (state) => Option.fromUndefinedOr(sessionState.record(state))),
    sessions: listed.sessions,
    execution,
    stream,
    streams: listed.streams,
    events,
    list: listed.list,
    watch,
    drive
  }
})
