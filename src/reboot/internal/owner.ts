/**
 * `Application` in the one process where all states live. What the servicers
 * make of a write is told without passing it through text, and nobody else can
 * write.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Application, States, StateType, Written } from "./Application.ts"
import type { CallContext, Loaded, Servicer } from "./generated.ts"
import { isNotConstructed } from "./generated.ts"
import { within } from "./limits.ts"
import { machines } from "./machines.ts"
import { lower, readers, writers } from "./methods.ts"
import * as Servicers from "./servicers.ts"
import * as Serving from "./serving.ts"

/** @internal */
export interface Options {
  readonly loaded: Loaded
  readonly secret: string
  /** For each read and write. */
  readonly callTimeout: Duration.Input
}

/** @internal */
export interface Owner {
  readonly servicers: ReadonlyArray<Servicer>
  /** The application, once Reboot is up. `context` makes a context for one call. */
  readonly application: (context: () => CallContext) => Application
}

/** A write that is under way. */
interface Pending<T extends StateType> {
  readonly type: T
  readonly request: States[T]["request"]
  /** Set by the servicer. */
  written: Written<T> | undefined
}

/** @internal */
export const make = (options: Options): Owner => {
  const { loaded, secret } = options
  const serving = Serving.make()
  /** By the text of the request, which says no more than its number. */
  const pending = new Map<string, Pending<StateType>>()
  let count = 0

  /** Undefined when nobody waits for the write any more: what came after it may have been written. */
  const pendingOf = <T extends StateType>(type: T, text: string): Pending<T> | undefined => {
    const found = pending.get(text)
    return found?.type === type ? found as unknown as Pending<T> : undefined
  }

  const servicers = Servicers.make({
    loaded,
    machines,
    secret,
    incoming: (type, _id, text) => {
      const write = pendingOf(type, text)
      return write && {
        request: write.request,
        applied: (state, response) => {
          write.written = { state, response }
        }
      }
    },
    answer: () => "",
    task: serving.run
  })

  return {
    servicers,
    application: (context) => {
      const reference = (type: StateType, id: string) => loaded.generated[type].ref(id, { bearerToken: secret })
      return {
        role: "owner",
        write: <T extends StateType>(type: T, id: string, request: States[T]["request"]) => {
          const method = lower(writers[type])
          const limit = {
            what: `write ${type} ${id}`,
            duration: options.callTimeout,
            advice: "Nothing acknowledged is lost, and the write may be repeated."
          }
          return Effect.suspend(() => {
            const text = String(++count)
            const write: Pending<T> = { type, request, written: undefined }
            pending.set(text, write as unknown as Pending<StateType>)
            return within(limit, () => reference(type, id)[method](context(), { request: text })).pipe(
              Effect.map(() => write.written!),
              Effect.ensuring(Effect.sync(() => pending.delete(text)))
            )
          })
        },
        read: <T extends StateType>(type: T, id: string) => {
          const method = lower(readers[type])
          return within(
            { what: `read ${type} ${id}`, duration: options.callTimeout, advice: "It may be read again." },
            () => reference(type, id)[method](context())
          ).pipe(
            Effect.map((response): States[T]["state"] => JSON.parse(response.state)),
            Effect.catchIf(
              (error) => isNotConstructed(error.cause),
              () => Effect.succeed<States[T]["state"]>(machines[type].empty)
            )
          )
        },
        serve: serving.serve,
        watch: () => Effect.void,
        flush: Effect.void
      }
    }
  }
}
