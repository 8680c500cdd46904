/**
 * Refusals of the session era, each with its status and row.
 *
 * @internal
 */
import * as JsonRpc from "../../session/JsonRpc.ts"
import type { Reply } from "../Reply.ts"

type Refused = Extract<Reply, { readonly _tag: "Refused" }>

const refuse = (status: number, message: string, id?: JsonRpc.Id, code?: number): Refused => ({
  _tag: "Refused",
  status,
  id,
  error: { code: code ?? JsonRpc.ErrorCode.InvalidRequest, message }
})

/** S-S4. Not a code of the stateless era, so that its clients fall back to `initialize` (1.2). */
export const sessionRequired = (id?: JsonRpc.Id): Refused =>
  refuse(400, "Mcp-Session-Id is missing: start with initialize", id)

/** S-S5, S-S6, S-S9: ended, unknown, somebody else's. */
export const sessionNotFound = (id?: JsonRpc.Id): Refused => refuse(404, "Session not found", id)

/** S-V1. */
export const unsupportedVersion = (supported: ReadonlyArray<string>, id?: JsonRpc.Id): Refused =>
  refuse(400, `Unsupported MCP-Protocol-Version; supported: ${supported.join(", ")}`, id)

/** S-L9. */
export const alreadyInitialized = (id: JsonRpc.Id): Refused => refuse(400, "The session is initialized already", id)

/** S-P4, S-B4. */
export const invalidBatch = (message: string): Refused => refuse(400, message)

/** S-P6. */
export const unknownResponse: Refused = refuse(400, "No open request has this id")

/** S-R7: one answer for malformed, unknown, foreign, trimmed and future ids. */
export const unknownEvent: Refused = refuse(400, "Unknown Last-Event-ID")

/** A limit; the same request can succeed later. */
export const tooMany = (message: string, id?: JsonRpc.Id): Refused => ({
  ...refuse(429, message, id, JsonRpc.ErrorCode.InternalError),
  headers: { "retry-after": "1" }
})

/** The server shuts down; its successor will answer. */
export const stopping = (id?: JsonRpc.Id): Refused => ({
  ...refuse(503, "The server is shutting down", id, JsonRpc.ErrorCode.InternalError),
  headers: { "retry-after": "1" }
})

/** A request that cannot be carried out as it is (S-P10). */
export const invalidRequest = (message: string, id?: JsonRpc.Id): Refused => refuse(400, message, id)

/** What was no message; a request whose params are no object is answered as any failed request (S-P11). */
export const malformed = (error: JsonRpc.ErrorObject, id?: JsonRpc.Id): Refused => ({
  _tag: "Refused",
  status: error.code === JsonRpc.ErrorCode.InvalidParams ? 200 : 400,
  id,
  error
})
