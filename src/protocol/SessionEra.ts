/**
 * The protocol versions with sessions: 2025-03-26, 2025-06-18, 2025-11-25.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { CallRejected, Calls } from "../engine/Calls.ts"
import type { Dispatch, RequestProfile } from "../engine/Dispatch.ts"
import * as ToolCall from "../engine/ToolCall.ts"
import { EventLog } from "../session/EventLog.ts"
import type { Ids } from "../session/Ids.ts"
import * as JsonRpc from "../session/JsonRpc.ts"
import * as Limits from "../session/Limits.ts"
import { Outbox, outboxDigest, standaloneDigest } from "../session/Outbox.ts"
import { type Session, Sessions } from "../session/Sessions.ts"
import { Store, type StreamRecord } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Announcer from "./internal/announcer.ts"
import * as Batches from "./internal/batches.ts"
import * as Messages from "./internal/messages.ts"
import { areKept } from "./internal/promises.ts"
import * as Refusals from "./internal/refusals.ts"
import * as Retention from "./internal/retention.ts"
import * as Serve from "./internal/serve.ts"
import type { Follow, Reply } from "./Reply.ts"
import { Stock } from "./stock.ts"

/**
 * An admitted HTTP request (or its like): transports check origin, media types,
 * size and syntax before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Incoming {
  readonly principal: string
  /** All headers, lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * @category services
 * @since 0.1.0
 */
export class SessionEra extends Context.Service<SessionEra, {
  /** `body` is parsed JSON of any shape. */
  readonly post: (incoming: Incoming, body: unknown) => Effect.Effect<Reply, StoreError>
  readonly get: (incoming: Incoming) => Effect.Effect<Reply, StoreError>
  readonly delete: (incoming: Incoming) => Effect.Effect<Reply, StoreError>
}>()("effect-durable-mcp/protocol/SessionEra") {}

/**
 * Request headers that are stored with a call, lower case. Middleware sees these
 * and no others, so that it decides the same in every run: also in the one that
 * follows a restart. Default `accept-language`, `traceparent`, `tracestate` and
 * `user-agent`; never add one that carries a credential.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StoredHeaders: Context.Reference<ReadonlyArray<string>> = Context.Reference<ReadonlyArray<string>>(
  "effect-durable-mcp/protocol/StoredHeaders",
  { defaultValue: () => ["accept-language", "traceparent", "tracestate", "user-agent"] }
)

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<
  SessionEra,
  never,
  Store | Ids | Sessions | Outbox | EventLog | Stock | Dispatch | Calls
> = Layer.effect(SessionEra)(Effect.gen(function*() {
  const store = yield* Store
  const sessions = yield* Sessions
  const outbox = yield* Outbox
  const eventLog = yield* EventLog
  const stock = yield* Stock
  const storedHeaders = yield* StoredHeaders
  const batchLimit = yield* Limits.BatchSize
  const initializeSize = yield* Limits.InitializeSize
  const serve = yield* Serve.make
  const announcer = yield* Announcer.make
  const retention = yield* Retention.make

  const supports = (headers: Incoming["headers"]): boolean => {
    const version = headers["mcp-protocol-version"]
    return version === undefined || stock.versions.includes(version)
  }

  const end = Effect.fnUntraced(function*(session: string) {
    // First of all: what comes now is answered 404, whatever becomes of the rest (S-S5).
    yield* sessions.end(session)
    yield* outbox.end(session)
    yield* retention.cancelCalls(session)
  }, Effect.uninterruptible) // a client that does not wait for the answer has left all the same

  /** Checked once for each time a session comes into memory. */
  const kept = new WeakSet<Session>()

  const find = Effect.fnUntraced(function*(id: string, principal: string) {
    const session = yield* sessions.find(id, principal)
    if (session === undefined || kept.has(session)) return session
    if (yield* areKept(stock, session)) {
      kept.add(session)
      return session
    }
    yield* end(id)
    return undefined
  })

  /** The session of a request that must have one, or why it cannot be served. */
  const admit = Effect.fnUntraced(function*(incoming: Incoming, id?: JsonRpc.Id) {
    if (!supports(incoming.headers)) return Refusals.unsupportedVersion(stock.versions, id)
    const header = incoming.headers["mcp-session-id"]
    if (header === undefined) return Refusals.sessionRequired(id)
    return (yield* find(header, incoming.principal)) ?? Refusals.sessionNotFound(id)
  })

  /** One profile for all requests of a session that say the same of themselves. */
  const profiles = new WeakMap<Session, RequestProfile>()

  const profileOf = (session: Session, incoming: Incoming): RequestProfile => {
    const headers: Record<string, string> = {}
    for (const name of storedHeaders) {
      const value = incoming.headers[name]
      if (value !== undefined) headers[name] = value
    }
    const last = profiles.get(session)
    if (last !== undefined && storedHeaders.every((name) => last.headers[name] === headers[name])) return last
    const { clientCapabilities, clientInfo, initializeMeta } = session.negotiated
    const profile: RequestProfile = {
      session: session.id,
      principal: session.principal,
      clientCapabilities,
      clientInfo,
      initializeMeta,
      headers
    }
    profiles.set(session, profile)
    return profile
  }

  const initialize = Effect.fnUntraced(function*(
    incoming: Incoming,
    { id, params }: Extract<Messages.Message, { readonly _tag: "Request" }>
  ): Effect.fn.Return<Reply, StoreError> {
    const header = incoming.headers["mcp-session-id"]
    if (header !== undefined) {
      const session = yield* find(header, incoming.principal)
      return session === undefined ? Refusals.sessionNotFound(id) : Refusals.alreadyInitialized(id)
    }
    if (JSON.stringify(params).length > initializeSize) {
      return json(id, {
        error: {
          code: JsonRpc.ErrorCode.InvalidParams,
          message: `The params of initialize are longer than ${initializeSize}`
        }
      })
    }
    const version = stock.negotiate(params.protocolVersion)
    const answer = yield* stock.at(version).initialize(params)
    if ("error" in answer) return json(id, answer)
    const opened = yield* Effect.result(sessions.open({
      principal: incoming.principal,
      negotiated: {
        version,
        clientCapabilities: objectOf(params.capabilities) ?? {},
        clientInfo: objectOf(params.clientInfo),
        initializeMeta: objectOf(params._meta),
        serverCapabilities: objectOf(objectOf(answer.result)?.capabilities) ?? {},
        lists: yield* announcer.digests
      }
    }))
    if (opened._tag === "Success") {
      kept.add(opened.success)
      return json(id, answer, { "mcp-session-id": opened.success.id })
    }
    return opened.failure._tag === "TooManySessions"
      ? Refusals.tooMany(`Too many open sessions; the limit is ${opened.failure.limit}`, id)
      : yield* opened.failure
  })

  const post = Effect.fnUntraced(function*(incoming: Incoming, body: unknown): Effect.fn.Return<Reply, StoreError> {
    if (Array.isArray(body)) return yield* postBatch(incoming, body)
    const message = Messages.read(body)
    if (message._tag === "Malformed") return Refusals.malformed(message.error, message.id)
    if (message._tag === "Request" && message.method === "initialize") return yield* initialize(incoming, message)
    const session = yield* admit(incoming, message._tag === "Request" ? message.id : undefined)
    if ("_tag" in session) return session
    switch (message._tag) {
      case "Notification":
        yield* serve.notification(session, message)
        return acknowledged
      case "Response":
        return (yield* serve.response(session, message)) ? acknowledged : Refusals.unknownResponse
      case "Request": {
        const served = yield* serve.request({ session, profile: profileOf(session, incoming), message, canAsk: true })
        switch (served._tag) {
          case "Answered":
            return json(message.id, served.answer)
          case "Rejected":
            return refusalOf(served.rejection, message.id)
          case "Ended":
            return Refusals.sessionNotFound(message.id)
          case "Accepted":
            return follow(session, {
              ...served.accepted,
              afterSeq: 0,
              progressToken: progressTokenOf(message.params),
              priming: hasPolling(session)
            })
        }
      }
    }
  })

  const postBatch = Effect.fnUntraced(function*(incoming: Incoming, body: ReadonlyArray<unknown>) {
    const batch = Batches.read(body, batchLimit)
    if ("refusal" in batch) return Refusals.invalidBatch(batch.refusal)
    const session = yield* admit(incoming)
    if ("_tag" in session) return session
    if (!hasBatches(session)) return Refusals.invalidBatch(`MCP ${session.negotiated.version} has no batches`)
    return yield* Batches.serve({ batch, session, profile: profileOf(session, incoming), serve, eventLog })
  })

  const resume = Effect.fnUntraced(function*(session: Session, lastEventId: string) {
    const [, token, digits] = /^([A-Za-z0-9_-]{1,64}):(0|[1-9][0-9]{0,14})$/.exec(lastEventId) ?? []
    if (token === undefined || digits === undefined) return Refusals.unknownEvent
    const found = yield* store.stream({ token })
    const afterSeq = Number(digits)
    if (Option.isNone(found) || !isReadable(found.value, session) || afterSeq > found.value.lastSeq) {
      return Refusals.unknownEvent
    }
    const record = found.value
    const page = yield* store.events(record.stream, afterSeq, 1)
    if (page.trimmed) return Refusals.unknownEvent
    if (page.closed && page.events.every(({ data }) => data === undefined)) return nothingMore
    const isStandalone = record.requestDigest === standaloneDigest
    // It may come from a process of an older deploy.
    if (isStandalone) yield* announcer.announce(session)
    return follow(session, {
      stream: record.stream,
      token,
      afterSeq,
      session: isStandalone ? session.id : undefined,
      progressToken: page.closed ? undefined : yield* storedProgressToken(record),
      // The client has this id, but clients forget it with the connection it came by: the official SDK, cut off again
      // before the next event, would come back without one.
      priming: hasPolling(session)
    })
  })

  /** The progress token of a call whose POST is gone. */
  const storedProgressToken = Effect.fnUntraced(function*(record: StreamRecord) {
    if (record.execution === undefined) return undefined
    const execution = yield* store.execution(record.execution)
    // of one that is complete the store may have dropped what was asked
    return Option.isNone(execution) || execution.value.result !== undefined
      ? undefined
      : progressTokenOf(ToolCall.decodePayload(execution.value.payload).request.params)
  })

  return SessionEra.of({
    post,

    get: Effect.fnUntraced(function*(incoming) {
      const session = yield* admit(incoming)
      if ("_tag" in session) return session
      const lastEventId = incoming.headers["last-event-id"]
      if (lastEventId !== undefined) return yield* resume(session, lastEventId)
      const opened = yield* outbox.open(session)
      yield* announcer.announce(session)
      return follow(session, { ...opened, afterSeq: 0, session: session.id, priming: hasPolling(session) })
    }),

    delete: Effect.fnUntraced(function*(incoming) {
      const session = yield* admit(incoming)
      if ("_tag" in session) return session
      yield* end(session.id)
      return { _tag: "Empty", status: 204 }
    })
  })
}))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const acknowledged: Reply = { _tag: "Acknowledged" }

/**
 * What is not to be resumed again: the status by which event streams say so. At
 * an empty stream the official clients would ask for more for ever, where they
 * take only a result for the end of a call.
 */
const nothingMore: Reply = { _tag: "Empty", status: 204 }

const json = (id: JsonRpc.Id, answer: JsonRpc.Answer, headers?: Readonly<Record<string, string>>): Reply => ({
  _tag: "Json",
  status: 200, // also for an error: the request was served (S-P11)
  body: JsonRpc.encodeResponse(id, answer),
  headers
})

const follow = (session: Session, position: Omit<Follow, "_tag" | "version">): Follow => ({
  _tag: "Follow",
  stream: position.stream,
  token: position.token,
  afterSeq: position.afterSeq,
  session: position.session,
  priming: position.priming,
  progressToken: position.progressToken,
  version: session.negotiated.version
})

const refusalOf = (rejection: CallRejected, id: JsonRpc.Id): Reply => {
  switch (rejection.reason) {
    case "Conflict":
    case "Forgotten":
      return Refusals.invalidRequest(rejection.message, id)
    case "Busy":
      return Refusals.tooMany(rejection.message, id)
    case "Stopping":
      return Refusals.stopping(id)
  }
}

/** Clients before 2025-11-25 choke on the empty data of a priming event (S-R3). */
const hasPolling = (session: Session): boolean => session.negotiated.version >= "2025-11-25"

const hasBatches = (session: Session): boolean => session.negotiated.version === "2025-03-26"

/** S-R7: a stream of this session that clients may see. */
const isReadable = (record: StreamRecord, session: Session): boolean =>
  record.session === session.id && record.principal === session.principal && !record.forgotten &&
  record.requestDigest !== outboxDigest

const objectOf = (u: unknown): JsonRpc.Params | undefined =>
  typeof u === "object" && u !== null && !Array.isArray(u) ? u as JsonRpc.Params : undefined

const progressTokenOf = (params: unknown): string | number | undefined => {
  const token = objectOf(objectOf(params)?._meta)?.progressToken
  return typeof token === "string" || typeof token === "number" ? token : undefined
}
