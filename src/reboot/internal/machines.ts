/**
 * The state machine of each state type.
 *
 * @internal
 */
import type { Machine, StateType } from "./Application.ts"
import * as callState from "./callState.ts"
import * as chunkState from "./chunkState.ts"
import * as directoryState from "./directoryState.ts"
import * as sessionState from "./sessionState.ts"
import * as timersState from "./timersState.ts"

/** @internal */
export const machines: { readonly [T in StateType]: Machine<T> } = {
  Call: callState.machine,
  Session: sessionState.machine,
  Timers: timersState.machine,
  Directory: directoryState.machine,
  Chunk: chunkState.machine
}
