/**
 * Registers a toolkit so that its handlers run on the call's own fiber.
 *
 * The stock registration runs each call through a fiber, a queue and a stream
 * of its own, which is most of what a small call costs. Here a call that ends
 * well never sees them. What a toolkit looks like to a client, and what becomes
 * of a call that does not end well, still is the stock registration's word: its
 * handler is given the exit that ours has seen.
 *
 * @since 0.1.0
 */
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Failures from "../engine/Failures.ts"

/**
 * `McpServer.toolkit` with the handler on the calling fiber: same descriptors,
 * same results, a fifth of the cost.
 *
 * **Details**
 *
 * Runs on this package's server, on the stock one, and in plain tests.
 *
 * @category layers
 * @since 0.1.0
 */
export const toolkit = <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>
): Layer.Layer<never, never, McpServer.ToolkitRequirements<Tools>> => Layer.effectDiscard(registerToolkit(toolkit))

/**
 * As `McpServer.registerToolkit`; see `toolkit`.
 *
 * @category registration
 * @since 0.1.0
 */
export const registerToolkit: <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>
) => Effect.Effect<void, never, McpServer.ToolkitRequirements<Tools>> = Effect.fnUntraced(function*<
  Tools extends Record<string, Tool.Any>
>(toolkit: Toolkit.Toolkit<Tools>) {
  const registry = yield* McpServer.McpServer
  const context = yield* Effect.context<never>()
  for (const registration of yield* stockRegistrations(toolkit, context)) {
    const tool = toolkit.tools[registration.tool.name]!
    const handler = context.mapUnsafe.get(tool.id) as Tool.Handler<string> | undefined
    if (handler === undefined) {
      return yield* Effect.die(new Error(`The tool '${tool.name}' has no handler`))
    }
    yield* registry.addTool({
      ...registration,
      handle: makeHandle(tool, handler.handler, registration.handle),
      services: Context.merge(servicesOf(handler), context)
    })
  }
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

type Registration = Parameters<McpServer.McpServer["Service"]["addTool"]>[0]

/** The exit that the stock registration is to give its form. */
const Recorded = Context.Reference<Exit.Exit<unknown, unknown>>("effect-durable-mcp/protocol/toolkit/Recorded", {
  defaultValue: () => Exit.die(new Error("No exit was recorded"))
})

const recorded = () => Effect.flatten(Recorded)

/** What the stock registration of a toolkit would add, with handlers that give back the recorded exit. */
const stockRegistrations = Effect.fnUntraced(function*<Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>,
  context: Context.Context<never>
): Effect.fn.Return<ReadonlyArray<Registration>> {
  const registrations: Array<Registration> = []
  const services = new Map(context.mapUnsafe)
  for (const tool of Object.values(toolkit.tools)) {
    services.set(tool.id, { name: tool.name, handler: recorded, context: Context.empty() })
  }
  services.set(McpServer.McpServer.key, {
    addTool: (registration: Registration) => Effect.sync(() => registrations.push(registration))
  })
  yield* Effect.provideContext(
    McpServer.registerToolkit(toolkit),
    Context.makeUnsafe<McpServer.ToolkitRequirements<Tools>>(services)
  )
  return registrations
})

const makeHandle = (
  tool: Tool.Any,
  handler: Tool.Handler<string>["handler"],
  stock: Registration["handle"]
): Registration["handle"] => {
  const parameters: Schema.Constraint | undefined = Schema.isSchema(tool.parametersSchema)
    ? tool.parametersSchema
    : undefined
  const decode = parameters === undefined
    ? Effect.succeed<unknown>
    : Schema.decodeUnknownEffect(parameters as Schema.Decoder<unknown>, {
      onExcessProperty: Tool.getStrictMode(tool) === true ? "error" : "ignore",
      errors: "all"
    })
  const encode = Schema.encodeUnknownEffect(tool.successSchema as Schema.Encoder<unknown>)
  const handlerContext = {
    toolCallId: undefined,
    // MCP has no preliminary results; stock only looks whether they encode.
    preliminary: (value: unknown) => Effect.asVoid(Effect.orDie(encode(value)))
  }
  return Effect.fnUntraced(function*(payload: unknown) {
    const params = yield* Effect.exit(decode(payload ?? {}))
    if (Exit.isFailure(params)) {
      return yield* stock(payload)
    }
    const exit = yield* Effect.exit(Effect.suspend(() => handler(params.value, handlerContext)))
    if (Exit.isFailure(exit)) {
      yield* Failures.report(exit.cause)
      return yield* Effect.provideService(stock(payload), Recorded, exit)
    }
    const result = yield* Effect.exit(Effect.map(encode(exit.value), toResult))
    return Exit.isSuccess(result) ? result.value : yield* Effect.provideService(stock(payload), Recorded, exit)
  })
}

/** The schema has been applied already, so the class need not look at it again. */
const toResult = (encoded: unknown): McpSchema.CallToolResult => {
  const text: unknown = JSON.stringify(encoded)
  if (encoded !== undefined && typeof text !== "string") {
    throw new TypeError("The encoded result is not JSON")
  }
  return new McpSchema.CallToolResult(
    {
      isError: false,
      structuredContent: encoded,
      content: encoded === undefined ? [] : [{ type: "text", text: text as string }]
    },
    { disableChecks: true }
  )
}

/**
 * What a handler's layer was built with, without what belongs to a request: the
 * stock registry leaves the same services out.
 */
const servicesOf = (handler: Tool.Handler<string>): Context.Context<never> => {
  const services = new Map(handler.context.mapUnsafe)
  for (const key of services.keys()) {
    if (requestServices.has(key) || key.startsWith(middlewareKey)) {
      services.delete(key)
    }
  }
  return Context.makeUnsafe(services)
}

const requestServices: ReadonlySet<string> = new Set([
  McpSchema.McpRequestContext.key,
  McpSchema.McpServerClient.key,
  HttpServerRequest.HttpServerRequest.key,
  HttpServerRequest.ParsedSearchParams.key,
  HttpRouter.RouteContext.key,
  References.CurrentLogLevel.key,
  Scope.Scope.key,
  Tracer.ParentSpan.key
])

/** The prefix under which stock keeps the middleware of a registration. */
const middlewareKey = "effect/ai/McpServer/Middleware-"
