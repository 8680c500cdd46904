/**
 * The shortcut for what most tools return: text, and perhaps an object.
 *
 * The adapters' projection and the two schema passes around it cost more than
 * such a call itself. Tests hold the shortcut to the same results.
 *
 * @internal
 */
import type * as McpSchema from "effect/ai/McpSchema"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import { isPlainJson } from "./plainJson.ts"

/**
 * The wire form of a tool's result, or `undefined` for one that is not plain.
 * `structured`: whether the version has structured content (from 2025-06-18).
 *
 * @internal
 */
export const plainToolResult = (
  result: McpSchema.CallToolResult,
  structured: boolean
): Schema.Json | undefined => {
  const { content, isError, structuredContent } = result
  if (result._meta !== undefined || (isError !== undefined && typeof isError !== "boolean")) {
    return undefined
  }
  const blocks: Array<{ readonly type: "text"; readonly text: string }> = []
  for (const block of content) {
    if (
      block.type !== "text" || typeof block.text !== "string" || block.annotations !== undefined ||
      block._meta !== undefined
    ) {
      return undefined
    }
    blocks.push({ type: "text", text: block.text })
  }
  if (typeof structuredContent === "string" && mirrors(blocks, structuredContent)) {
    // No version shows a string as structured content, so the text need not quote it.
    blocks[0] = { type: "text", text: structuredContent }
  }
  const error = isError === undefined ? undefined : { isError }
  if (!structured || !Predicate.isReadonlyObject(structuredContent)) {
    return { content: blocks, ...error }
  }
  return isPlainJson(structuredContent) ? { content: blocks, structuredContent, ...error } : undefined
}

const mirrors = (blocks: ReadonlyArray<{ readonly text: string }>, text: string): boolean =>
  blocks.length === 1 && blocks[0]!.text === JSON.stringify(text)
