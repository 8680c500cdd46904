/**
 * JSON-RPC 2.0 messages as MCP uses them: no `null` ids, an error whose request
 * is unknown has no id (mcp-requirements 1.4).
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"

/**
 * A request id: `1` and `"1"` are two ids (S-P10).
 *
 * @category models
 * @since 0.1.0
 */
export type Id = string | number

/**
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly jsonrpc: "2.0"
  readonly id: Id
  readonly method: string
  readonly params?: Params | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Notification {
  readonly jsonrpc: "2.0"
  readonly method: string
  readonly params?: Params | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export type Params = Readonly<Record<string, Schema.Json>>

/**
 * The error member of a response.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorObject {
  readonly code: number
  readonly message: string
  readonly data?: Schema.Json | undefined
}

/**
 * What a request ends with: the body of a response without its id.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer =
  | { readonly result: Schema.Json }
  | { readonly error: ErrorObject }

/**
 * A response by the peer to one of our requests.
 *
 * @category models
 * @since 0.1.0
 */
export type Response = { readonly jsonrpc: "2.0"; readonly id: Id } & Answer

/**
 * @category models
 * @since 0.1.0
 */
export type Message = Request | Notification | Response

/**
 * @category constants
 * @since 0.1.0
 */
export const ErrorCode = {
  ParseError: -32700,
  InvalidRequest: -32600,
  MethodNotFound: -32601,
  InvalidParams: -32602,
  InternalError: -32603
} as const

/**
 * The text of a response: one line, ready for an event or a body (S-R11).
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeResponse = (id: Id, answer: Answer): string => JSON.stringify({ jsonrpc: "2.0", id, ...answer })

/**
 * The text of an error that answers no known request: it has no id.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeError = (error: ErrorObject, id?: Id): string =>
  JSON.stringify(id === undefined ? { jsonrpc: "2.0", error } : { jsonrpc: "2.0", id, error })
