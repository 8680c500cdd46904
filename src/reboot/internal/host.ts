/**
 * `Application` of a host: one of several server processes, each of which has a
 * part of the states. Calls go through Envoy, also to states of this process,
 * since nobody else knows where a state lives. Where it is this one, what the
 * servicers make of a write is told without passing it through text.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { StoreError } from "../../store/StoreError.ts"
import type { Application, States, StateType, Written } from "./Application.ts"
import * as Elsewhere from "./elsewhere.ts"
import type { Loaded, Servicer } from "./generated.ts"
import { machines } from "./machines.ts"
import { stateTypes } from "./methods.ts"
import { callerOf, type Rpc } from "./rpc.ts"
import * as Servicers from "./servicers.ts"
import * as Serving from "./serving.ts"
import type { Note } from "./wakeups.ts"

/** @internal */
export interface Options {
  readonly loaded: Loaded
  readonly secret: string
  /** Names this opening, as the store that is made of it does. */
  readonly boot: string
  /** A state of this process was written, and can be read. Also told of own writes. */
  readonly onWritten: (note: Note) => void
}

/** @internal */
export interface Host {
  readonly servicers: ReadonlyArray<Servicer>
  /**
   * A write of a state of this process is durable. A servicer ends before that,
   * and whoever called may be in another process.
   */
  readonly durable: (type: StateType, version: number, id: string) => void
  /** A state of another process was written. */
  readonly noted: (note: Note) => void
  /** States of other processes may have been written, and nobody heard of it. */
  readonly missed: () => void
  /** Puts what this process holds back where others read it. */
  readonly flush: Effect.Effect<void, StoreError>
  /** The application, once Reboot is up. `flushOthers` is `flush` of the other hosts. */
  readonly application: (rpc: Rpc, flushOthers: Effect.Effect<void, StoreError>) => Application
}

/** A write of this process that is under way. */
interface Pending<T extends StateType> {
  readonly type: T
  readonly request: States[T]["request"]
  /** Set by the servicer, where that is in this process. */
  written: Written<T> | undefined
}

/** What a servicer has made of a state, which is not known to be durable. */
interface Applied {
  readonly state: States[StateType]["state"]
  readonly by: string
}

/** States of this process that are read without a call, since the newest is known. */
const kept = 1_024

/** @internal */
export const make = ({ boot, loaded, onWritten, secret }: Options): Host => {
  const serving = Serving.make()
  const pending = new Map<string, Pending<StateType>>()
  const applied = Elsewhere.newest<Applied>(kept)
  const latest = Elsewhere.newest<States[StateType]["state"]>(kept)
  const elsewhere = Elsewhere.make()
  let count = 0
  let flushHere: Effect.Effect<void, StoreError> = Effect.void

  const servicers = Servicers.make({
    loaded,
    machines,
    secret,
    incoming: <T extends StateType>(type: T, id: string, text: string, cookie: string | null) => {
      const caller = callerOf(cookie)
      const by = processOf(caller)
      const own = by === boot ? pending.get(caller) as unknown as Pending<T> | undefined : undefined
      // Nobody waits for it any more: what came after it may have been written.
      if (by === boot && own === undefined) return undefined
      const request: States[T]["request"] = own?.request ?? JSON.parse(text)
      return {
        request: addressed(type, request, boot),
        applied: (state, response) => {
          applied.set(`${type}/${id}/${state.version}`, { state, by })
          if (own !== undefined) own.written = { state, response }
        }
      }
    },
    answer: (_type, _text, response) => JSON.stringify(response),
    task: serving.run
  })

  return {
    servicers,

    durable: (type, version, id) => {
      const made = applied.take(`${type}/${id}/${version}`)
      if (made === undefined) return
      latest.set(`${type}/${id}`, made.state)
      if (made.by !== boot) elsewhere.changed(type, id)
      onWritten([type, id, made.by])
    },

    noted: ([type, id, by]) => by === boot ? undefined : elsewhere.changed(type, id),

    missed: elsewhere.missed,

    flush: Effect.suspend(() => flushHere),

    application: (rpc, flushOthers) => ({
      role: "host",
      read: <T extends StateType>(type: T, id: string): Effect.Effect<States[T]["state"], StoreError> =>
        Effect.suspend(() => {
          const known = latest.get(`${type}/${id}`)
          if (known !== undefined) return Effect.succeed(known as States[T]["state"])
          elsewhere.seen(type, id)
          return rpc.read(type, id)
        }),
      write: <T extends StateType>(type: T, id: string, request: States[T]["request"]) =>
        Effect.suspend(() => {
          const caller = `${boot}.${++count}`
          const write: Pending<T> = { type, request, written: undefined }
          pending.set(caller, write as unknown as Pending<StateType>)
          return rpc.write(type, id, JSON.stringify(request), caller).pipe(
            Effect.map((response): Written<T> => {
              if (write.written !== undefined) return write.written
              elsewhere.seen(type, id)
              return { response: JSON.parse(response), state: undefined }
            }),
            Effect.ensuring(Effect.sync(() => pending.delete(caller)))
          )
        }),
      serve: serving.serve,
      watch: elsewhere.watch,
      flush: flushOthers,
      onFlush: (flush) => {
        flushHere = flush
      }
    })
  }
}

/**
 * A line of Reboot's about a write that is durable: `<state type>:<version>:<id>`.
 *
 * @internal
 */
export const parseDurable = (line: string): readonly [type: StateType, version: number, id: string] | undefined => {
  const [, name, version, id] = /^effmcp\.v1\.(\w+):(\d+):(.*)$/.exec(line) ?? []
  const type = stateTypes.find((type) => type === name)
  return type === undefined || id === undefined ? undefined : [type, Number(version), id]
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** A caller is a process, or a write of one: `<process>.<number>`. */
const processOf = (caller: string): string => caller.split(".", 1)[0]!

/** Who sends it does not know where the state lives: this process must run what starts. */
const addressed = <T extends StateType>(type: T, request: States[T]["request"], boot: string): States[T]["request"] =>
  type === "Call" && (request as States["Call"]["request"]).boot === undefined ? { ...request, boot } : request
