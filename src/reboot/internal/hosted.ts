/**
 * `Application` in a process where states live: calls go to Reboot, which finds
 * the process of the state. Where that is this one, what the servicers make of a
 * write is told without passing it through text.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import type { Application, States, StateType, Written } from "./Application.ts"
import * as Confirming from "./confirming.ts"
import type { CallContext, Loaded, MethodContext, Servicer } from "./generated.ts"
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
  /** `owner`: all states live in this process and nobody else writes them; requests of others are refused. */
  readonly role: "owner" | "host"
  /** Whose write it is that another process has sent. Only for `host`. */
  readonly callerOf?: ((context: MethodContext) => string | undefined) | undefined
  /** Puts what this process holds back where others read it. Only for `host`. */
  readonly flush?: Application["flush"] | undefined
}

/** A state of this process was written, and can be read. */
export interface Note {
  readonly type: StateType
  readonly id: string
  /** Who wrote it, where `callerOf` knows; undefined also for this process itself. */
  readonly by: string | undefined
}

/** @internal */
export interface Hosted {
  readonly servicers: ReadonlyArray<Servicer>
  /** The application, once Reboot is up. `context` makes a context for one call. */
  readonly application: (context: () => CallContext) => Application
  /** Tells of each write of a state that lives in this process, also of its own. */
  readonly notes: (listener: (note: Note) => void) => Effect.Effect<void, never, Scope.Scope>
  /** Stands in requests of others for who must run what starts here. */
  readonly boot: string
}

/** A write of this process that is under way. */
interface Pending<T extends StateType> {
  readonly type: T
  readonly request: States[T]["request"]
  /** Set by the servicer, where that is in this process. */
  written: Written<T> | undefined
}

/** @internal */
export const make = (options: Options): Hosted => {
  const { loaded, role, secret } = options
  const boot = Crypto.randomBytes(12).toString("base64url")
  const serving = Serving.make()
  const own = ownWrites(boot)
  const noteListeners = new Set<(note: Note) => void>()
  const watchers = new Set<(type: StateType, id: string) => void>()
  const confirming = Confirming.make()

  const foreign = <T extends StateType>(type: T, text: string, context: MethodContext): Servicers.Incoming<T> => {
    const by = options.callerOf?.(context)
    const id = context.stateId
    return {
      request: addressed(type, JSON.parse(text), boot),
      applied: (state, response) => {
        confirming.applied(type, id, state.version, () => {
          for (const watcher of watchers) watcher(type, id)
          for (const listener of noteListeners) listener({ type, id, by })
        })
        return JSON.stringify(response)
      }
    }
  }

  const servicers = Servicers.make({
    loaded,
    secret,
    incoming: (type, text, context) => {
      const claim = own.claim(type, text)
      return claim._tag === "Own"
        ? claim.incoming
        : claim._tag === "Gone" || role === "owner"
        ? undefined
        : foreign(type, claim.text, context)
    },
    task: serving.run
  })

  return {
    servicers,
    boot,
    notes: (listener) => registered(noteListeners, listener),
    application: (context) => {
      const reference = (type: StateType, id: string) => loaded.generated[type].ref(id, { bearerToken: secret })

      const read = <T extends StateType>(type: T, id: string) => {
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
      }

      const write = <T extends StateType>(type: T, id: string, request: States[T]["request"]) => {
        const method = lower(writers[type])
        return Effect.suspend(() => {
          const pending = own.open(type, request, role === "host")
          return within(
            {
              what: `write ${type} ${id}`,
              duration: options.callTimeout,
              advice: "Nothing acknowledged is lost, and the write may be repeated."
            },
            () => reference(type, id)[method](context(), { request: pending.text })
          ).pipe(
            Effect.map(({ response }): Written<T> =>
              pending.write.written ?? { response: JSON.parse(response), state: undefined }
            ),
            Effect.tap((written) =>
              Effect.sync(() => {
                if (written.state === undefined) return
                for (const listener of noteListeners) listener({ type, id, by: undefined })
              })
            ),
            Effect.ensuring(Effect.sync(pending.close))
          )
        })
      }

      confirming.start((type, id) => Effect.runPromise(Effect.map(read(type, id), ({ version }) => version)))

      return {
        role,
        read,
        write,
        serve: serving.serve,
        watch: (watcher) => registered(watchers, watcher),
        flush: options.flush ?? Effect.void
      }
    }
  }
}

const registered = <A>(set: Set<A>, member: A): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => set.add(member)),
    () => Effect.sync(() => set.delete(member))
  ))

/** Who sends it from afar does not know where the state lives: this process must run what starts. */
const addressed = <T extends StateType>(type: T, request: States[T]["request"], boot: string): States[T]["request"] =>
  type === "Call" && "boot" in request === false ? { ...request, boot } : request

type Claim<T extends StateType> =
  | { readonly _tag: "Own"; readonly incoming: Servicers.Incoming<T> }
  /** Of this process, but nobody waits for it any more: what came after it may have been written. */
  | { readonly _tag: "Gone" }
  | { readonly _tag: "Foreign"; readonly text: string }

/**
 * Writes of this process. Their text is `<boot>.<number>` and, where the state
 * may live in another process, a blank and the request.
 */
const ownWrites = (boot: string) => {
  const byKey = new Map<string, Pending<StateType>>()
  let count = 0
  return {
    open: <T extends StateType>(type: T, request: States[T]["request"], mayBeElsewhere: boolean) => {
      const key = `${boot}.${++count}`
      const write: Pending<T> = { type, request, written: undefined }
      byKey.set(key, write as unknown as Pending<StateType>)
      return {
        write,
        text: mayBeElsewhere ? `${key} ${JSON.stringify(request)}` : key,
        close: () => void byKey.delete(key)
      }
    },
    claim: <T extends StateType>(type: T, text: string): Claim<T> => {
      const end = text.indexOf(" ")
      const key = text.startsWith("{") ? undefined : end < 0 ? text : text.slice(0, end)
      if (key?.startsWith(`${boot}.`) !== true) {
        return { _tag: "Foreign", text: key === undefined ? text : text.slice(key.length + 1) }
      }
      const write = byKey.get(key) as unknown as Pending<T> | undefined
      if (write === undefined || write.type !== type) return { _tag: "Gone" }
      return {
        _tag: "Own",
        incoming: {
          request: write.request,
          applied: (state, response) => {
            write.written = { state, response }
            return ""
          }
        }
      }
    }
  }
}
