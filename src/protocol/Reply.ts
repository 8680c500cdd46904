/**
 * What the protocol answers, before a transport gives it bytes.
 *
 * @since 0.1.0
 */
import type * as JsonRpc from "../session/JsonRpc.ts"

/**
 * The messages of one stream, from a position on, as they come; ends with the
 * stream (S-R8).
 *
 * @category models
 * @since 0.1.0
 */
export interface Follow {
  readonly _tag: "Follow"
  readonly stream: string
  /** Event ids are `<token>:<seq>` (S-R1, S-R2). */
  readonly token: string
  readonly afterSeq: number
  /** For a standalone stream (GET): the session whose queued messages it takes. Give the whole reply to `EventLog.follow`. */
  readonly session?: string | undefined
  /** First an event with id `<token>:<afterSeq>` and empty data (S-R3); only for sessions ≥ 2025-11-25. */
  readonly priming: boolean
  /** Headers to add, for example the session id. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Progress token of the call, where there is one: enables the heartbeat. */
  readonly progressToken?: string | number | undefined
  /** Protocol version of the session, for the form of the heartbeat. */
  readonly version: string
}

/**
 * @category models
 * @since 0.1.0
 */
export type Reply =
  /** 202 without a body (S-P5). */
  | { readonly _tag: "Acknowledged" }
  /** A body of JSON text. */
  | {
    readonly _tag: "Json"
    readonly status: number
    readonly body: string
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
  | Follow
  /** Refused; the error has an id only where the request's is known. */
  | {
    readonly _tag: "Refused"
    readonly status: number
    readonly error: JsonRpc.ErrorObject
    readonly id?: JsonRpc.Id | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
  /** A status without a body: 204 of DELETE (S-S7), and of a resumed stream that has nothing more (S-R8). */
  | { readonly _tag: "Empty"; readonly status: number }
