/**
 * The store in Reboot, https://docs.reboot.dev: its states hold the calls and
 * sessions, its tasks are what must run.
 *
 * Reboot is set up by `npm run reboot:setup` (`docs/reboot.md`) and loaded when
 * the layer is built, not when this module is imported. It is slower than
 * `SqliteStore`, by some twenty times; take it where Reboot is what you run.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Embedded from "./internal/embedded.ts"
import * as Installation from "./internal/installation.ts"
import * as Remote from "./internal/remote.ts"
import * as RebootBackend from "./internal/store.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Of the Reboot application, for Reboot's own messages. Default "effect-durable-mcp". */
  readonly name?: string | undefined
  /**
   * The folder of Reboot's database, made when it does not exist, for this user
   * only. A stopped server's folder can be copied as a backup.
   */
  readonly stateDirectory: string
  /**
   * The folder whose `node_modules` holds Reboot. Default: that of the environment
   * variable `EFFECT_DURABLE_MCP_REBOOT`; else where `npm run reboot:setup` puts it.
   */
  readonly reboot?: string | undefined
  /** Largest payload, event, exit or value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
  /** After this time a read or write of Reboot fails with `Io`; the store tries again what it may. Default 10 s. */
  readonly callTimeout?: Duration.Input | undefined
  /** Lets Reboot run each of its methods twice, as `rbt dev` does, which finds impure ones. Default false. */
  readonly effectValidation?: boolean | undefined
}

/**
 * Reboot in this process: one server, no Envoy, and no open port (it is reached
 * by Unix sockets that only this user can open). A process has one Reboot: a
 * second store fails with `InUse`, as does a second process on the folder. What
 * a commit acknowledges survives the end of the machine. Reboot stops when the
 * scope closes; what was running goes on when the folder is opened again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Store["Service"], StoreError, Scope.Scope> {
  const application = yield* Embedded.make({
    name: options.name ?? "effect-durable-mcp",
    stateDirectory: options.stateDirectory,
    installation: yield* Installation.installation({ reboot: options.reboot }),
    effectValidation: options.effectValidation,
    callTimeout: options.callTimeout
  })
  return yield* RebootBackend.make(application, { maxPayloadBytes: options.maxPayloadBytes })
})

/**
 * `make`, as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Store, StoreError> => Layer.effect(Store)(make(options))

/**
 * @category models
 * @since 0.1.0
 */
export interface ClientOptions {
  /** Of the application's Envoy: `http://127.0.0.1:9991`. */
  readonly url: string | URL
  /** That of `RebootApplication.run`. */
  readonly secret: Redacted.Redacted<string>
  /** Largest payload, event, exit or value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
  /** For one attempt to read or write. Default 10 s. */
  readonly callTimeout?: Duration.Input | undefined
  /**
   * How long a read or write is tried again while the application does not answer,
   * as when it is started again. Default 30 s; then it fails with `Io`.
   */
  readonly outageTimeout?: Duration.Input | undefined
}

/**
 * The store of a Reboot application that runs elsewhere (`RebootApplication.run`),
 * for MCP servers in front of it. Such a *front* needs no Reboot itself, only
 * HTTP. It runs no handler: it takes calls, which the application runs, and
 * answers its clients from what the application has stored. Any number of fronts
 * serve the same sessions.
 *
 * **Gotchas**
 *
 * A front registers the same tools as the application; handlers must be there,
 * and are never run. `Limits.CallsInFlight` does not hold across fronts.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (options: ClientOptions): Layer.Layer<Store, StoreError> =>
  Layer.effect(Store)(Effect.gen(function*() {
    const application = yield* Remote.make({
      url: new URL(options.url),
      secret: options.secret,
      callTimeout: options.callTimeout ?? "10 seconds",
      outageTimeout: options.outageTimeout ?? "30 seconds"
    })
    return yield* RebootBackend.make(application, { maxPayloadBytes: options.maxPayloadBytes })
  }))
