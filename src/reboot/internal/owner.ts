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
import type { Loaded, Servicer } from "./generated.ts"
import { within } from "./limits.ts"
import { machines } from "./machines.ts"
import type { DirectCalls } from "./patches.ts"
import * as Servicers from "./servicers.ts"
import * as Serving from "./serving.ts"

/** @internal */
export interface Options {
  readonly loaded: Loaded
  /** For whoever comes through a socket. */
  readonly secret: string
  /** For each read and write. */
  readonly callTimeout: Duration.Input
}

/** @internal */
export interface Owner {
  readonly servicers: ReadonlyArray<Servicer>
  /** The application, once Reboot is up. */
  readonly application: (calls: DirectCalls) => Application
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
    loaded: options.loaded,
    machines,
    secret: options.secret,
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
    application: (calls) => ({
      role: "owner",
      write: <T extends StateType>(type: T, id: string, request: States[T]["request"]) => {
        const limit = {
          what: `write ${type} ${id}`,
          duration: options.callTimeout,
          advice: "Nothing acknowledged is lost, and the write may be repeated."
        }
        return Effect.suspend(() => {
          const text = String(++count)
          const write: Pending<T> = { type, request, written: undefined }
          pending.set(text, write as unknown as Pending<StateType>)
          return within(limit, () => calls.write(type, id, text)).pipe(
            Effect.map(() => write.written!),
            Effect.ensuring(Effect.sync(() => pending.delete(text)))
          )
        })
      },
      read: <T extends StateType>(type: T, id: string) => {
        const limit = { what: `read ${type} ${id}`, duration: options.callTimeout, advice: "It may be read again." }
        return Effect.map(
          within(limit, () => calls.read(type, id)),
          (text): States[T]["state"] => text === "" ? machines[type].empty : JSON.parse(text)
        )
      },
      serve: serving.serve,
      watch: () => Effect.void,
      flush: Effect.void
    })
  }
}
