/**
 * `Application` where states live in this process: calls go to Reboot, and what
 * the servicers make of them is told without passing it through text.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Application, States, StateType, Written } from "./Application.ts"
import type { CallContext, Loaded, Servicer } from "./generated.ts"
import { isNotConstructed } from "./generated.ts"
import { within } from "./limits.ts"
import { lower, readers, writers } from "./methods.ts"
import * as Servicers from "./servicers.ts"
import * as Serving from "./serving.ts"

/** @internal */
export interface Options {
  readonly loaded: Loaded
  readonly machines: Servicers.Machines
  readonly secret: string
  readonly callTimeout: Duration.Input
}

/** @internal */
export interface Hosted {
  readonly servicers: ReadonlyArray<Servicer>
  /** The application, once Reboot is up. */
  readonly application: (context: () => CallContext) => Application
}

/** A write that is under way. */
interface Pending<T extends StateType> {
  readonly request: States[T]["request"]
  written: Written<T> | undefined
}

/** @internal */
export const make = (options: Options): Hosted => {
  const { loaded, secret } = options
  const serving = Serving.make()
  const pending = new Map<string, Pending<any>>()
  let count = 0

  const servicers = Servicers.make({
    loaded,
    machines: options.machines,
    secret,
    incoming: (_type, _id, text) => {
      const write = pending.get(text)
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

  const advice = "Nothing acknowledged is lost, and the write may be repeated."

  return {
    servicers,
    application: (context) => {
      const reference = (type: StateType, id: string) => loaded.generated[type].ref(id, { bearerToken: secret })
      return {
        role: "owner",
        write: <T extends StateType>(type: T, id: string, request: States[T]["request"]) => {
          const method = lower(writers[type])
          const limit = { what: `write ${type} ${id}`, duration: options.callTimeout, advice }
          return Effect.suspend(() => {
            const text = String(++count)
            const write: Pending<T> = { request, written: undefined }
            pending.set(text, write)
            return within(limit, () => reference(type, id)[method](context(), { request: text })).pipe(
              Effect.map(() => write.written!),
              // A write that nobody waits for any more is refused when it comes to the servicer.
              Effect.ensuring(Effect.sync(() => pending.delete(text)))
            )
          })
        },
        read: <T extends StateType>(type: T, id: string) => {
          const method = lower(readers[type])
          const limit = { what: `read ${type} ${id}`, duration: options.callTimeout, advice }
          return within(limit, () => reference(type, id)[method](context())).pipe(
            Effect.map((response): States[T]["state"] => JSON.parse(response.state)),
            Effect.catchIf(
              (error) => isNotConstructed(error.cause),
              () => Effect.succeed<States[T]["state"]>(options.machines[type].empty)
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
