/**
 * One protocol version: the stock adapter's codecs and handlers, each method
 * compiled once.
 *
 * @internal
 */
import type * as McpProtocol from "effect/ai/McpProtocol"
import * as McpSchema from "effect/ai/McpSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Headers from "effect/http/Headers"
import type * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as JsonRpc from "../../session/JsonRpc.ts"
import { type Announcement, toNotification } from "./announcements.ts"
import { plainToolResult } from "./plainToolResult.ts"
import {
  type CanonicalNotification,
  checkTable,
  type Core,
  type HandlerTable,
  type InstallationTarget,
  type Invocation,
  isWireError,
  type Lifecycle,
  type ToolOutcome
} from "./shapes.ts"

export interface Version {
  readonly adapter: McpProtocol.ProtocolAdapter
  /** What the version understands under a method name. */
  readonly kind: (method: string) => "Request" | "Notification" | undefined
  /**
   * Decodes the params of a client's request or notification. Fails with the
   * error of the wire: −32601 for an unknown method, else −32602.
   */
  readonly decode: (method: string, params: unknown) => Effect.Effect<unknown, JsonRpc.ErrorObject>
  /** Runs a handler on the calling fiber, with a payload that `decode` gave, and encodes its result. */
  readonly invoke: (method: string, payload: unknown) => Effect.Effect<Schema.Json, unknown, McpSchema.McpServerClient>
  /** As `invoke` of `tools/call`, and several times faster for plain results. */
  readonly callTool: (payload: unknown, invocation: Required<Invocation>) => Effect.Effect<Schema.Json, unknown>
  /** The error of the wire for a failure of `invoke`; −32603 for what is none. */
  readonly encodeError: (method: string, error: unknown) => Effect.Effect<JsonRpc.ErrorObject>
  /** The answer to `initialize` (S-L1). */
  readonly initialize: (params: unknown) => Effect.Effect<JsonRpc.Answer>
  /** JSON text of a notification, `undefined` where the version has none, or not with these values. */
  readonly notification: (notification: CanonicalNotification) => Effect.Effect<string | undefined>
  /** JSON text of the notification that tells a session of an announcement. */
  readonly announce: (announcement: Announcement) => Effect.Effect<string | undefined>
}

interface Method {
  readonly kind: "Request" | "Notification"
  readonly rpc: Rpc.AnyWithProps
  readonly decode: (params: unknown) => Effect.Effect<unknown, unknown>
  readonly encodeResult: (result: unknown) => Effect.Effect<Schema.Json, unknown>
  readonly encodeError: (error: unknown) => Effect.Effect<Schema.Json, unknown>
}

/** @internal */
export const make = Effect.fnUntraced(function*(options: {
  readonly adapter: McpProtocol.ProtocolAdapter
  readonly core: Core
  readonly lifecycle: Lifecycle
  readonly target: InstallationTarget["context"]
}): Effect.fn.Return<Version> {
  const { adapter } = options
  const handlers = yield* install(adapter, options.core, options.lifecycle, options.target)
  const projector = yield* install(adapter, recordedCore(options.core), options.lifecycle, options.target)
  const methodOf = methodsOf(adapter)
  const structured = adapter.protocolVersion >= "2025-06-18"

  const decode: Version["decode"] = (name, params) => {
    const method = methodOf(name)
    return method === undefined
      ? Effect.fail({ code: JsonRpc.ErrorCode.MethodNotFound, message: `Method not found: ${name}` })
      : Effect.mapError(method.decode(params), () => invalidParams)
  }
  const run = (table: HandlerTable, name: string, payload: unknown) => {
    const method = methodOf(name)!
    return Effect.flatMap(table[name]!(payload, { ...invocation, rpc: method.rpc }), method.encodeResult)
  }
  const invoke: Version["invoke"] = (name, payload) => run(handlers, name, payload)
  const callTool: Version["callTool"] = (payload, invocation) => {
    const call = payload as Call
    const project = (exit: Exit.Exit<ToolOutcome, unknown>) =>
      run(projector, "tools/call", call).pipe(
        Effect.provideService(Recorded, exit),
        Effect.provideService(McpSchema.McpServerClient, invocation.serverClient)
      )
    return Effect.matchCauseEffect(
      options.core.tools.call({ ...call, arguments: call.arguments ?? {} }, invocation),
      {
        onFailure: (cause) => project(Exit.failCause(cause)),
        onSuccess: (outcome) => {
          const plain = outcome._tag === "Complete" ? plainToolResult(outcome.value, structured) : undefined
          return plain === undefined ? project(Exit.succeed(outcome)) : Effect.succeed(plain)
        }
      }
    )
  }
  const encodeError: Version["encodeError"] = (name, error) => {
    const method = methodOf(name)
    return method === undefined || !isWireError(error)
      ? Effect.succeed(internalError)
      : Effect.match(method.encodeError(error), {
        onFailure: () => internalError,
        onSuccess: (encoded) => isWireError(encoded) ? encoded as JsonRpc.ErrorObject : internalError
      })
  }
  const notification: Version["notification"] = (notification) =>
    Effect.flatMap(adapter.projectNotification(notification), (projected) => {
      const rpc = projected && adapter.serverNotificationRpcs.requests.get(projected.tag)
      return rpc === undefined
        ? Effect.undefined
        : Effect.map(
          adapter.payloadCodecs(rpc).encode(projected!.payload),
          (params) => JSON.stringify({ jsonrpc: "2.0", method: rpc._tag, params })
        )
    }).pipe(Effect.catchCause(() => Effect.undefined))

  return {
    adapter,
    kind: (name) => methodOf(name)?.kind,
    decode,
    invoke,
    callTool,
    encodeError,
    initialize: (params) =>
      decode("initialize", params).pipe(
        // The handler asks for no client: there is none before it is done.
        Effect.flatMap((payload) => run(handlers, "initialize", payload) as Effect.Effect<Schema.Json, unknown>),
        Effect.matchEffect({
          onFailure: (error) => Effect.map(encodeError("initialize", error), (error): JsonRpc.Answer => ({ error })),
          onSuccess: (result) => Effect.succeed<JsonRpc.Answer>({ result })
        })
      ),
    notification,
    announce: (announcement) => notification(toNotification(announcement))
  }
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const invalidParams: JsonRpc.ErrorObject = {
  code: JsonRpc.ErrorCode.InvalidParams,
  message: "Invalid method parameters"
}

const internalError: JsonRpc.ErrorObject = { code: JsonRpc.ErrorCode.InternalError, message: "Internal error" }

/** What a handler is told of the transport. Ours has no numbered clients. */
const invocation = { client: { id: 0 }, requestId: 0, headers: Headers.empty }

const install = Effect.fnUntraced(function*(
  adapter: McpProtocol.ProtocolAdapter,
  core: Core,
  lifecycle: Lifecycle,
  context: InstallationTarget["context"]
) {
  let table: HandlerTable | undefined
  const target: InstallationTarget = {
    context,
    install: (_protocol, _rpcs, handlers) =>
      Effect.sync(() => {
        table = handlers
      })
  }
  yield* adapter.installHandlers(core, lifecycle, target) as Effect.Effect<void>
  return checkTable(adapter.protocolVersion, table)
})

type Call = typeof McpSchema.CallTool.payloadSchema.Type

/** What became of the call whose result is to be given the form of the version. */
const Recorded = Context.Reference<Exit.Exit<ToolOutcome, unknown> | undefined>(
  "effect-durable-mcp/protocol/stock/Recorded",
  { defaultValue: () => undefined }
)

/** A registry whose tool call has already been made. */
const recordedCore = (core: Core): Core => ({
  ...core,
  tools: {
    ...core.tools,
    call: () => Effect.flatMap(Recorded, (exit) => exit ?? Effect.die(new Error("No call was recorded")))
  }
})

const encoder = (schema: Schema.Top): (value: unknown) => Effect.Effect<Schema.Json, unknown> =>
  Schema.encodeUnknownEffect(Schema.toCodecJson(schema)) as (value: unknown) => Effect.Effect<Schema.Json, unknown>

/** Methods by name, each compiled when it is first used: a start pays for none. */
const methodsOf = (adapter: McpProtocol.ProtocolAdapter): (name: string) => Method | undefined => {
  const methods = new Map<string, Method>()
  return (name) => {
    const known = methods.get(name)
    const rpc = known?.rpc ?? adapter.clientRpcs.requests.get(name) as Rpc.AnyWithProps | undefined
    if (known !== undefined || rpc === undefined) {
      return known
    }
    const method: Method = {
      kind: adapter.clientNotificationRpcs.requests.has(name) ? "Notification" : "Request",
      rpc,
      decode: adapter.payloadCodecs(rpc).decode,
      encodeResult: encoder(rpc.successSchema),
      encodeError: encoder(rpc.errorSchema)
    }
    methods.set(name, method)
    return method
  }
}
