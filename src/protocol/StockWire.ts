/**
 * `Wire` over the stock adapters: notifications, questions and answers in the
 * form of a version.
 *
 * @since 0.1.0
 */
import * as McpSchema from "effect/ai/McpSchema"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Request } from "../engine/Dispatch.ts"
import { type Notification, type Question, type Reply, Wire } from "../engine/Wire.ts"
import { makeClients } from "./internal/client.ts"
import { toForm0618 } from "./internal/elicitationForm.ts"
import * as Exchange from "./internal/exchange.ts"
import { isPlainJson } from "./internal/plainJson.ts"
import { type CanonicalNotification, Stock } from "./stock.ts"

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Wire, never, Stock> = Layer.effect(Wire)(Effect.gen(function*() {
  const stock = yield* Stock
  const clientOf = makeClients(stock)
  return Wire.of({
    notification: (version, notification) => {
      const text = plainText(notification)
      return text === undefined ? stock.at(version).notification(toCanonical(notification)) : Effect.succeed(text)
    },
    question: Effect.fnUntraced(function*(request, wireId, question) {
      const { adapter } = stock.at(request.version)
      if (request.canAsk === false) {
        return undefined
      }
      const client = yield* clientOf(request.version, request.profile)
      const sent = yield* Exchange.request(adapter, client.protocol, asking(request, question))
      return sent && JSON.stringify({ jsonrpc: "2.0", id: wireId, ...sent })
    }),
    reply: Effect.fnUntraced(function*(request, question, answer): Effect.fn.Return<Reply> {
      if ("error" in answer) {
        return { _tag: "Error", error: answer.error }
      }
      const { adapter } = stock.at(request.version)
      const client = yield* clientOf(request.version, request.profile)
      const exit = yield* Exchange.result(adapter, client.protocol, asking(request, question), answer.result)
      return Exit.isSuccess(exit) ? { _tag: "Result", result: exit.value } : { _tag: "Malformed" }
    })
  })
}))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/**
 * The text of what a busy handler says most. It is the same in all versions
 * with sessions; tests hold it to the adapters' own projection.
 */
const plainText = (notification: Notification): string | undefined => {
  switch (notification._tag) {
    case "Progress": {
      const { message, progress, token: progressToken, total } = notification
      return Number.isFinite(progress) && (total === undefined || Number.isFinite(total))
        ? JSON.stringify({
          jsonrpc: "2.0",
          method: "notifications/progress",
          params: { progressToken, progress, total, message }
        })
        : undefined
    }
    case "Log": {
      const { data, level, logger } = notification
      return isPlainJson(data)
        ? JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { level, logger, data } })
        : undefined
    }
    default:
      return undefined
  }
}

const toCanonical = (notification: Notification): CanonicalNotification => {
  switch (notification._tag) {
    case "Progress":
      return { ...notification, progressToken: notification.token }
    case "Log":
      return { ...notification, _tag: "LoggingMessage" }
    case "Cancelled":
    case "ElicitationComplete":
      return notification
  }
}

/** A question as one use of the adapter's client, whose outcome is canonical JSON again. */
const asking = (request: Request, question: Question): Exchange.Use<Schema.Json> => {
  switch (question._tag) {
    case "Elicit":
      return (client) =>
        decodeElicit({
          mode: "form",
          message: question.message,
          requestedSchema: request.version < "2025-11-25"
            ? toForm0618(question.requestedSchema)
            : question.requestedSchema
        }).pipe(Effect.flatMap(client.elicit), Effect.flatMap(encodeElicitResult))
    case "ElicitUrl":
      return (client) =>
        decodeElicit({
          mode: "url",
          message: question.message,
          url: question.url,
          elicitationId: question.elicitationId
        }).pipe(Effect.flatMap(client.elicit), Effect.flatMap(encodeElicitResult))
    case "Sample":
      return (client) =>
        decodeSample(question.params).pipe(Effect.flatMap(client.createMessage), Effect.flatMap(encodeSampleResult))
    case "Roots":
      return (client) => Effect.flatMap(client.listRoots(), encodeRootsResult)
  }
}

const decodeElicit = Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.Elicit.payloadSchema))
const encodeElicitResult = Schema.encodeEffect(Schema.toCodecJson(McpSchema.Elicit.successSchema))
const decodeSample = Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.CreateMessage.payloadSchema))
const encodeSampleResult = Schema.encodeEffect(Schema.toCodecJson(McpSchema.CreateMessage.successSchema))
const encodeRootsResult = Schema.encodeEffect(Schema.toCodecJson(McpSchema.ListRoots.successSchema))
