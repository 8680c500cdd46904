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
import { flawOf } from "./internal/toolLoop.ts"
import { Stock } from "./stock.ts"

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Wire, never, Stock> = Layer.effect(Wire)(Effect.gen(function*() {
  const stock = yield* Stock
  const clientOf = makeClients(stock)
  return Wire.of({
    notification: (version, notification) => {
      switch (notification._tag) {
        case "Progress":
          return Effect.succeed(progressText(notification))
        case "Log":
          return Effect.succeed(logText(notification))
        case "Cancelled":
        case "ElicitationComplete":
          return stock.at(version).notification(notification)
      }
    },
    question: Effect.fnUntraced(function*(request, wireId, question) {
      const { adapter } = stock.at(request.version)
      if (request.canAsk === false) {
        return undefined
      }
      const flaw = question._tag === "Sample" ? flawOf(question.params) : undefined
      if (flaw !== undefined) {
        // No client can do anything with it, so it is the handler's defect.
        return yield* Effect.die(new Error(flaw))
      }
      const client = yield* clientOf(request.version, request.profile)
      const sent = yield* Exchange.request(adapter, client.protocol, asking(request, question))
      if (sent === undefined) {
        return undefined
      }
      const params = question._tag === "Elicit" && request.version === "2025-06-18"
        // This adapter's encoder takes an enum for a plain string and drops its choices.
        ? { ...sent.params, requestedSchema: toForm0618(yield* canonicalForm(question.requestedSchema)) }
        : sent.params
      return JSON.stringify({ jsonrpc: "2.0", id: wireId, method: sent.method, params })
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

// What a busy handler says most has the same text in all versions with
// sessions. Tests hold it to the projection of the adapters.

const progressText = ({ message, meta, progress, token, total }: Tagged<"Progress">): string | undefined =>
  Number.isFinite(progress) && (total === undefined || Number.isFinite(total))
    ? notificationText("notifications/progress", { _meta: meta, progressToken: token, progress, total, message })
    : undefined

const logText = ({ data, level, logger, meta }: Tagged<"Log">): string | undefined =>
  typeof data === "function" || data === undefined
    ? undefined
    : notificationText("notifications/message", { _meta: meta, level, logger, data })

/** Nothing for what has no JSON, which a handler in JavaScript may well give. */
const notificationText = (method: string, params: Readonly<Record<string, unknown>>): string | undefined => {
  try {
    return JSON.stringify({ jsonrpc: "2.0", method, params })
  } catch {
    return undefined
  }
}

type Tagged<Tag extends Notification["_tag"]> = Extract<Notification, { readonly _tag: Tag }>

/** A question as one use of the adapter's client, whose outcome is canonical JSON again. */
const asking = (request: Request, question: Question): Exchange.Use<Schema.Json> => {
  switch (question._tag) {
    case "Elicit":
      return (client) =>
        decodeElicit({
          mode: "form",
          message: question.message,
          requestedSchema: request.version === "2025-06-18"
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

/** The form as MCP knows it: what its fields have no words for is left out. */
const canonicalForm = (form: Schema.Json): Effect.Effect<Schema.Json> =>
  Effect.orDie(Effect.flatMap(decodeForm(form), encodeForm))

const formSchema = Schema.toCodecJson(McpSchema.ElicitRequestFormParams.fields.requestedSchema)
const decodeForm = Schema.decodeUnknownEffect(formSchema)
const encodeForm = Schema.encodeEffect(formSchema)
const decodeElicit = Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.Elicit.payloadSchema))
const encodeElicitResult = Schema.encodeEffect(Schema.toCodecJson(McpSchema.Elicit.successSchema))
const decodeSample = Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.CreateMessage.payloadSchema))
const encodeSampleResult = Schema.encodeEffect(Schema.toCodecJson(McpSchema.CreateMessage.successSchema))
const encodeRootsResult = Schema.encodeEffect(Schema.toCodecJson(McpSchema.ListRoots.successSchema))
