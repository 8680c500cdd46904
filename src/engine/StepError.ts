/**
 * How a durable operation can end other than by its own result.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * An `atMostOnce` step was cut off: nobody knows whether its effect happened.
 *
 * @category errors
 * @since 0.1.0
 */
export class StepInterrupted
  extends Schema.TaggedError<StepInterrupted>("effect-durable-mcp/engine/StepInterrupted")("StepInterrupted", {
    /** Path of the step. */
    step: Schema.String,
    /** The idempotency key that the effect was given. */
    key: Schema.String
  })
{
  override get message(): string {
    return `Step "${this.step}" was cut off and may not run again`
  }
}

/**
 * An attempt of a step took longer than its `timeout`, and none is left.
 *
 * @category errors
 * @since 0.1.0
 */
export class StepTimedOut
  extends Schema.TaggedError<StepTimedOut>("effect-durable-mcp/engine/StepTimedOut")("StepTimedOut", {
    step: Schema.String
  })
{
  override get message(): string {
    return `Step "${this.step}" timed out`
  }
}

/**
 * Defect: the effect of a step happened, but its result is too large or is not
 * JSON. Recorded, so that the effect is not repeated.
 *
 * @category errors
 * @since 0.1.0
 */
export class StepResultUnstorable extends Schema.TaggedError<StepResultUnstorable>(
  "effect-durable-mcp/engine/StepResultUnstorable"
)("StepResultUnstorable", {
  step: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `The result of step "${this.step}" cannot be stored: ${this.why}`
  }
}

/**
 * Defect: the execution has as many durable operations as `Limits.StepLimit`
 * allows.
 *
 * @category errors
 * @since 0.1.0
 */
export class StepLimitExceeded
  extends Schema.TaggedError<StepLimitExceeded>("effect-durable-mcp/engine/StepLimitExceeded")("StepLimitExceeded", {
    step: Schema.String,
    limit: Schema.Number
  })
{
  override get message(): string {
    return `Step "${this.step}" exceeds the limit of ${this.limit} steps`
  }
}

/**
 * A replay contradicts what was recorded. The run is stopped, whatever its code
 * catches; nothing is overwritten, and the execution goes on after a fix.
 *
 * - `Kind`: `step` was recorded as another kind of operation.
 * - `Order`: the body is about to do `step` for the first time, but `recorded` came before and was not reached.
 * - `Undecodable`: what was recorded does not fit the schema any more.
 *
 * @category errors
 * @since 0.1.0
 */
export class NonDeterminism
  extends Schema.TaggedError<NonDeterminism>("effect-durable-mcp/engine/NonDeterminism")("NonDeterminism", {
    reason: Schema.Literals(["Kind", "Order", "Undecodable"]),
    step: Schema.String,
    /** What the record holds. */
    recorded: Schema.String,
    /** `Limits.ServerVersion` of the server that recorded it. */
    version: Schema.String
  })
{
  override get message(): string {
    switch (this.reason) {
      case "Kind":
        return `"${this.step}" was recorded as ${this.recorded} by version ${this.version}`
      case "Order":
        return `"${this.step}" comes where version ${this.version} recorded "${this.recorded}"`
      case "Undecodable":
        return `What version ${this.version} recorded for "${this.step}" cannot be read: ${this.recorded}`
    }
  }
}

/**
 * `sample` or `roots` got no result.
 *
 * - `Unsupported`: the client, its version or this request does not allow it.
 * - `Refused`: the client answered with an error.
 * - `TimedOut`: the deadline passed.
 * - `Invalid`: the answer does not have the form that MCP demands.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientRequestError
  extends Schema.TaggedError<ClientRequestError>("effect-durable-mcp/engine/ClientRequestError")("ClientRequestError", {
    reason: Schema.Literals(["Unsupported", "Refused", "TimedOut", "Invalid"])
  })
{
  override get message(): string {
    return `The request to the client ended as ${this.reason}`
  }
}
