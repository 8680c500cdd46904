/**
 * What the engine needs to know of the wire: the form that a notification or a
 * question has in a version, and the meaning of the answer.
 *
 * Declared here, provided by `protocol`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as JsonRpc from "../session/JsonRpc.ts"
import type { Request } from "./Dispatch.ts"

/**
 * @category models
 * @since 0.1.0
 */
export type Notification =
  | {
    readonly _tag: "Progress"
    readonly token: string | number
    readonly progress: number
    readonly total?: number | undefined
    readonly message?: string | undefined
    /** MCP `_meta` of the notification. */
    readonly meta?: JsonRpc.Params | undefined
  }
  | {
    readonly _tag: "Log"
    readonly level: LogLevel
    readonly logger?: string | undefined
    readonly data: Schema.Json
    /** MCP `_meta` of the notification. */
    readonly meta?: JsonRpc.Params | undefined
  }
  | { readonly _tag: "Cancelled"; readonly requestId: JsonRpc.Id; readonly reason?: string | undefined }
  | { readonly _tag: "ElicitationComplete"; readonly elicitationId: string }

/**
 * The syslog levels of MCP, least severe first.
 *
 * @category models
 * @since 0.1.0
 */
export type LogLevel = "debug" | "info" | "notice" | "warning" | "error" | "critical" | "alert" | "emergency"

/**
 * A request to the client, in the newest version's canonical form.
 *
 * @category models
 * @since 0.1.0
 */
export type Question =
  | { readonly _tag: "Elicit"; readonly message: string; readonly requestedSchema: Schema.Json }
  | { readonly _tag: "ElicitUrl"; readonly message: string; readonly url: string; readonly elicitationId: string }
  | { readonly _tag: "Sample"; readonly params: JsonRpc.Params }
  | { readonly _tag: "Roots" }

/**
 * What an answer means, before any schema of the user's is applied.
 *
 * @category models
 * @since 0.1.0
 */
export type Reply =
  /** `result` in the canonical form: for `Elicit` `{ action, content? }`, for `Sample` a CreateMessageResult, for `Roots` a ListRootsResult. */
  | { readonly _tag: "Result"; readonly result: Schema.Json }
  /** The client answered with a JSON-RPC error (S-A3). */
  | { readonly _tag: "Error"; readonly error: JsonRpc.ErrorObject }
  /** The result does not have the shape that its method demands. */
  | { readonly _tag: "Malformed" }

/**
 * @category services
 * @since 0.1.0
 */
export class Wire extends Context.Service<Wire, {
  /** JSON text of the notification, or `undefined` where the version has none. */
  readonly notification: (version: string, notification: Notification) => Effect.Effect<string | undefined>
  /**
   * JSON text of the request under `wireId`, or `undefined` where the version
   * or the client's capabilities do not allow it (S-E1, S-A1, S-O1). Dies of a
   * question that is wrong in itself (S-A2).
   */
  readonly question: (request: Request, wireId: string, question: Question) => Effect.Effect<string | undefined>
  /** Reads the client's answer to a question. */
  readonly reply: (request: Request, question: Question, answer: JsonRpc.Answer) => Effect.Effect<Reply>
}>()("effect-durable-mcp/engine/Wire") {}
