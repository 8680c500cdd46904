/**
 * The order that MCP demands of tools in a sampling request.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import type * as JsonRpc from "../../session/JsonRpc.ts"

/**
 * What is wrong with the messages, if anything (S-A2): results of tools are
 * alone in their message, and a use of tools is followed by all its results.
 *
 * @internal
 */
export const flawOf = ({ messages }: JsonRpc.Params): string | undefined => {
  if (!Array.isArray(messages)) return undefined
  let open: ReadonlyArray<unknown> = []
  for (const message of messages) {
    const blocks = blocksOf(message)
    const results = blocks.filter(({ type }) => type === "tool_result").map(({ toolUseId }) => toolUseId)
    if (results.length > 0 && results.length < blocks.length) {
      return "A sampling message with a tool_result holds nothing but tool_results"
    }
    const missing = open.find((id) => !results.includes(id))
    if (missing !== undefined) return unanswered(missing)
    open = blocks.filter(({ type }) => type === "tool_use").map(({ id }) => id)
  }
  return open.length === 0 ? undefined : unanswered(open[0])
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const unanswered = (id: unknown): string => `The tool_use ${String(id)} of a sampling message has no result in the next`

const blocksOf = (message: unknown): ReadonlyArray<{ readonly [name: string]: unknown }> =>
  Predicate.isObject(message) ? [message.content].flat().filter(Predicate.isObject) : []
