/**
 * Sessions (S-S1 to S-S9): minted, restored from the store on first use, 404
 * for ever once ended.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { type SessionRecord, Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Fact from "./Facts.ts"
import { Ids } from "./Ids.ts"
import * as Limits from "./Limits.ts"

/**
 * The principal of a server without authentication.
 *
 * @category constants
 * @since 0.1.0
 */
export const anonymous = "anonymous"

/**
 * What `initialize` settled; it holds for the session's life (S-L4).
 *
 * @category models
 * @since 0.1.0
 */
export interface Negotiated {
  /** Protocol version. */
  readonly version: string
  /** MCP `ClientCapabilities` as declared. */
  readonly clientCapabilities: Readonly<Record<string, Schema.Json>>
  /** MCP `Implementation` of the client. */
  readonly clientInfo?: Readonly<Record<string, Schema.Json>> | undefined
  /** The `_meta` of the `initialize` request. */
  readonly initializeMeta?: Readonly<Record<string, Schema.Json>> | undefined
  /** MCP `ServerCapabilities` as shown to this client. */
  readonly serverCapabilities: Readonly<Record<string, Schema.Json>>
  /** Digest by list name of what the server had to offer. */
  readonly lists: Readonly<Record<string, string>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Session {
  readonly id: string
  readonly principal: string
  readonly negotiated: Negotiated
}

/**
 * The principal has too many open sessions; see `Limits.OpenSessions`.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManySessions
  extends Schema.TaggedError<TooManySessions>("effect-durable-mcp/session/TooManySessions")("TooManySessions", {
    limit: Schema.Number
  })
{}

/**
 * @category services
 * @since 0.1.0
 */
export class Sessions extends Context.Service<Sessions, {
  /** Durable when it returns: only then may the id leave (S-S1). */
  readonly open: (options: {
    readonly principal: string
    readonly negotiated: Negotiated
  }) => Effect.Effect<Session, TooManySessions | StoreError>
  /**
   * The session under an id that came from outside. `undefined` for an unknown
   * or ended one and for another principal's, which nobody can tell apart
   * (S-S5, S-S6, S-S9). Counts as a use.
   */
  readonly find: (id: string, principal: string) => Effect.Effect<Session | undefined, StoreError>
  /** An open session of any principal, for the server's own use: not a use by the client. */
  readonly get: (id: string) => Effect.Effect<Session | undefined, StoreError>
  /** A fact as it stands, JSON text; see `Facts`. `undefined` also for an ended session. Costs no read while the session is in use. */
  readonly fact: (id: string, name: string) => Effect.Effect<string | undefined, StoreError>
  /**
   * Replaces a fact by what `f` makes of it, one update of a session at a time.
   * Durable when it returns. `undefined` leaves it. False when the session has
   * ended.
   */
  readonly update: (
    id: string,
    name: string,
    f: (value: string | undefined) => string | undefined
  ) => Effect.Effect<boolean, StoreError>
  /** Waits until the client has sent `notifications/initialized` (S-L5); never returns when the session ends before. */
  readonly initialized: (id: string) => Effect.Effect<void, StoreError>
  /** Says that the session is in use; written at most once in a quarter of `Limits.IdleTimeout`. */
  readonly touch: (id: string) => Effect.Effect<void, StoreError>
  /** Open sessions whose `Facts.subscriptions` hold the URI. */
  readonly subscribers: (uri: string) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** For ever. False when it had ended before. */
  readonly end: (id: string) => Effect.Effect<boolean, StoreError>
}>()("effect-durable-mcp/session/Sessions") {}

/** A session in memory, while it is in use. There may be thousands: it is kept small. */
interface Entry {
  readonly session: Session
  facts: Readonly<Record<string, string | undefined>>
  /** Last use, and last use that the store knows of; ms since the epoch. */
  usedAt: number
  touchedAt: number
  /** Made by the first update, gone with the last. */
  lock: Semaphore.Semaphore | undefined
  updates: number
}

/** What is counted over all open sessions, in memory or not. */
interface Census {
  readonly openByPrincipal: Map<string, number>
  readonly subscribersByUri: Map<string, Set<string>>
}

const Record = Schema.Record(Schema.String, Schema.Json)
const Stored = Schema.fromJsonString(Schema.Struct({
  version: Schema.String,
  clientCapabilities: Record,
  clientInfo: Schema.optionalKey(Record),
  initializeMeta: Schema.optionalKey(Record),
  serverCapabilities: Record,
  lists: Schema.Record(Schema.String, Schema.String)
}))
const decodeStored = Schema.decodeSync(Stored)
const decodeUris = Schema.decodeSync(Schema.fromJsonString(Schema.Array(Schema.String)))

/** What is remembered of them; a client can make up as many as it likes, of any size. */
const maxNegotiations = 256
const maxNegotiationSize = 4_096

/**
 * How old the census of a shared store may be, in milliseconds: where it only
 * limits, and where somebody waits to be told.
 */
const openSessionsAge = 5 * 60_000
const subscribersAge = 1_000

/** S-S2; anything else cannot be an id of ours. */
const isVisibleAscii = (id: string): boolean => /^[\x21-\x7e]{1,128}$/.test(id)

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Sessions["Service"], never, Store | Ids | Scope.Scope> = Effect.gen(function*() {
  const store = yield* Store
  const ids = yield* Ids
  const openLimit = yield* Limits.OpenSessions
  const idleTimeout = Duration.toMillis(yield* Limits.IdleTimeout)
  const cacheTimeout = Duration.toMillis(yield* Limits.CacheTimeout)
  const touchInterval = idleTimeout / 4

  /** Other processes write too: then a session is asked for each time, of a store that knows what has changed. */
  const isShared = (store.role ?? "owner") !== "owner"

  const entries = new Map<string, Entry>()
  // Grows with each end: a load that began before it must not put what it read into memory.
  let ends = 0
  let census: Census | undefined
  let countedAt = 0
  const censusLock = Semaphore.makeUnsafe(1)

  // The sessions of one client program negotiate the same, and share it.
  const negotiations = new Map<string, Negotiated>()

  const negotiatedOf = (data: string): Negotiated => {
    let negotiated = negotiations.get(data)
    if (negotiated === undefined) {
      negotiated = decodeStored(data)
      if (data.length > maxNegotiationSize) return negotiated
      if (negotiations.size >= maxNegotiations) negotiations.clear()
      negotiations.set(data, negotiated)
    }
    return negotiated
  }

  const remember = (
    record: Pick<SessionRecord, "id" | "principal" | "data" | "createdAt" | "facts">,
    usedAt: number
  ): Entry => {
    const { [Fact.touched]: touched, ...facts } = Object.fromEntries(record.facts)
    const entry: Entry = {
      session: { id: record.id, principal: record.principal, negotiated: negotiatedOf(record.data) },
      facts,
      usedAt,
      touchedAt: Math.max(record.createdAt, Number(touched ?? 0)),
      lock: undefined,
      updates: 0
    }
    entries.set(record.id, entry)
    return entry
  }

  const load: (id: string) => Effect.Effect<Entry | undefined, StoreError> = Effect.fnUntraced(function*(id) {
    while (true) {
      const before = ends
      const record = yield* store.session(id)
      const present = entries.get(id)
      if (present !== undefined) return present
      if (Option.isNone(record) || record.value.ended) return undefined
      if (before === ends) return remember(record.value, yield* Clock.currentTimeMillis)
    }
  })

  const entryOf = (id: string): Effect.Effect<Entry | undefined, StoreError> => {
    const entry = entries.get(id)
    return entry === undefined ? load(id) : isShared ? refresh(entry) : Effect.succeed(entry)
  }

  const refresh = (entry: Entry): Effect.Effect<Entry | undefined, StoreError> =>
    Effect.map(store.session(entry.session.id), (record) => {
      if (Option.isNone(record) || record.value.ended) {
        ends++
        entries.delete(entry.session.id)
        return undefined
      }
      const { [Fact.touched]: touched, ...facts } = Object.fromEntries(record.value.facts)
      entry.facts = facts
      entry.touchedAt = Math.max(entry.touchedAt, Number(touched ?? 0))
      return entry
    })

  const use = (entry: Entry): Effect.Effect<void, StoreError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      entry.usedAt = now
      // A clock that was set back must not keep a session that is used from being seen as used.
      if (Math.abs(now - entry.touchedAt) < touchInterval) return Effect.void
      entry.touchedAt = now
      return store.submit([{
        _tag: "SetSession",
        id: entry.session.id,
        name: Fact.touched,
        writeKey: String(now),
        value: String(now)
      }])
    })

  const count = (census: Census, principal: string, difference: 1 | -1): void => {
    const open = (census.openByPrincipal.get(principal) ?? 0) + difference
    if (open === 0) census.openByPrincipal.delete(principal)
    else census.openByPrincipal.set(principal, open)
  }

  const subscribe = (census: Census, id: string, before: string | undefined, after: string | undefined): void => {
    for (const uri of before === undefined ? [] : decodeUris(before)) {
      const subscribers = census.subscribersByUri.get(uri)
      subscribers?.delete(id)
      if (subscribers?.size === 0) census.subscribersByUri.delete(uri)
    }
    for (const uri of after === undefined ? [] : decodeUris(after)) {
      const subscribers = census.subscribersByUri.get(uri)
      if (subscribers === undefined) census.subscribersByUri.set(uri, new Set([id]))
      else subscribers.add(id)
    }
  }

  // Read at first need, not at start; `open` and `end` wait for it, so that it misses none. What other processes open
  // and end is missed: a shared store is read again when the census is older than `maxAge` milliseconds.
  const counted = (maxAge: number): Effect.Effect<Census, StoreError> =>
    censusLock.withPermit(Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (census !== undefined && !(isShared && now - countedAt > maxAge)) return Effect.succeed(census)
      const fresh: Census = { openByPrincipal: new Map(), subscribersByUri: new Map() }
      return store.sessions({ ended: false }).pipe(
        Stream.runForEach((record) =>
          Effect.sync(() => {
            count(fresh, record.principal, 1)
            subscribe(fresh, record.id, undefined, record.facts.get(Fact.subscriptions))
          })
        ),
        Effect.map(() => {
          countedAt = now
          return census = fresh
        })
      )
    }))

  const locked = <A, E>(entry: Entry, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      entry.updates++
      entry.lock ??= Semaphore.makeUnsafe(1)
      return entry.lock.withPermit(effect)
    }).pipe(Effect.ensuring(Effect.sync(() => {
      if (--entry.updates === 0) entry.lock = undefined
    })))

  yield* Clock.currentTimeMillis.pipe(
    Effect.map((now) => {
      for (const [id, entry] of entries) {
        if (entry.updates === 0 && now - entry.usedAt >= cacheTimeout) entries.delete(id)
      }
    }),
    Effect.delay(cacheTimeout),
    Effect.forever,
    Effect.forkScoped
  )

  return Sessions.of({
    open: Effect.fnUntraced(function*({ negotiated, principal }) {
      const census = yield* counted(openSessionsAge)
      if ((census.openByPrincipal.get(principal) ?? 0) >= openLimit) {
        return yield* new TooManySessions({ limit: openLimit })
      }
      const id = ids.secret()
      count(census, principal, 1)
      const data = JSON.stringify(negotiated)
      yield* store.commit([{ _tag: "OpenSession", id, principal, data }]).pipe(
        Effect.onError(() => Effect.sync(() => count(census, principal, -1)))
      )
      const now = yield* Clock.currentTimeMillis
      return remember({ id, principal, data, createdAt: now, facts: new Map() }, now).session
    }, Effect.uninterruptible),

    find: Effect.fnUntraced(function*(id, principal) {
      const entry = isVisibleAscii(id) ? yield* entryOf(id) : undefined
      if (entry === undefined || entry.session.principal !== principal) return undefined
      yield* use(entry)
      return entry.session
    }),

    get: (id) => Effect.map(entryOf(id), (entry) => entry?.session),

    fact: (id, name) => Effect.map(entryOf(id), (entry) => entry?.facts[name]),

    update: Effect.fnUntraced(function*(id, name, f) {
      if (name === Fact.subscriptions) yield* counted(Infinity)
      const entry = yield* entryOf(id)
      if (entry === undefined) return false
      return yield* locked(
        entry,
        Effect.suspend(() => {
          const before = entry.facts[name]
          const value = f(before)
          if (value === undefined || value === before) return Effect.succeed(entries.get(id) === entry)
          return store.commit([{
            _tag: "SetSession",
            id,
            name,
            // The value is the key: a retry that finds it standing changes nothing.
            writeKey: ids.derive("fact", name, value),
            value
          }]).pipe(Effect.map(([outcome]) => {
            if (outcome?._tag !== "Made") {
              entries.delete(id)
              return false
            }
            entry.facts = { ...entry.facts, [name]: value }
            if (census !== undefined && name === Fact.subscriptions) subscribe(census, id, before, value)
            return true
          }))
        })
      )
    }, Effect.uninterruptible), // else the disk could be ahead of memory

    initialized: (id) =>
      Effect.suspend(() => {
        const watch = store.watch({ _tag: "Session", id })
        // Reads the store: memory is set a moment after the wake-up.
        const wait: Effect.Effect<void, StoreError> = Effect.flatMap(
          store.session(id),
          Option.match({
            onNone: () => Effect.never,
            onSome: (record) =>
              record.ended
                ? Effect.never
                : record.facts.has(Fact.initialized)
                ? Effect.void
                : Effect.flatMap(watch.next, () => wait)
          })
        )
        return entries.get(id)?.facts[Fact.initialized] !== undefined
          ? Effect.sync(watch.close)
          : Effect.ensuring(wait, Effect.sync(watch.close))
      }),

    touch: (id) => Effect.flatMap(entryOf(id), (entry) => entry === undefined ? Effect.void : use(entry)),

    subscribers: (uri) =>
      Effect.map(counted(subscribersAge), (census) => Array.from(census.subscribersByUri.get(uri) ?? [])),

    end: Effect.fnUntraced(function*(id) {
      const census = yield* counted(Infinity)
      const entry = yield* entryOf(id)
      if (entry === undefined) return false
      const [outcome] = yield* locked(entry, store.commit([{ _tag: "EndSession", id }]))
      ends++
      entries.delete(id)
      const fresh = outcome?._tag === "Made" && outcome.fresh
      if (fresh) {
        count(census, entry.session.principal, -1)
        subscribe(census, id, entry.facts[Fact.subscriptions], undefined)
      }
      return fresh
    }, Effect.uninterruptible)
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Sessions, never, Store | Ids> = Layer.effect(Sessions)(make)
