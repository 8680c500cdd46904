/** The session era over a memory disk, with real registrations and calls that only the test ends. */
import { Context, Effect, Exit, Fiber, Layer, Schema, type Scope } from "effect"
import { McpServer, Tool, Toolkit } from "effect/ai"
import { CallRejected, Calls } from "../../src/engine/Calls.ts"
import { Dispatch } from "../../src/engine/Dispatch.ts"
import * as ToolCall from "../../src/engine/ToolCall.ts"
import type { Follow, Reply } from "../../src/protocol/Reply.ts"
import * as SessionEra from "../../src/protocol/SessionEra.ts"
import * as Stock from "../../src/protocol/stock.ts"
import * as StockDispatch from "../../src/protocol/StockDispatch.ts"
import { EventLog } from "../../src/session/EventLog.ts"
import * as JsonRpc from "../../src/session/JsonRpc.ts"
import { anonymous } from "../../src/session/Sessions.ts"
import type * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, type Write } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { process as sessionLayer, type Services } from "../session/harness.ts"

/** What the test does to calls, and what became of them. */
export class World extends Context.Service<World, {
  /** Runs in the tool `wait`. */
  wait: Effect.Effect<void>
  /** Calls of handlers, by tool. */
  readonly ran: Array<string>
  readonly requests: Array<Parameters<Calls["Service"]["start"]>[0]>
  readonly cancelled: Array<{ readonly id: string; readonly reason: string | undefined }>
  readonly answered: Array<Parameters<Calls["Service"]["answer"]>[0]>
  readonly completed: Array<string>
  /** Runs when a call was accepted. */
  onAccepted: Effect.Effect<void, StoreError>
  /** Runs before the page of a question is known to be done. */
  onCompleted: Effect.Effect<void, StoreError>
  reject: CallRejected["reason"] | undefined
}>()("test/protocol/World") {}

const world = Layer.sync(World, (): World["Service"] => ({
  wait: Effect.never,
  ran: [],
  requests: [],
  cancelled: [],
  answered: [],
  completed: [],
  onAccepted: Effect.void,
  onCompleted: Effect.void,
  reject: undefined
}))

/** The contract of `Calls` in its simplest form: nothing is durable but the stream and that there is an execution. */
const calls = Layer.effect(Calls)(Effect.gen(function*() {
  const store = yield* Store
  const { dispatch } = yield* Dispatch
  const world = yield* World
  const scope = yield* Effect.scope
  const running = new Map<string, { readonly session: string | undefined; readonly fiber: Fiber.Fiber<void> }>()
  return Calls.of({
    start: Effect.fnUntraced(function*(call) {
      world.requests.push(call)
      if (world.reject !== undefined) {
        return yield* new CallRejected({ reason: world.reject, message: `rejected: ${world.reject}` })
      }
      const { profile, version } = call.request
      const [opened] = yield* store.commit([
        {
          _tag: "OpenStream",
          stream: call.id,
          session: profile.session,
          principal: profile.principal,
          requestDigest: call.digest,
          version,
          execution: call.id
        },
        {
          _tag: "StartExecution",
          id: call.id,
          workflow: ToolCall.workflow._tag,
          payload: ToolCall.encodePayload({ startedAt: 0, request: call.request })
        }
      ])
      if (opened?._tag !== "Opened") return yield* Effect.die("no stream")
      if (opened.requestDigest !== call.digest) {
        return yield* new CallRejected({ reason: "Conflict", message: "The id was used for another request" })
      }
      if (opened.forgotten) return yield* new CallRejected({ reason: "Forgotten", message: "The result has expired" })
      const accepted = { stream: call.id, token: opened.token, joined: !opened.fresh }
      if (!opened.fresh) return accepted
      const run = Effect.gen(function*() {
        const exit = yield* Effect.exit(dispatch(call.request))
        const end: Write = {
          _tag: "Append",
          stream: call.id,
          key: "end",
          last: true,
          data: Exit.isSuccess(exit) ? JsonRpc.encodeResponse(call.request.requestId, exit.value) : undefined
        }
        yield* store.commit([end, { _tag: "Complete", id: call.id, result: "null" }])
      }).pipe(Effect.orDie, Effect.ensuring(Effect.sync(() => running.delete(call.id))))
      running.set(call.id, { session: profile.session, fiber: yield* Effect.forkIn(run, scope) })
      yield* world.onAccepted
      return accepted
    }),
    cancel: Effect.fnUntraced(function*(id, reason) {
      world.cancelled.push({ id, reason })
      const [outcome] = yield* store.commit([{ _tag: "RequestCancel", id, mode: "now" }])
      if (outcome?._tag !== "Made") return
      const run = running.get(id)
      if (run !== undefined) yield* Fiber.interrupt(run.fiber)
      yield* store.commit([
        { _tag: "Append", stream: id, key: "end", last: true },
        { _tag: "Complete", id, result: "null" }
      ])
    }),
    answer: (options) =>
      Effect.sync(() => {
        world.answered.push(options)
        return options.wireId === "asked" ? "Accepted" : "Unknown"
      }),
    completeElicitation: (id) =>
      Effect.andThen(Effect.suspend(() => world.onCompleted), Effect.sync(() => world.completed.push(id))),
    inFlight: (session) => [...running.values()].filter((run) => run.session === session).length
  })
}))

const Tools = Toolkit.make(
  Tool.make("echo", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String }),
  Tool.make("wait", { success: Schema.String })
)

const tools = McpServer.toolkit(Tools).pipe(Layer.provide(Tools.toLayer(Effect.gen(function*() {
  const world = yield* World
  return Tools.of({
    echo: ({ text }) => Effect.sync(() => (world.ran.push("echo"), text)),
    wait: () => Effect.andThen(Effect.suspend(() => (world.ran.push("wait"), world.wait)), Effect.succeed("waited"))
  })
}))))

const resource = McpServer.resource({ uri: "file://a", name: "a", content: Effect.succeed("a") })

export type Registrations = Layer.Layer<never, never, McpServer.McpServer | World>

export const registrations: Registrations = Layer.mergeAll(tools, resource)

/** One process on a disk. */
export const process = (options?: {
  readonly disk?: MemoryStore.Disk | undefined
  readonly registrations?: Registrations | undefined
}): Layer.Layer<SessionEra.SessionEra | World | Calls | Services | Stock.Stock | McpServer.McpServer, StoreError> =>
  SessionEra.layer.pipe(
    Layer.provideMerge(calls),
    Layer.provideMerge(StockDispatch.layer),
    Layer.provideMerge(Stock.layer({ name: "test", version: "1.0.0" })),
    Layer.provideMerge(sessionLayer(options?.disk)),
    Layer.provide(options?.registrations ?? registrations),
    Layer.provideMerge(McpServer.McpServer.layer),
    Layer.provideMerge(world),
    Layer.fresh
  )

// -----------------------------------------------------------------------------
// a client
// -----------------------------------------------------------------------------

export type Headers = Readonly<Record<string, string>>

export const post = (headers: Headers, body: unknown, principal = anonymous): Effect.Effect<
  Reply,
  StoreError,
  SessionEra.SessionEra
> =>
  // as it comes from the wire: no `undefined`
  Effect.flatMap(SessionEra.SessionEra, (era) => era.post({ principal, headers }, JSON.parse(JSON.stringify(body))))

export const get = (headers: Headers, principal = anonymous) =>
  Effect.flatMap(SessionEra.SessionEra, (era) => era.get({ principal, headers }))

export const remove = (headers: Headers, principal = anonymous) =>
  Effect.flatMap(SessionEra.SessionEra, (era) => era.delete({ principal, headers }))

export const request = (id: unknown, method: string, params?: unknown) => ({ jsonrpc: "2.0", id, method, params })

export const notification = (method: string, params?: unknown) => ({ jsonrpc: "2.0", method, params })

export const call = (id: unknown, name: string, args?: unknown, _meta?: unknown) =>
  request(id, "tools/call", { name, arguments: args ?? {}, _meta })

export const initializeRequest = (version: unknown, capabilities: unknown = {}) =>
  request("init", "initialize", {
    protocolVersion: version,
    capabilities,
    clientInfo: { name: "test", version: "0" }
  })

/** A session whose client has said `initialized`: the headers of its requests. */
export const connect = Effect.fnUntraced(function*(version = "2025-11-25", capabilities: unknown = {}) {
  const reply = yield* post({}, initializeRequest(version, capabilities))
  if (reply._tag !== "Json") return yield* Effect.die(new Error(`initialize gave ${JSON.stringify(reply)}`))
  const headers = { "mcp-session-id": reply.headers!["mcp-session-id"]!, "mcp-protocol-version": version }
  yield* post(headers, notification("notifications/initialized"))
  return headers
})

/** What a reply says, in a form that tests compare. */
export const outline = (reply: Reply): unknown => {
  switch (reply._tag) {
    case "Json":
      return [reply.status, JSON.parse(reply.body)]
    case "Refused":
      return reply.id === undefined
        ? [reply.status, reply.error.code]
        : [reply.status, reply.error.code, reply.id]
    case "Empty":
      return [reply.status]
    case "Acknowledged":
      return [202]
    case "Follow":
      return ["stream"]
  }
}

/** Reads a stream to its end. */
export const readAll = Effect.fnUntraced(function*(reply: Reply) {
  const messages: Array<unknown> = []
  const follower = yield* open(reply)
  while (true) {
    const page = yield* follower.next
    for (const event of page.events) if (event.data !== undefined) messages.push(JSON.parse(event.data))
    if (page.closed) return messages
  }
}, Effect.scoped)

/** What a stream has to say now. */
export const readNow = Effect.fnUntraced(function*(reply: Reply) {
  const follower = yield* open(reply)
  const page = yield* follower.poll
  return page.events.map((event) => JSON.parse(event.data!) as { readonly method: string })
}, Effect.scoped)

export const followed = (reply: Reply): Follow => {
  if (reply._tag !== "Follow") throw new Error(`not a stream: ${JSON.stringify(reply)}`)
  return reply
}

export const open = (reply: Reply): Effect.Effect<
  Effect.Success<ReturnType<EventLog["Service"]["follow"]>>,
  StoreError,
  EventLog | Scope.Scope
> =>
  Effect.acquireRelease(
    Effect.flatMap(EventLog, (log) => log.follow(followed(reply))),
    (follower) => Effect.sync(follower.close)
  )
