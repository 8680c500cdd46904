/**
 * The client that a handler talks to: each of its requests is a durable
 * question of the call.
 *
 * @internal
 */
import * as McpSchema from "effect/ai/McpSchema"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Questions from "../../engine/Questions.ts"
import type * as Wire from "../../engine/Wire.ts"
import type * as JsonRpc from "../../session/JsonRpc.ts"

type Operation = McpSchema.McpReverseOperationError["operation"]

const elicitPayload = Schema.toCodecJson(McpSchema.Elicit.payloadSchema)
const elicitResult = Schema.toCodecJson(McpSchema.Elicit.successSchema)
const samplePayload = Schema.toCodecJson(McpSchema.CreateMessage.payloadSchema)
const sampleResult = Schema.toCodecJson(McpSchema.CreateMessage.successSchema)
const rootsResult = Schema.toCodecJson(McpSchema.ListRoots.successSchema)

/**
 * `version` is for the errors only. A question has its method as its name: one
 * handler's questions are told apart by their order.
 *
 * @internal
 */
export const make = (version: McpSchema.McpServerClient["Service"]["protocolVersion"]): McpSchema.McpReverseClient => {
  const ask = Effect.fnUntraced(function*<S extends Schema.Codec<unknown, unknown>>(
    operation: Operation,
    question: Effect.Effect<Wire.Question, Schema.SchemaError>,
    result: S,
    options?: Questions.AskOptions
  ) {
    const failWith = (cause: unknown) => new McpSchema.McpReverseOperationError({ operation, cause })
    const outcome = yield* Questions.ask(operation, yield* Effect.mapError(question, failWith), options)
    switch (outcome._tag) {
      case "Result":
        return yield* Effect.mapError(Schema.decodeUnknownEffect(result)(outcome.result), failWith)
      case "Error":
        return yield* failWith(outcome.error)
      case "Malformed":
        return yield* failWith(new Error("The client's answer does not have the shape that its method demands"))
      case "TimedOut":
        return yield* failWith(new Cause.TimeoutError("The client did not answer in time"))
      case "Unsupported":
        return yield* new McpSchema.McpReverseOperationUnsupported({
          operation,
          protocolVersion: version,
          reason: "The client or this version does not support it, or there is no call to ask from"
        })
    }
  })
  return {
    elicit: (request) => ask("elicitation/create", toElicit(request), elicitResult),
    createMessage: (request) =>
      ask("sampling/createMessage", toSample(request), sampleResult, { timeout: "10 minutes" }),
    listRoots: () => ask("roots/list", Effect.succeed({ _tag: "Roots" }), rootsResult, { timeout: "10 minutes" })
  }
}

const toElicit = (request: McpSchema.ElicitRequestParams): Effect.Effect<Wire.Question, Schema.SchemaError> =>
  Effect.map(Schema.encodeEffect(elicitPayload)(request), (encoded): Wire.Question =>
    request.mode === "url"
      ? { _tag: "ElicitUrl", message: request.message, url: request.url, elicitationId: request.elicitationId }
      : {
        _tag: "Elicit",
        message: request.message,
        requestedSchema: (encoded as { readonly requestedSchema: Schema.Json }).requestedSchema
      })

const toSample = (
  request: typeof McpSchema.CreateMessage.payloadSchema.Type
): Effect.Effect<Wire.Question, Schema.SchemaError> =>
  Effect.map(Schema.encodeEffect(samplePayload)(request), (encoded): Wire.Question => ({
    _tag: "Sample",
    params: encoded as JsonRpc.Params
  }))
