/**
 * The workflow that carries out a request of a client: its body is the
 * registered handler, its result the encoded answer.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Workflow from "effect/workflow/Workflow"
import * as JsonRpc from "../session/JsonRpc.ts"
import type { Dispatch, Request } from "./Dispatch.ts"
import type { Conclusion, Program } from "./internal/Run.ts"
import { StepInterrupted } from "./StepError.ts"

/**
 * What is stored of a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Payload {
  /** When the call began, in milliseconds since the epoch: the same in every run. */
  readonly startedAt: number
  readonly request: Request
}

/**
 * What is stored of its end.
 *
 * - `Answered`: the client got this answer, also where it is an error.
 * - `Unknown`: it got this answer, but an at-most-once step was cut off: nobody knows what there is to undo.
 * - `Cancelled`: it got none.
 *
 * @category models
 * @since 0.1.0
 */
export type Result =
  | { readonly _tag: "Answered"; readonly answer: JsonRpc.Answer }
  | { readonly _tag: "Unknown"; readonly answer: JsonRpc.Answer }
  | { readonly _tag: "Cancelled" }

/**
 * Names the workflow; calls are started through `Calls`, under explicit ids.
 *
 * @category workflows
 * @since 0.1.0
 */
export const workflow: Workflow.Any = Workflow.make("effect-durable-mcp/ToolCall", {
  payload: { startedAt: Schema.Number, request: Schema.Unknown },
  success: Schema.Unknown,
  idempotencyKey: (payload) => JSON.stringify(payload)
})

/**
 * @category encoding
 * @since 0.1.0
 */
export const encodePayload = (payload: Payload): string => JSON.stringify(payload)

/**
 * @category encoding
 * @since 0.1.0
 */
export const decodePayload = (payload: string): Payload => JSON.parse(payload) as Payload

/**
 * @category encoding
 * @since 0.1.0
 */
export const decodeResult = (result: string): Result => JSON.parse(result) as Result

/**
 * Carries out one request.
 *
 * @internal
 */
export const program = (dispatch: Dispatch["Service"], request: Request): Program => ({
  workflow,
  cancelled,
  tooLarge,
  interrupted: answered("Failed", interrupted, Exit.failCause(Cause.interrupt())),
  body: (run) =>
    Effect.matchCauseEffect(dispatch.dispatch(request), {
      onSuccess: (answer) => Effect.sync(() => conclude(answer, run.failure, run.sawInterruptedStep)),
      // An interruption from outside does not get here, so it was the handler's own.
      onFailure: (cause) =>
        Effect.as(
          Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("A handler died", cause),
          conclude(interrupted, cause, run.sawInterruptedStep)
        )
    })
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const internalError = (message: string): JsonRpc.Answer => ({
  error: { code: JsonRpc.ErrorCode.InternalError, message }
})

const interrupted = internalError("The request ended without a result")

const answered = (
  outcome: "Succeeded" | "Failed" | "Unknown",
  answer: JsonRpc.Answer,
  exit: Exit.Exit<unknown, unknown>
): Conclusion => {
  const result: Result = { _tag: outcome === "Unknown" ? "Unknown" : "Answered", answer }
  return { outcome, answer, exit, result: JSON.stringify(result) }
}

const tooLarge: Conclusion = answered(
  "Failed",
  internalError("The result is too large to be stored"),
  Exit.fail("The result is too large to be stored")
)

const cancelled: Conclusion = {
  outcome: "Cancelled",
  exit: Exit.failCause(Cause.interrupt()),
  answer: undefined,
  result: JSON.stringify({ _tag: "Cancelled" } satisfies Result)
}

const conclude = (
  answer: JsonRpc.Answer,
  failure: Cause.Cause<unknown> | undefined,
  sawInterruptedStep: boolean
): Conclusion => {
  if (!isFailure(answer)) {
    return answered("Succeeded", answer, Exit.succeed(answer))
  }
  const isUnknown = sawInterruptedStep && (failure === undefined || isStepInterrupted(failure))
  return answered(isUnknown ? "Unknown" : "Failed", answer, Exit.failCause(failure ?? Cause.fail(answer)))
}

/** A tool that failed says so in its result. */
const isFailure = (answer: JsonRpc.Answer): boolean =>
  "error" in answer || (answer.result as { readonly isError?: unknown } | null)?.isError === true

const isStepInterrupted = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) =>
    (Cause.isFailReason(reason) && reason.error instanceof StepInterrupted) ||
    (Cause.isDieReason(reason) && reason.defect instanceof StepInterrupted)
  )
