/**
 * The state of a call: its execution and the stream of its id, in one Reboot
 * state, so that one commit is one write.
 *
 * @internal
 */
import type * as Store from "../../store/Store.ts"
import type { Versioned } from "./Application.ts"
import type { Value } from "./value.ts"

/**
 * The writes of the store's contract that a call takes, and two of its own.
 * Values may be `InChunks`.
 *
 * @internal
 */
export type CallWrite =
  | InState<Store.OpenStream>
  | InState<Store.Append, "data">
  | InState<Store.Trim>
  | InState<Store.StartExecution, "payload">
  | InState<Store.BeginRecovery>
  | InState<Store.RecordStep, "exit">
  | InState<Store.Signal, "exit">
  | InState<Store.ArmTimer, "exit">
  | InState<Store.RequestCancel>
  | InState<Store.Park>
  | InState<Store.Resume>
  | InState<Store.Complete, "result">
  | InState<Store.Forget>
  | Spill
  | Erase

type InState<W, Field extends keyof W = never> =
  & Omit<W, Field>
  & { readonly [F in Field]: undefined extends W[F] ? Value | undefined : Value }

/** The oldest `count` steps or events are in the chunk `chunk`: the state keeps only hashes of their keys. */
export interface Spill {
  readonly _tag: "Spill"
  readonly list: "steps" | "events"
  /** How many had been spilled before: a repeat changes nothing. */
  readonly after: number
  readonly count: number
  readonly chunk: string
}

/** The call has never been (`ForgetSession`). What is opened under its id later has another token. */
export interface Erase {
  readonly _tag: "Erase"
}

/** @internal */
export interface CallRequest {
  readonly writes: ReadonlyArray<CallWrite>
  /** Time of the commit. */
  readonly now: number
  /** The opening of the store that must run what starts, or undefined: that of the process in which the state lives. */
  readonly boot: string | undefined
}

/**
 * An outcome whose value may be in chunks.
 *
 * @internal
 */
export type CallOutcome =
  | Exclude<Store.Outcome, { readonly _tag: "Stands" }>
  | { readonly _tag: "Stands"; readonly fresh: boolean; readonly value: Value }
  /** The step is an old one: entry `index` of the chunk `chunk`. */
  | { readonly _tag: "StandsInChunk"; readonly chunk: string; readonly index: number }

/** @internal */
export interface CallResponse {
  readonly version: number
  readonly outcomes: ReadonlyArray<CallOutcome>
  /** Where the execution stands after the writes; undefined without one, or when it is forgotten. */
  readonly standing:
    | { readonly state: Store.ExecutionSummary["state"]; readonly parent: string | undefined }
    | undefined
  /** What should be spilled now, so that the state stays small. */
  readonly spill: { readonly list: Spill["list"]; readonly after: number; readonly count: number } | undefined
}

/**
 * The texts are JSON of shapes that only `callState.ts` knows; others read them
 * with its functions.
 *
 * @internal
 */
export interface CallState extends Versioned {
  /** Head of the execution; "" for none. */
  readonly execution: string
  /** Head of the stream; "" for none. */
  readonly stream: string
  readonly steps: ReadonlyArray<string>
  readonly signals: ReadonlyArray<string>
  readonly timers: ReadonlyArray<string>
  readonly events: ReadonlyArray<string>
  /** Eleven characters of hash for each key in chunks, in order. */
  readonly oldSteps: string
  readonly oldEvents: string
}
