/**
 * JSON that needs no codec to be sure of.
 *
 * @internal
 */
import type * as Schema from "effect/Schema"

/** JSON beyond doubt: no class instances, nothing undefined, no `NaN`. */
export const isPlainJson = (value: unknown): value is Schema.Json => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true
    case "number":
      return Number.isFinite(value)
    case "object": {
      if (value === null) {
        return true
      }
      if (Array.isArray(value)) {
        return value.every(isPlainJson)
      }
      const prototype: unknown = Object.getPrototypeOf(value)
      return (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlainJson)
    }
    default:
      return false
  }
}
