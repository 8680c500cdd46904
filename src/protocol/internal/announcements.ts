/**
 * What the server says outside of any call: a list has changed, a resource has.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Emissions from "../../engine/Emissions.ts"
import type * as Wire from "../../engine/Wire.ts"
import type * as JsonRpc from "../../session/JsonRpc.ts"
import type { CanonicalNotification, Registry } from "./shapes.ts"

/**
 * - `ListChanged`: for all sessions (S-T9).
 * - `ResourceUpdated`: for the sessions that subscribed to the resource (S-RS4).
 * - `ElicitationComplete`: for the call that sent the user to a page (S-E8).
 *
 * @category models
 * @since 0.1.0
 */
export type Announcement =
  | { readonly _tag: "ListChanged"; readonly list: "tools" | "resources" | "prompts" }
  | { readonly _tag: "ResourceUpdated"; readonly uri: string }
  | { readonly _tag: "ElicitationComplete"; readonly elicitationId: string }

export type Listener = (announcement: Announcement) => Effect.Effect<void>

/** @internal */
export const toNotification = (announcement: Announcement): CanonicalNotification => {
  switch (announcement._tag) {
    case "ListChanged":
      return changed[announcement.list]
    case "ResourceUpdated":
    case "ElicitationComplete":
      return announcement
  }
}

const changed = {
  tools: { _tag: "ToolsChanged" },
  resources: { _tag: "ResourcesChanged" },
  prompts: { _tag: "PromptsChanged" }
} as const

/**
 * Replaces the notifications of the registry, in place: the stock middleware
 * finds its state by the identity of the service, and programs may have taken
 * hold of its parts before the server was there.
 *
 * @internal
 */
export const install = Effect.fnUntraced(function*(registry: Registry) {
  const scope = yield* Effect.scope
  const listeners = new Set<Listener>()
  const announce = (announcement: Announcement) =>
    Effect.suspend(() => Effect.forEach([...listeners], (listener) => listener(announcement), { discard: true }))

  // A program that registers many things in one turn says so once: the fork
  // begins when the turn is over.
  const pending = new Set<"tools" | "resources" | "prompts">()
  const listChanged = (list: "tools" | "resources" | "prompts"): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (listeners.size === 0 || pending.has(list)) {
        return Effect.void
      }
      pending.add(list)
      return Effect.sync(() => pending.delete(list)).pipe(
        Effect.andThen(announce({ _tag: "ListChanged", list })),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    })

  const notifications: Record<string, (payload: Payload) => Effect.Effect<void>> = {
    "notifications/progress": (payload) =>
      Emissions.emit({
        _tag: "Progress",
        token: payload.progressToken!,
        progress: payload.progress!,
        total: payload.total,
        message: payload.message,
        meta: payload._meta
      }),
    "notifications/message": (payload) =>
      Emissions.emit({
        _tag: "Log",
        level: payload.level!,
        logger: payload.logger,
        data: payload.data!,
        meta: payload._meta
      }),
    "notifications/cancelled": (payload) =>
      Emissions.emit({ _tag: "Cancelled", requestId: payload.requestId!, reason: payload.reason }),
    "notifications/resources/updated": (payload) => announce({ _tag: "ResourceUpdated", uri: payload.uri! }),
    "notifications/tools/list_changed": () => listChanged("tools"),
    "notifications/resources/list_changed": () => listChanged("resources"),
    "notifications/prompts/list_changed": () => listChanged("prompts")
  }
  // What registers a tool, a resource or a prompt says so through them too.
  const held: object = registry.notifications
  const original = { ...registry.notifications }
  const { notifyElicitationComplete } = registry
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      Object.assign(held, notifications)
      Object.assign(registry, {
        notifyElicitationComplete: ({ elicitationId }: { readonly elicitationId: string }) =>
          announce({ _tag: "ElicitationComplete", elicitationId })
      })
    }),
    () =>
      Effect.sync(() => {
        Object.assign(held, original)
        Object.assign(registry, { notifyElicitationComplete })
      })
  )

  return {
    listen: (listener: Listener): Effect.Effect<void, never, Scope.Scope> =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => listeners.add(listener)),
        () => Effect.sync(() => listeners.delete(listener))
      ))
  }
})

/** The payloads of the stock client, whose own types say which fields there are. */
interface Payload {
  readonly _meta?: JsonRpc.Params | undefined
  readonly progressToken?: string | number
  readonly progress?: number
  readonly total?: number | undefined
  readonly message?: string | undefined
  readonly level?: Wire.LogLevel
  readonly logger?: string | undefined
  readonly data?: Schema.Json
  readonly requestId?: JsonRpc.Id
  readonly reason?: string | undefined
  readonly uri?: string
}
