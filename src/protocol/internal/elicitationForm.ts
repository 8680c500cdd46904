/**
 * Forms for clients of 2025-06-18, the first version with elicitation
 * (mcp-requirements 1.5).
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"

type JsonObject = Readonly<Record<string, Schema.Json>>

/**
 * Titles of choices become `enumNames`, and only booleans keep a default. Lists
 * of choices have no form in 2025-06-18: they stay, and the adapter refuses them.
 *
 * @internal
 */
export const toForm0618 = (form: Schema.Json): Schema.Json => {
  if (!isJsonObject(form) || !isJsonObject(form.properties)) {
    return form
  }
  const { $schema: _, ...rest } = form
  return {
    ...rest,
    properties: Object.fromEntries(Object.entries(form.properties).map(([name, field]) => [name, toField0618(field)]))
  }
}

const toField0618 = (field: Schema.Json): Schema.Json => {
  if (!isJsonObject(field) || field.type === "boolean") {
    return field
  }
  const { default: _, oneOf, ...rest } = field
  if (!Array.isArray(oneOf)) {
    return rest
  }
  const choices = oneOf.filter(isJsonObject)
  return {
    ...rest,
    enum: choices.map((choice) => choice.const ?? null),
    enumNames: choices.map((choice) => choice.title ?? choice.const ?? null)
  }
}

const isJsonObject = (value: Schema.Json | undefined): value is JsonObject => Predicate.isObject(value)
