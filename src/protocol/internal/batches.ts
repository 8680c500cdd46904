/**
 * JSON-RPC batches, which only 2025-03-26 has.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { RequestProfile } from "../../engine/Dispatch.ts"
import type { EventLog } from "../../session/EventLog.ts"
import * as JsonRpc from "../../session/JsonRpc.ts"
import type { Session } from "../../session/Sessions.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { Reply } from "../Reply.ts"
import { type Message, read as readMessage } from "./messages.ts"
import * as Refusals from "./refusals.ts"
import type { Serve } from "./serve.ts"

type Request = Extract<Message, { readonly _tag: "Request" }>

/** A batch of which every member can be served. */
export interface Batch {
  readonly messages: ReadonlyArray<Exclude<Message, { readonly _tag: "Malformed" }>>
}

/**
 * Reads a batch as a whole: with one member that cannot be served, nothing of it
 * is.
 *
 * @internal
 */
export const read = (body: ReadonlyArray<unknown>, limit: number): Batch | { readonly refusal: string } => {
  if (body.length === 0) return { refusal: "The batch is empty" }
  if (body.length > limit) return { refusal: `A batch can have ${limit} messages` }
  const messages: Array<Batch["messages"][number]> = []
  const ids = new Set<JsonRpc.Id>()
  for (const member of body) {
    const message = readMessage(member)
    if (message._tag === "Malformed") return { refusal: message.error.message }
    if (message._tag === "Request") {
      if (message.method === "initialize") return { refusal: "initialize cannot be in a batch" }
      if (ids.has(message.id)) return { refusal: "Two requests of the batch have the same id" }
      ids.add(message.id)
    }
    messages.push(message)
  }
  return { messages }
}

/**
 * Answers a batch as one JSON array (A9), or 202 where nothing in it has an
 * answer (S-B2). Its calls are calls like any other: they outlive a dropped
 * connection, and the repeated batch joins them.
 *
 * @internal
 */
export const serve = Effect.fnUntraced(function*(options: {
  readonly batch: Batch
  readonly session: Session
  readonly profile: RequestProfile
  readonly serve: Serve
  readonly eventLog: EventLog["Service"]
}): Effect.fn.Return<Reply, StoreError> {
  const { batch: { messages }, eventLog, profile, serve, session } = options
  let refused = false
  for (const message of messages) {
    if (message._tag === "Notification") yield* serve.notification(session, message)
    if (message._tag === "Response" && !(yield* serve.response(session, message))) refused = true
  }
  const answerOf = Effect.fnUntraced(function*(message: Request) {
    const served = yield* serve.request({ session, profile, message, canAsk: false })
    switch (served._tag) {
      case "Answered":
        return JsonRpc.encodeResponse(message.id, served.answer)
      case "Accepted":
        return yield* lastMessage(eventLog, served.accepted.stream)
      case "Ended":
        return JsonRpc.encodeError(Refusals.sessionNotFound().error, message.id)
      case "Rejected": {
        const code = served.rejection.reason === "Conflict" || served.rejection.reason === "Forgotten"
          ? JsonRpc.ErrorCode.InvalidRequest
          : JsonRpc.ErrorCode.InternalError
        return JsonRpc.encodeError({ code, message: served.rejection.message }, message.id)
      }
    }
  })
  const answers = yield* Effect.forEach(
    messages.filter((message) => message._tag === "Request"),
    answerOf,
    { concurrency: "unbounded" }
  )
  const bodies = answers.filter((answer) => answer !== undefined)
  if (bodies.length > 0) return { _tag: "Json", status: 200, body: `[${bodies.join(",")}]` }
  return refused ? Refusals.unknownResponse : { _tag: "Acknowledged" }
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** The response of a call: the last event of its stream; none when it was cancelled (S-C1). */
const lastMessage = Effect.fnUntraced(function*(eventLog: EventLog["Service"], stream: string) {
  const follower = yield* eventLog.follow({ stream, afterSeq: 0 })
  return yield* Effect.gen(function*() {
    while (true) {
      const page = yield* follower.next
      if (page.closed) return page.events.at(-1)?.data
    }
  }).pipe(Effect.ensuring(Effect.sync(follower.close)))
})
