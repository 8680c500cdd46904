/**
 * A Reboot application as the store sees it: states that are written one whole
 * write at a time, and tasks.
 *
 * There are three: one in this process (`embedded.ts`), one behind Envoy
 * (`remote.ts`), and one in memory for tests, which can be cut off between any
 * two writes.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../store/StoreError.ts"
import type { CallRequest, CallResponse, CallState } from "./callState.ts"
import type { ChunkRequest, ChunkResponse, ChunkState } from "./chunkState.ts"
import type { DirectoryRequest, DirectoryResponse, DirectoryState } from "./directoryState.ts"
import type { SessionRequest, SessionResponse, SessionState } from "./sessionState.ts"
import type { TimersRequest, TimersResponse, TimersState } from "./timersState.ts"

/** The state types of `reboot/api/effmcp/v1/store.proto`. */
export interface States {
  /** An execution and the stream of its id; either may be absent. */
  readonly Call: { readonly state: CallState; readonly request: CallRequest; readonly response: CallResponse }
  readonly Session: {
    readonly state: SessionState
    readonly request: SessionRequest
    readonly response: SessionResponse
  }
  /** One wheel of timers, of several. */
  readonly Timers: { readonly state: TimersState; readonly request: TimersRequest; readonly response: TimersResponse }
  /** One page of the log from which listings are read. */
  readonly Directory: {
    readonly state: DirectoryState
    readonly request: DirectoryRequest
    readonly response: DirectoryResponse
  }
  /** A value that is written once: a key of the server, a part of a large value, old events or steps of a call. */
  readonly Chunk: { readonly state: ChunkState; readonly request: ChunkRequest; readonly response: ChunkResponse }
}

/** @internal */
export type StateType = keyof States

/** What is common to all states. */
export interface Versioned {
  /** Grows with each write that changes the state; 0 is a state that was never written. */
  readonly version: number
}

/**
 * What became of a write.
 *
 * @internal
 */
export interface Written<T extends StateType> {
  readonly response: States[T]["response"]
  /** The state after it, where the state lives in this process. */
  readonly state: States[T]["state"] | undefined
}

/**
 * The state machine of a type: pure, and the same wherever it runs. First write
 * wins, so a request may be sent again.
 *
 * @internal
 */
export interface Machine<T extends StateType> {
  readonly empty: States[T]["state"]
  readonly apply: (state: States[T]["state"], request: States[T]["request"]) => {
    /** The same object when nothing changed. */
    readonly state: States[T]["state"]
    readonly response: States[T]["response"]
    /**
     * The state must be looked at from now on: Reboot is to schedule a task for
     * it in the same write. True exactly when it becomes so.
     */
    readonly task: boolean
  }
}

/** State types that have tasks. */
export type TaskType = "Call" | "Session" | "Timers"

/** @internal */
export interface Application {
  /**
   * One Reboot write: durable when it returns. An error says nothing about what
   * became of it; the same request can be sent again. Ends within the time limit.
   */
  readonly write: <T extends StateType>(
    type: T,
    id: string,
    request: States[T]["request"]
  ) => Effect.Effect<Written<T>, StoreError>
  /** What is durable. A state that was never written is the `empty` of its machine. */
  readonly read: <T extends StateType>(type: T, id: string) => Effect.Effect<States[T]["state"], StoreError>
  /**
   * From now until the scope closes `task` is run for each task of Reboot's: those
   * that were scheduled and have not ended, those that are. A task ends when its
   * effect succeeds. One that is interrupted (the scope closed, the process died)
   * is begun again by who serves next, in this process or another one. At most
   * one effect runs at a time for one state. Call it once.
   */
  readonly serve: (task: (type: TaskType, id: string) => Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>
  /**
   * `changed` is called when a state may have been changed by another process:
   * what this one remembers of it is old. Called once it can be read.
   */
  readonly watch: (changed: (type: StateType, id: string) => void) => Effect.Effect<void, never, Scope.Scope>
  /**
   * - `owner`: all states live in this process, and nobody else writes them.
   * - `host`: some do; tasks and handlers run here.
   * - `front`: none do; no tasks, no handlers.
   */
  readonly role: "owner" | "host" | "front"
  /** Puts what hosts hold back (entries of the directory) where `read` finds it. */
  readonly flush: Effect.Effect<void, StoreError>
  /** What `flush` of other processes does here. */
  readonly onFlush?: ((flush: Effect.Effect<void, StoreError>) => void) | undefined
}
