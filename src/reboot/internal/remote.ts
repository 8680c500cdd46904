/**
 * `Application` of a front: all states live elsewhere, behind Envoy.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { StoreError } from "../../store/StoreError.ts"
import type { Application, States, StateType } from "./Application.ts"
import * as Rpc from "./rpc.ts"
import * as Wakeups from "./wakeups.ts"

/** @internal */
export interface Options {
  readonly url: URL
  readonly secret: Redacted.Redacted<string>
  readonly callTimeout: Duration.Input
  readonly outageTimeout: Duration.Input
}

/**
 * Puts a host's entries of the directory where everybody reads them.
 *
 * @internal
 */
export const flushPath = "/effmcp/flush"

/** Sessions that are remembered: each request asks for one. */
const sessionsKept = 1_024

/**
 * Succeeds when all hosts are heard.
 *
 * @internal
 */
export const make: (options: Options) => Effect.Effect<Application, StoreError, Scope.Scope> = Effect.fnUntraced(
  function*(options: Options) {
    const rpc = Rpc.make(options)
    const caller = randomUUID()
    const listeners = new Set<(type: StateType, id: string) => void>()
    const sessions = new Map<string, States["Session"]["state"]>()
    /** Grows with each change of a session: a read that began before it is not remembered. */
    let changes = 0

    const changed = (type: StateType, id: string): void => {
      if (type === "Session") {
        changes++
        sessions.delete(id)
      }
      for (const listener of listeners) listener(type, id)
    }

    const forget = (): void => {
      changes++
      sessions.clear()
    }

    const following = yield* Wakeups.follow({
      url: options.url,
      secret: options.secret,
      onNote: ([type, id, by]) => by === caller ? undefined : changed(type, id),
      onGap: forget
    })
    yield* following.connected.pipe(
      Effect.timeoutOrElse({
        duration: options.outageTimeout,
        orElse: () =>
          Effect.fail(
            new StoreError({
              reason: "Io",
              message: `No Reboot application answers at ${options.url.origin}. Start it first: see docs/reboot.md.`
            })
          )
      })
    )

    const readSession = (id: string): Effect.Effect<States["Session"]["state"], StoreError> =>
      Effect.suspend(() => {
        const known = sessions.get(id)
        if (known !== undefined) return Effect.succeed(known)
        const before = changes
        return Effect.map(rpc.read("Session", id), (state) => {
          if (before === changes) {
            sessions.set(id, state)
            if (sessions.size > sessionsKept) sessions.delete(sessions.keys().next().value!)
          }
          return state
        })
      })

    return {
      role: "front",
      write: (type, id, request) =>
        Effect.suspend(() => {
          const outdated = Effect.sync(() => {
            if (type === "Session") {
              changes++
              sessions.delete(id)
            }
          })
          return rpc.write(type, id, JSON.stringify(request), caller).pipe(
            Effect.map((response) => ({ response: JSON.parse(response), state: undefined })),
            Effect.ensuring(outdated)
          )
        }),
      read: <T extends StateType>(type: T, id: string) =>
        (type === "Session" ? readSession(id) : rpc.read(type, id)) as Effect.Effect<States[T]["state"], StoreError>,
      // Reboot's tasks are run where its states are.
      serve: () => Effect.void,
      watch: (listener) =>
        Effect.asVoid(Effect.acquireRelease(
          Effect.sync(() => listeners.add(listener)),
          () => Effect.sync(() => listeners.delete(listener))
        )),
      flush: Effect.suspend(() =>
        Effect.forEach(following.servers(), (server) => rpc.post(flushPath, server), {
          concurrency: "unbounded",
          discard: true
        })
      )
    }
  }
)
