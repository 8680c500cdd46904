/**
 * Everything that can be read of a store, and of the model beside it.
 */
import { assert } from "@effect/vitest"
import { Effect, Option, Redacted, Stream } from "effect"
import { inspect, isDeepStrictEqual } from "node:util"
import type { Backend, Page } from "../../src/store/internal/Backend.ts"
import type {
  EventPage,
  ExecutionRecord,
  ExecutionSummary,
  SessionRecord,
  Store,
  StreamRecord
} from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { type Command, executionIds, keyNames, sessionIds } from "./arbitraries.ts"
import * as Model from "./model.ts"

/** A store that is open. */
export interface Opening {
  readonly store: Store["Service"]
  /** Where there is one, what it says to the driver is compared too. */
  readonly backend: Backend | undefined
}

export interface Options {
  /** Whether others see all of a commit or nothing. Default true. */
  readonly atomic?: boolean | undefined
  /** Whether `Complete` drops what only a run needs: payload, steps, signals. Default false. */
  readonly drops?: boolean | undefined
}

/** All items of a listing, two at a time. */
const throughPages = <A>(read: (after: number, limit: number) => Page<A>): ReadonlyArray<A> => {
  const items: Array<A> = []
  let after: number | undefined = 0
  while (after !== undefined) {
    const page: Page<A> = read(after, 2)
    assert.isAtMost(page.items.length, 2)
    items.push(...page.items)
    after = page.next
  }
  return items
}

/** Whole pages, short ones, from the middle, from beyond the end. */
const eventReads = [[0, 100], [0, 1], [1, 2], [3, 100], [100, 1]] as const

/** All that can be read, of everything that a program can have made. */
export interface Reads {
  readonly keys: ReadonlyArray<string | undefined>
  readonly sessions: ReadonlyArray<SessionRecord>
  readonly session: ReadonlyArray<SessionRecord | undefined>
  readonly streams: ReadonlyArray<Omit<StreamRecord, "token">>
  readonly stream: ReadonlyArray<Omit<StreamRecord, "token"> | undefined>
  readonly events: ReadonlyArray<ReadonlyArray<EventPage>>
  readonly executions: ReadonlyArray<ExecutionSummary>
  readonly execution: ReadonlyArray<ExecutionRecord | undefined>
  /** What a backend says to the driver. */
  readonly driver: unknown
}

export const withoutToken = ({ token: _, ...record }: StreamRecord): Omit<StreamRecord, "token"> => record

/** Each is found by its token. */
export const readByToken = (
  store: Store["Service"],
  streams: ReadonlyArray<StreamRecord>
): Effect.Effect<void, StoreError> =>
  Effect.forEach(streams, (record) =>
    Effect.map(
      store.stream({ token: record.token }),
      (found) => assert.deepStrictEqual(Option.getOrThrow(found), record)
    ), { discard: true })

export const readAll = Effect.fnUntraced(function*(
  { backend, store }: Opening,
  now: number
): Effect.fn.Return<Reads, StoreError> {
  const streams = yield* Stream.runCollect(store.streams({}))
  if (backend !== undefined) {
    yield* readByToken(store, streams)
  }
  return {
    keys: yield* Effect.forEach(
      keyNames,
      (name) => Effect.map(store.key(name), (key) => Option.getOrUndefined(Option.map(key, Redacted.value)))
    ),
    sessions: yield* Stream.runCollect(store.sessions({})),
    session: yield* Effect.forEach(sessionIds, (id) => Effect.map(store.session(id), Option.getOrUndefined)),
    streams: streams.map(withoutToken),
    stream: yield* Effect.forEach(
      executionIds,
      (id) => Effect.map(store.stream({ id }), (stream) => Option.getOrUndefined(Option.map(stream, withoutToken)))
    ),
    events: yield* Effect.forEach(
      executionIds,
      (id) => Effect.forEach(eventReads, ([after, limit]) => store.events(id, after, limit))
    ),
    executions: yield* Stream.runCollect(store.list({})),
    execution: yield* Effect.forEach(executionIds, (id) => Effect.map(store.execution(id), Option.getOrUndefined)),
    driver: backend === undefined ? undefined : {
      standing: executionIds.map(backend.standing),
      runnable: throughPages(backend.runnable),
      nextTimer: backend.nextTimer(),
      dueTimers: backend.dueTimers(now, 100).map(({ exit, id, name }) => JSON.stringify({ id, name, exit })).sort(),
      firstTimer: backend.dueTimers(Infinity, 1).length
    }
  }
})

const withoutRun = (record: ExecutionRecord): ExecutionRecord =>
  record.result === undefined ? record : { ...record, payload: "", steps: [], signals: [] }

export const modelReadAll = (
  model: Model.Model,
  now: number,
  { backend }: Opening,
  options: Options
): Reads => {
  const timers = Model.armedTimers(model)
  return {
    keys: keyNames.map((name) => Model.key(model, name)),
    sessions: Model.sessions(model, {}),
    session: sessionIds.map((id) => Model.session(model, id)),
    streams: Model.streams(model, {}),
    stream: executionIds.map((id) => Model.stream(model, id)),
    events: executionIds.map((id) => eventReads.map(([after, limit]) => Model.events(model, id, after, limit))),
    executions: Model.list(model, {}),
    execution: executionIds.map((id) => {
      const record = Model.execution(model, id)
      return record !== undefined && options.drops === true ? withoutRun(record) : record
    }),
    driver: backend === undefined ? undefined : {
      standing: executionIds.map((id) => {
        const record = Model.execution(model, id)
        return record && { parent: record.parent, state: Model.stateOf(model, id) }
      }),
      runnable: Model.runnable(model),
      nextTimer: timers.length === 0 ? undefined : Math.min(...timers.map(({ at }) => at)),
      dueTimers: timers.filter(({ at }) => at <= now).map(({ exit, id, name }) => JSON.stringify({ id, name, exit }))
        .sort(),
      firstTimer: Math.min(1, timers.length)
    }
  }
}

/** Of things that were created at the same time only an atomic store says which was the first. */
export const ordered = <A extends Pick<Reads, "sessions" | "streams" | "executions">>(
  reads: A,
  options: Options
): A => {
  if (options.atomic !== false) {
    return reads
  }
  const sort = <A extends { readonly createdAt: number }>(list: ReadonlyArray<A>, id: keyof A): ReadonlyArray<A> =>
    list.toSorted((a, b) => a.createdAt - b.createdAt || (String(a[id]) < String(b[id]) ? -1 : 1))
  return {
    ...reads,
    sessions: sort(reads.sessions, "id"),
    streams: sort(reads.streams, "stream"),
    executions: sort(reads.executions, "id")
  }
}

/** Each thing that was read, by itself, is what it is in one of the states. */
export const checkBetween = (reads: Reads, states: ReadonlyArray<Reads>): void => {
  const check = (what: string, actual: unknown, of: (state: Reads) => unknown) => {
    const possible = states.map(of)
    if (!possible.some((expected) => isDeepStrictEqual(actual, expected))) {
      assert.fail(`${what} is ${show(actual)}, and never was in ${show(possible)}`)
    }
  }
  for (const name of ["keys", "session", "stream", "execution"] as const) {
    reads[name].forEach((actual, i) => check(name, actual, (state) => state[name][i]))
  }
  reads.events.forEach((pages, i) => {
    pages.forEach((page, j) => check("events", page, (state) => state.events[i]![j]))
  })
  checkListedBetween("sessions", reads.sessions, states.map(({ sessions }) => sessions), ({ id }) => id)
  checkListedBetween("streams", reads.streams, states.map(({ streams }) => streams), ({ stream }) => stream)
  checkListedBetween("executions", reads.executions, states.map(({ executions }) => executions), ({ id }) => id)
}

const checkListedBetween = <A>(
  what: string,
  actual: ReadonlyArray<A>,
  states: ReadonlyArray<ReadonlyArray<A>>,
  idOf: (a: A) => string
): void => {
  const ids = new Set([...actual, ...states.flat()].map(idOf))
  for (const id of ids) {
    const find = (list: ReadonlyArray<A>) => list.find((item) => idOf(item) === id)
    const possible = states.map(find)
    if (!possible.some((expected) => isDeepStrictEqual(find(actual), expected))) {
      assert.fail(`${id} in ${what} is ${show(find(actual))}, and never was in ${show(possible)}`)
    }
  }
}

const show = (value: unknown): string => inspect(value, { depth: 6 })

/** Like `assert.deepStrictEqual`, but says which read it was, and shows all of it. */
export const checkSame = <A extends object>(actual: A, expected: A): void => {
  for (const name of Object.keys(expected) as Array<keyof A & string>) {
    if (!isDeepStrictEqual(actual[name], expected[name])) {
      assert.fail(`${name} is ${show(actual[name])}, and the model says ${show(expected[name])}`)
    }
  }
}

export const checkQuery = Effect.fnUntraced(function*(
  { backend, store }: Opening,
  model: Model.Model,
  { query }: Extract<Command, { readonly _tag: "Query" }>,
  options: Options
) {
  const executions = { ...query, completedBefore: query.before }
  const sessions = { ...query, writtenBefore: query.before }
  const streams = { ...query, closedBefore: query.before }
  const expected = {
    executions: Model.list(model, executions),
    sessions: Model.sessions(model, sessions),
    streams: Model.streams(model, streams)
  }
  const actual = backend === undefined ?
    {
      executions: yield* Stream.runCollect(store.list(executions)),
      sessions: yield* Stream.runCollect(store.sessions(sessions)),
      streams: (yield* Stream.runCollect(store.streams(streams))).map(withoutToken)
    } :
    {
      executions: throughPages((after, limit) => backend.list(executions, after, limit)),
      sessions: throughPages((after, limit) => backend.sessions(sessions, after, limit)),
      streams: throughPages((after, limit) => backend.streams(streams, after, limit)).map(withoutToken)
    }
  checkSame(ordered(actual, options), ordered(expected, options))
})
