/**
 * Effect's own MCP registry, as the layers of this package use it.
 *
 * Handlers are registered with the stock `McpServer.toolkit`, `resource`,
 * `prompt`, `middleware` and `visibility`. This module takes hold of the
 * registry behind them and of the stock adapters' handlers per version, so that
 * a handler runs on the caller's fiber: suspension, interruption and context
 * reach it.
 *
 * With `internal/` this is the only module that knows how `effect/ai` looks
 * inside. It checks what it relies on when its Layer is built, and dies with
 * `UnsupportedEffect` where it is not there.
 *
 * @since 0.1.0
 */
import * as McpProtocol from "effect/ai/McpProtocol"
import type * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Announcements from "./internal/announcements.ts"
import { capture } from "./internal/capture.ts"
import * as Digest from "./internal/digest.ts"
import type { CanonicalNotification as Notification, Capabilities, Core, Lifecycle } from "./internal/shapes.ts"
import { make as makeVersion, type Version as VersionShape } from "./internal/version.ts"

/**
 * One protocol version: its codecs and handlers.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = VersionShape

/**
 * What the server says outside of any call.
 *
 * @category models
 * @since 0.1.0
 */
export type Announcement = Announcements.Announcement

/**
 * A notification before a version gives it its form.
 *
 * @category models
 * @since 0.1.0
 */
export type CanonicalNotification = Notification

/**
 * How the server introduces itself (S-L1), and the versions that it speaks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name: string
  readonly version: string
  readonly instructions?: string | undefined
  readonly description?: string | undefined
  readonly websiteUrl?: string | undefined
  readonly icons?: ReadonlyArray<McpSchema.Icon> | undefined
  /** Default `sessionProtocols`. Those without sessions are left out. */
  readonly protocols?: ReadonlyArray<McpProtocol.ProtocolAdapter> | undefined
}

/**
 * @category services
 * @since 0.1.0
 */
export class Stock extends Context.Service<Stock, {
  /** The versions with sessions, newest first. */
  readonly versions: ReadonlyArray<string>
  /** The requested version where it is supported, else the newest with sessions (S-L2, S-L3). */
  readonly negotiate: (requested: unknown) => string
  /** The codecs and handlers of a version of `versions`; another one is a defect. */
  readonly at: (version: string) => Version
  /** What the server offers now: a family is there when something of it is registered. */
  readonly capabilities: Effect.Effect<Capabilities>
  /** A hash of what each list holds now, to notice that a deploy changed it (S-T9). */
  readonly digests: Effect.Effect<Digest.Digests>
  /**
   * Hears every announcement for the life of the scope. A handler that announces
   * a resource waits for the listeners, so that it is stored before the handler
   * goes on; list changes are told once for all of one turn.
   */
  readonly listen: (
    listener: (announcement: Announcement) => Effect.Effect<void>
  ) => Effect.Effect<void, never, Scope.Scope>
}>()("effect-durable-mcp/protocol/Stock") {}

/**
 * The versions with sessions, newest first.
 *
 * @category constants
 * @since 0.1.0
 */
export const sessionProtocols: NonEmptyReadonlyArray<McpProtocol.ProtocolAdapter> = [
  McpProtocol.v2025_11_25,
  McpProtocol.v2025_06_18,
  McpProtocol.v2025_03_26
]

/**
 * Takes over the `McpServer` service for the life of the scope: registrations
 * stay in it, its notifications go through this package.
 *
 * **Gotchas**
 *
 * Build it after the registrations: what is added later is announced to the
 * sessions as a change of the list.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (
  options: Options
) => Effect.Effect<Stock["Service"], never, McpServer.McpServer | Scope.Scope> = Effect.fnUntraced(
  function*(options: Options) {
    const registry = yield* McpServer.McpServer
    const core = yield* capture
    const announcements = yield* Announcements.install(registry)
    const capabilities = capabilitiesOf(core)
    const adapters = (options.protocols ?? sessionProtocols).filter((adapter) => adapter.runtime._tag === "Stateful")
    const names = adapters.map((adapter) => adapter.protocolVersion).toSorted().toReversed()
    const newest = names[0]
    if (newest === undefined) {
      return yield* Effect.die(new Error("`protocols` must hold a version with sessions"))
    }
    const serverInfo = serverInfoOf(options)
    const versions = new Map<string, Version>()
    for (const adapter of adapters) {
      versions.set(
        adapter.protocolVersion,
        yield* makeVersion({
          adapter,
          core,
          lifecycle: lifecycleOf(serverInfo, options.instructions, capabilities),
          target: {
            subscribeServerNotifications: Effect.never,
            supportedVersions: names,
            serverInfo,
            registrationPresence: core.registrationPresence
          }
        })
      )
    }
    return Stock.of({
      versions: names,
      negotiate: (requested) => names.find((name) => name === requested) ?? newest,
      at: (name) => {
        const version = versions.get(name)
        if (version === undefined) {
          throw new Error(`MCP ${name} is not one of the server's versions`)
        }
        return version
      },
      capabilities,
      digests: Digest.of(registry),
      listen: announcements.listen
    })
  }
)

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Stock, never, McpServer.McpServer> =>
  Layer.effect(Stock)(make(options))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const capabilitiesOf = (core: Core): Effect.Effect<Capabilities> =>
  Effect.map(core.registrationPresence, (presence) => ({
    completions: true,
    logging: true,
    ...(presence.tools ? { tools: { listChanged: true } } : {}),
    ...(presence.resources ? { resources: { listChanged: true, subscribe: true } } : {}),
    ...(presence.prompts ? { prompts: { listChanged: true } } : {})
  }))

const serverInfoOf = (options: Options): McpSchema.Implementation => ({
  name: options.name,
  version: options.version,
  ...(options.description === undefined ? {} : { description: options.description }),
  ...(options.websiteUrl === undefined ? {} : { websiteUrl: options.websiteUrl }),
  ...(options.icons === undefined ? {} : { icons: options.icons })
})

/** A session's state is `SessionEra`'s; here is only what needs none. */
const lifecycleOf = (
  serverInfo: McpSchema.Implementation,
  instructions: string | undefined,
  capabilities: Effect.Effect<Capabilities>
): Lifecycle => ({
  initialize: () => Effect.map(capabilities, (capabilities) => ({ capabilities, serverInfo, instructions })),
  setLogLevel: () => Effect.void,
  subscribe: () => Effect.void,
  unsubscribe: () => Effect.void,
  clientNotification: () => Effect.void
})
