/**
 * What the registry's lists hold, as hashes.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type { Registry } from "./shapes.ts"

/**
 * One hash for each list that has a notification of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Digests {
  readonly tools: string
  /** Resources and resource templates. */
  readonly resources: string
  readonly prompts: string
}

/** Order is not content: registrations may come in any. */
const hash = (entries: ReadonlyArray<unknown>): string => {
  const lines = entries.map((entry) => JSON.stringify(entry))
  return createHash("sha256").update(lines.toSorted().join("\n")).digest("base64url").slice(0, 22)
}

/** @internal */
export const of = (registry: Registry): Effect.Effect<Digests> =>
  Effect.sync(() => ({
    tools: hash(registry.tools.map(({ tool }) => tool)),
    resources: hash([
      ...registry.resources.map(({ resource }) => resource),
      ...registry.resourceTemplates.map(({ template }) => template)
    ]),
    prompts: hash(registry.prompts.map(({ prompt }) => prompt))
  }))
