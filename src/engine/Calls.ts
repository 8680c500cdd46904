/**
 * The engine as the protocol sees it: start or join a call, cancel it, bring an
 * answer.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as JsonRpc from "../session/JsonRpc.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { Request } from "./Dispatch.ts"

/**
 * A call of a peer. `id` is derived from who asks and the request id; the
 * call's stream has the same id.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly id: string
  readonly request: Request
  /** Digest of method and parameters, compared when the id is used again (S-P10). */
  readonly digest: string
}

/**
 * The call is on disk; its answer will be the last event of the stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accepted {
  readonly stream: string
  readonly token: string
  /** This request repeats an earlier one and follows the same stream. */
  readonly joined: boolean
}

/**
 * - `Conflict`: the id was used for another request (S-P10).
 * - `Forgotten`: the id was used, and its result has expired.
 * - `Busy`: too many calls in flight; see `Limits`.
 * - `Stopping`: the server is shutting down.
 *
 * @category errors
 * @since 0.1.0
 */
export class CallRejected
  extends Schema.TaggedError<CallRejected>("effect-durable-mcp/engine/CallRejected")("CallRejected", {
    reason: Schema.Literals(["Conflict", "Forgotten", "Busy", "Stopping"]),
    message: Schema.String
  })
{}

/**
 * @category services
 * @since 0.1.0
 */
export class Calls extends Context.Service<Calls, {
  /**
   * Starts the call or joins it. Returns when *accepted* is durable, which is
   * at the handler's first durable operation, after one turn of the event loop,
   * or together with the result, whichever is first (folded start). The handler
   * does not run on this fiber: interrupting it stops nothing (S-P15).
   */
  readonly start: (call: Call) => Effect.Effect<Accepted, CallRejected | StoreError>
  /**
   * Durable when it returns; the call ends without an answer (S-C1, S-C6).
   * Unknown and finished calls are ignored (S-C2).
   */
  readonly cancel: (id: string, reason?: string | undefined) => Effect.Effect<void, StoreError>
  /**
   * The client's answer to a question. Durable when it returns `Accepted`; a
   * second answer is `Accepted` too, and ignored. `Unknown` when this session
   * and principal were never asked (S-P6).
   */
  readonly answer: (options: {
    readonly wireId: string
    readonly session: string | undefined
    readonly principal: string
    readonly answer: JsonRpc.Answer
  }) => Effect.Effect<"Accepted" | "Unknown", StoreError>
  /**
   * The page of a URL elicitation is done: its question ends, and the client
   * that was asked is told (S-E8). Unknown and finished ids are ignored.
   */
  readonly completeElicitation: (elicitationId: string) => Effect.Effect<void, StoreError>
  /** Calls whose run is in this process, by session. */
  readonly inFlight: (session: string) => number
}>()("effect-durable-mcp/engine/Calls") {}
