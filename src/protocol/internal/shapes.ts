/**
 * Typed copies of what `stock` relies on inside `effect/ai`: the registry's core
 * and the adapters' handler tables, as they are in effect 4.1.
 *
 * @internal
 */
import type * as McpProtocol from "effect/ai/McpProtocol"
import type * as McpSchema from "effect/ai/McpSchema"
import type * as McpServer from "effect/ai/McpServer"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Rpc from "effect/rpc/Rpc"
import { createRequire } from "node:module"

/** Who asks, as the core sees it. */
export interface Invocation {
  readonly clientId: number
  readonly protocol: {
    readonly protocolVersion: string
    readonly clientCapabilities: McpSchema.ClientCapabilities
    readonly clientInfo: McpSchema.Implementation | undefined
    readonly requestMetadata: McpSchema.McpRequestContext["Service"]["requestMetadata"]
  }
  readonly requestContext: McpSchema.McpRequestContext["Service"]
  readonly serverClient?: McpSchema.McpServerClient["Service"] | undefined
}

export type ToolOutcome =
  | { readonly _tag: "Complete"; readonly value: McpSchema.CallToolResult }
  | { readonly _tag: "InputRequired" }

/** The live registry behind the `McpServer` service. */
export interface Core {
  readonly tools: {
    readonly list: unknown
    readonly call: (
      call: typeof McpSchema.CallTool.payloadSchema.Type,
      invocation: Invocation
    ) => Effect.Effect<ToolOutcome, unknown>
  }
  readonly resources: { readonly list: unknown; readonly listTemplates: unknown; readonly read: unknown }
  readonly prompts: { readonly list: unknown; readonly get: unknown }
  readonly completions: { readonly complete: unknown }
  readonly registrationPresence: Effect.Effect<{
    readonly tools: boolean
    readonly resources: boolean
    readonly prompts: boolean
  }>
}

/** Server capabilities before a version gives them their form. */
export interface Capabilities {
  readonly completions: boolean
  readonly logging: boolean
  readonly tools?: { readonly listChanged: boolean } | undefined
  readonly resources?: { readonly listChanged: boolean; readonly subscribe: boolean } | undefined
  readonly prompts?: { readonly listChanged: boolean } | undefined
}

/** What a session-era adapter calls for the state of a session. */
export interface Lifecycle {
  readonly initialize: () => Effect.Effect<{
    readonly capabilities: Capabilities
    readonly serverInfo: McpSchema.Implementation
    readonly instructions: string | undefined
  }>
  readonly setLogLevel: () => Effect.Effect<void>
  readonly subscribe: () => Effect.Effect<void>
  readonly unsubscribe: () => Effect.Effect<void>
  readonly clientNotification: () => Effect.Effect<void>
}

/** One method of one version: decoded payload in, the version's result out. */
export type Handler = (
  payload: unknown,
  options: {
    readonly client: { readonly id: number }
    readonly requestId: string | number
    readonly headers: Readonly<Record<string, string>>
    readonly rpc: Rpc.AnyWithProps
  }
) => Effect.Effect<unknown, unknown, McpSchema.McpServerClient>

export type HandlerTable = Readonly<Record<string, Handler>>

/** Where an adapter puts its handlers. */
export interface InstallationTarget {
  readonly context: {
    readonly subscribeServerNotifications: Effect.Effect<never>
    readonly supportedVersions: ReadonlyArray<string>
    readonly serverInfo: McpSchema.Implementation
    readonly registrationPresence: Core["registrationPresence"]
  }
  readonly install: (
    protocol: McpProtocol.ProtocolAdapter,
    rpcs: unknown,
    handlers: HandlerTable
  ) => Effect.Effect<void>
}

/** A notification before a version gives it its form. */
export type CanonicalNotification =
  | {
    readonly _tag: "Progress"
    readonly progressToken: string | number
    readonly progress: number
    readonly total?: number | undefined
    readonly message?: string | undefined
    readonly metadata?: Readonly<Record<string, unknown>> | undefined
  }
  | {
    readonly _tag: "LoggingMessage"
    readonly level: McpSchema.LoggingLevel
    readonly logger?: string | undefined
    readonly data: unknown
    readonly metadata?: Readonly<Record<string, unknown>> | undefined
  }
  | { readonly _tag: "Cancelled"; readonly requestId: string | number; readonly reason?: string | undefined }
  | { readonly _tag: "ElicitationComplete"; readonly elicitationId: string }
  | { readonly _tag: "ResourceUpdated"; readonly uri: string }
  | { readonly _tag: "ToolsChanged" }
  | { readonly _tag: "ResourcesChanged" }
  | { readonly _tag: "PromptsChanged" }

/** The wire errors of an adapter: `ProtocolError` and the like. */
export const isWireError = (
  error: unknown
): error is { readonly code: number; readonly message: string; readonly data?: unknown } =>
  Predicate.hasProperty(error, "code") && Number.isInteger(error.code) &&
  Predicate.hasProperty(error, "message") && Predicate.isString(error.message)

/**
 * This release of effect is not the one whose internals the framework knows.
 * A defect of the Layer: the server does not start.
 */
export class UnsupportedEffect extends Data.TaggedError("UnsupportedEffect")<{
  readonly message: string
  readonly cause?: unknown
}> {
  static of(missing: string, cause?: unknown): UnsupportedEffect {
    return new UnsupportedEffect({
      cause,
      message: `effect ${installedVersion()} is not supported: ${missing}. Install an effect in the peer range of ` +
        `effect-durable-mcp.`
    })
  }
}

const installedVersion = (): string => {
  try {
    const manifest: unknown = createRequire(import.meta.url)("effect/package.json")
    return Predicate.hasProperty(manifest, "version") ? String(manifest.version) : "(unknown version)"
  } catch {
    return "(unknown version)"
  }
}

const members = {
  tools: ["list", "call"],
  resources: ["list", "listTemplates", "read"],
  prompts: ["list", "get"],
  completions: ["complete"]
} as const

/** Dies of the first member that is not there. */
export const checkCore = (core: unknown): Core => {
  for (const [family, names] of Object.entries(members)) {
    const value: unknown = Predicate.hasProperty(core, family) ? core[family] : undefined
    for (const name of names) {
      if (!Predicate.hasProperty(value, name) || !Predicate.isFunction(value[name])) {
        throw UnsupportedEffect.of(`its MCP registry has no ${family}.${name}`)
      }
    }
  }
  if (!Predicate.hasProperty(core, "registrationPresence")) {
    throw UnsupportedEffect.of("its MCP registry has no registrationPresence")
  }
  return core as unknown as Core
}

/** The methods that the session era needs of every adapter. */
const methods = [
  "initialize",
  "tools/list",
  "tools/call",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "prompts/list",
  "prompts/get",
  "completion/complete"
]

/** Dies of the first method that is not there. */
export const checkTable = (version: string, table: HandlerTable | undefined): HandlerTable => {
  for (const method of methods) {
    if (!Predicate.isFunction(table?.[method])) {
      throw UnsupportedEffect.of(`its adapter for MCP ${version} has no handler of ${method}`)
    }
  }
  return table!
}

/** The `McpServer` service, whose members are replaced or wrapped in place. */
export type Registry = McpServer.McpServer["Service"]
