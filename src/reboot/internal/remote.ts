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
import type { Application, StateType } from "./Application.ts"
import * as Elsewhere from "./elsewhere.ts"
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

/**
 * How long a front believes what it has read and heard no change of. Hosts tell
 * each change; this is for what nobody knows to go wrong.
 */
const beliefMillis = 30_000

/**
 * Succeeds when all hosts are heard.
 *
 * @internal
 */
export const make: (options: Options) => Effect.Effect<Application, StoreError, Scope.Scope> = Effect.fnUntraced(
  function*(options: Options) {
    const rpc = Rpc.make(options)
    const caller = randomUUID()
    const elsewhere = Elsewhere.make()
    const following = yield* Wakeups.follow({
      url: options.url,
      secret: options.secret,
      onNote: ([type, id, by]) => by === caller ? undefined : elsewhere.changed(type, id),
      onGap: elsewhere.missed
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
    yield* Effect.forkScoped(Effect.forever(Effect.delay(Effect.sync(elsewhere.missed), beliefMillis)))

    return {
      role: "front",
      write: (type, id, request) =>
        Effect.map(
          rpc.write(type, id, JSON.stringify(request), caller),
          (response) => ({ response: JSON.parse(response), state: undefined })
        ),
      read: <T extends StateType>(type: T, id: string) =>
        Effect.suspend(() => {
          elsewhere.seen(type, id)
          return rpc.read(type, id)
        }),
      // Reboot's tasks are run where its states are.
      serve: () => Effect.void,
      watch: elsewhere.watch,
      flush: Effect.suspend(() =>
        Effect.forEach(following.servers(), (server) => rpc.post(flushPath, server), {
          concurrency: "unbounded",
          discard: true
        })
      )
    }
  }
)
