/**
 * The transport between a protocol and a log that a test writes by hand.
 */
import { Effect, Latch, Layer, type Scope } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { Wire } from "../../src/engine/Wire.ts"
import type { Follow, Reply } from "../../src/protocol/Reply.ts"
import { type Incoming, SessionEra } from "../../src/protocol/SessionEra.ts"
import * as EventLog from "../../src/session/EventLog.ts"
import { type EventRecord, Store } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import * as Http from "../../src/transport/Http.ts"
import * as Shutdown from "../../src/transport/Shutdown.ts"

/** One stream, and how many read it. */
export interface Log {
  readonly append: (event: { readonly key?: string; readonly data?: string; readonly last?: boolean }) => void
  readonly followers: () => number
  readonly layer: Layer.Layer<EventLog.EventLog | Store | Wire>
}

export interface LogOptions {
  readonly createdAt?: number
  /** Events in one page. Default: all there are. */
  readonly pageSize?: number
  readonly onPoll?: () => void
}

export const makeLog = (options?: LogOptions): Log => {
  const events: Array<EventRecord> = []
  const changed = new Set<Latch.Latch>()
  let closed = false
  const page = (afterSeq: number, limit = Infinity) => {
    const rest = events.slice(afterSeq)
    return { events: rest.slice(0, limit), closed: closed && rest.length <= limit }
  }
  return {
    append: ({ key, data, last }) => {
      events.push({ seq: events.length + 1, key: key ?? `key-${events.length}`, data })
      closed = last ?? false
      for (const latch of changed) latch.openUnsafe()
    },
    followers: () => changed.size,
    layer: Layer.mergeAll(
      Layer.succeed(EventLog.EventLog)({
        isFollowed: () => changed.size > 0,
        follow: ({ afterSeq }) =>
          Effect.sync(() => {
            const latch = Latch.makeUnsafe(false)
            changed.add(latch)
            const poll = Effect.sync(() => {
              latch.closeUnsafe()
              options?.onPoll?.()
              const read = page(afterSeq, options?.pageSize)
              afterSeq = read.events.at(-1)?.seq ?? afterSeq
              return read
            })
            const next: EventLog.Follower["next"] = Effect.flatMap(
              poll,
              (read) => read.closed || read.events.length > 0 ? Effect.succeed(read) : Effect.andThen(latch.await, next)
            )
            return {
              poll,
              next,
              wait: latch.await,
              wake: () => latch.openUnsafe(),
              close: () => changed.delete(latch)
            }
          })
      }),
      Layer.mock(Store)({
        watch: () => ({ next: Effect.never, wake: () => {}, close: () => {} }),
        events: (_, afterSeq, limit) => Effect.sync(() => ({ ...page(afterSeq, limit), trimmed: false })),
        stream: () =>
          Effect.succeedSome({
            stream: "stream",
            token: "7",
            session: undefined,
            principal: "anonymous",
            requestDigest: "",
            version: "2025-11-25",
            execution: undefined,
            createdAt: options?.createdAt ?? 0,
            lastSeq: events.length,
            closed,
            forgotten: false
          })
      }),
      Layer.mock(Wire)({
        notification: (_, notification) =>
          Effect.succeed(
            notification._tag === "Progress"
              ? JSON.stringify({
                method: "notifications/progress",
                params: { progressToken: notification.token, progress: notification.progress }
              })
              : undefined
          )
      })
    )
  }
}

/** A call with a progress token, followed from its start. */
export const follow: Follow = {
  _tag: "Follow",
  stream: "stream",
  token: "7",
  afterSeq: 0,
  priming: true,
  version: "2025-11-25"
}

export interface Protocol {
  readonly post?: (incoming: Incoming, body: unknown) => Effect.Effect<Reply, StoreError>
  readonly get?: (incoming: Incoming) => Effect.Effect<Reply, StoreError>
  readonly delete?: (incoming: Incoming) => Effect.Effect<Reply, StoreError>
}

/** Sends requests to the endpoint `/mcp` of a router. */
export const makeApp = (protocol: Protocol, options?: {
  readonly log?: Log
  readonly http?: Partial<Http.Options>
}): Effect.Effect<
  {
    readonly send: (request: Request) => Effect.Effect<HttpServerResponse.HttpServerResponse>
    readonly shutdown: Effect.Effect<void>
  },
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown.make
    const app = yield* HttpRouter.toHttpEffect(
      Http.layer({ path: "/mcp", ...options?.http }).pipe(Layer.provide([
        Layer.mock(SessionEra)(protocol),
        Layer.succeed(Shutdown.Shutdown)(shutdown),
        (options?.log ?? makeLog()).layer
      ]))
    )
    return {
      send: (request) =>
        app.pipe(
          Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request)),
          Effect.scoped,
          Effect.orDie
        ),
      shutdown: shutdown.begin
    }
  })

export const post = (body: BodyInit, headers?: Record<string, string>): Request =>
  new Request("http://localhost/mcp", {
    method: "POST",
    headers: { "content-type": "application/json", "accept": "application/json, text/event-stream", ...headers },
    body
  })

export const get = (headers?: Record<string, string>): Request =>
  new Request("http://localhost/mcp", { headers: { accept: "text/event-stream", ...headers } })
