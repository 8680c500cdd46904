/**
 * Questions of a server, and what becomes of their answers.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { Id } from "../../session/JsonRpc.ts"
import type { Message, Question } from "../Client.ts"
import type { Session } from "./session.ts"
import * as Wire from "./wire.ts"

/** @internal */
export interface Asked extends Question {
  /** Whether something was said to it. */
  readonly isTaken: () => boolean
}

/**
 * @param isOpen Whether the call on whose stream it came has no answer yet.
 *
 * @internal
 */
export const make = (session: Session, call: Id, message: Message, isOpen: () => boolean): Asked => {
  let replies = 0

  /**
   * The first answer must be accepted, if it is one; so must be further ones as
   * long as the call waits, though they change nothing. What is none may be
   * refused, and so may be what comes later.
   */
  const answer = (body: object, isValid: boolean): Effect.Effect<void> =>
    session.unlessGone(
      Effect.gen(function*() {
        const isDue = isValid && (replies++ === 0 || isOpen())
        session.act(`answers ${question.method} of call ${JSON.stringify(call)}`)
        const reply = yield* session.send(session.post({ jsonrpc: "2.0", id: message.id, ...body }))
        const { status } = reply.response
        if (status === 202) {
          Wire.discard(reply.response)
          session.options.onAnswered(question)
        } else {
          const why = (yield* Wire.text(reply)) ?? ""
          if (!session.isOver(status) && (isDue || status >= 500)) {
            session.violation(`the server refused answer to ${question.method}: ${status} ${why}`)
          } else {
            session.act(`is told that its answer came to nothing: ${status} ${why}`)
          }
        }
      }),
      undefined
    )

  const question: Asked = {
    method: message.method ?? "",
    params: message.params ?? {},
    client: session.client,
    call,
    reply: (result) => answer({ result }, isResult(message.method, result)),
    fail: (error) => answer({ error }, Number.isSafeInteger(error.code)),
    isTaken: () => replies > 0
  }
  return question
}

/**
 * Has the user's answer sent, or leaves the question open.
 *
 * @internal
 */
export const put = (session: Session, question: Asked, leave: (question: Question) => void): Effect.Effect<void> =>
  (session.options.answer?.(question) ?? Effect.succeed(accepted)).pipe(
    Effect.flatMap((result) =>
      result !== undefined
        ? question.reply(result)
        : Effect.sync(() => {
          if (!question.isTaken()) {
            leave(question)
          }
        })
    ),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.sync(() => session.violation(`the test failed to answer ${question.method}: ${Cause.pretty(cause)}`))
    )
  )

const accepted: Schema.Json = { action: "accept", content: {} }

const actions: ReadonlySet<unknown> = new Set(["accept", "decline", "cancel"])

/** Whether a result is one that the method can have. */
const isResult = (method: string | undefined, result: Schema.Json): boolean => {
  if (!Predicate.isObject(result)) {
    return false
  }
  switch (method) {
    case "elicitation/create":
      return actions.has(result.action) && (result.content === undefined || Predicate.isObject(result.content))
    case "sampling/createMessage":
      return typeof result.role === "string" && typeof result.model === "string" && result.content !== undefined
    case "roots/list":
      return Array.isArray(result.roots)
    default:
      return true
  }
}
