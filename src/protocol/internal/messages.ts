/**
 * What a client has POSTed: one message, a batch, or neither.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as JsonRpc from "../../session/JsonRpc.ts"

/** One message of the client. `params` is an object, `{}` where there was none. */
export type Message =
  | {
    readonly _tag: "Request"
    readonly id: JsonRpc.Id
    readonly method: string
    readonly params: JsonRpc.Params
  }
  | { readonly _tag: "Notification"; readonly method: string; readonly params: JsonRpc.Params }
  | { readonly _tag: "Response"; readonly id: JsonRpc.Id; readonly answer: JsonRpc.Answer }
  /** Not a message; `id` where it is plain which request was meant. */
  | { readonly _tag: "Malformed"; readonly id?: JsonRpc.Id | undefined; readonly error: JsonRpc.ErrorObject }

/** @internal */
export const read = (body: unknown): Message => {
  if (!Predicate.isObject(body) || body.jsonrpc !== "2.0") {
    return invalid("The body is no JSON-RPC 2.0 message")
  }
  const { error, id, method, result } = body
  const params = body.params ?? {}
  if (method === undefined) {
    return isId(id) ? readResponse(id, result, error) : invalid("A message has a method, or the id that it answers")
  }
  if (typeof method !== "string" || method === "") {
    return invalid("The method of a message is a string", isId(id) ? id : undefined)
  }
  if (id === undefined) {
    return { _tag: "Notification", method, params: isParams(params) ? params : {} }
  }
  if (!isId(id)) {
    return invalid("The id of a request is a string or an integer")
  }
  return isParams(params)
    ? { _tag: "Request", id, method, params }
    : { _tag: "Malformed", id, error: { code: JsonRpc.ErrorCode.InvalidParams, message: "The params are no object" } }
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const invalid = (message: string, id?: JsonRpc.Id): Message => ({
  _tag: "Malformed",
  id,
  error: { code: JsonRpc.ErrorCode.InvalidRequest, message }
})

/** S-P10. An id that a double or UTF-8 cannot hold would be the same as others. */
const isId = (u: unknown): u is JsonRpc.Id => typeof u === "string" ? u.isWellFormed() : Number.isSafeInteger(u)

const isParams = (u: unknown): u is JsonRpc.Params => Predicate.isObject(u)

const readResponse = (id: JsonRpc.Id, result: unknown, error: unknown): Message => {
  if ((result === undefined) === (error === undefined)) {
    return invalid("A response has either a result or an error")
  }
  if (error === undefined) {
    return { _tag: "Response", id, answer: { result: result as Schema.Json } }
  }
  if (!Predicate.isObject(error) || !Number.isSafeInteger(error.code) || typeof error.message !== "string") {
    return invalid("The error of a response has a code and a message")
  }
  return { _tag: "Response", id, answer: { error: error as unknown as JsonRpc.ErrorObject } }
}
