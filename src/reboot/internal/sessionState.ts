/**
 * The state of a session.
 *
 * @internal
 */
import type * as Store from "../../store/Store.ts"
import type { Versioned } from "./Application.ts"

/** `Erase`: the session and what belonged to it have never been; `ForgetSession` ends with it. */
export type SessionWrite = Store.OpenSession | Store.SetSession | Store.EndSession | { readonly _tag: "Erase" }

/** @internal */
export interface SessionRequest {
  readonly writes: ReadonlyArray<SessionWrite>
  readonly now: number
}

/** @internal */
export interface SessionResponse {
  readonly version: number
  readonly outcomes: ReadonlyArray<Store.Outcome>
}

/** @internal */
export interface SessionState extends Versioned {
  /** JSON: id, principal, data, createdAt, writtenAt, ended; "" for none. */
  readonly session: string
  /** JSON of each fact: name, writeKey, value. */
  readonly facts: ReadonlyArray<string>
}
