/**
 * What can go wrong at the store, each with what to do about it.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

const TypeId = "~effect-durable-mcp/store/StoreError"

/**
 * - `DiskFull`: no room; nothing acknowledged is lost. Free space and go on.
 * - `ReadOnly`: the file or its folder cannot be written.
 * - `NotADatabase`: the file holds something else.
 * - `Corrupt`: the file is damaged, for example truncated.
 * - `NewerFormat`: a newer version of this package wrote the file.
 * - `InUse`: another process holds the file.
 * - `PayloadTooLarge`: a value exceeds `maxPayloadBytes`.
 * - `InvalidText`: a key, id or name holds what the store cannot keep (NUL, lone surrogates, empty, too long).
 * - `Fenced`: this process no longer owns the store, or its disk did not confirm a write; nothing can be written.
 * - `Io`: anything else that the backend reports.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Literals([
  "DiskFull",
  "ReadOnly",
  "NotADatabase",
  "Corrupt",
  "NewerFormat",
  "InUse",
  "PayloadTooLarge",
  "InvalidText",
  "Fenced",
  "Io"
])

/**
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The one error of a store. `message` names the file, where there is one, and
 * says what to do.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreError extends Schema.TaggedError<StoreError>("effect-durable-mcp/store/StoreError")("StoreError", {
  reason: Reason,
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  /**
   * @since 0.1.0
   */
  readonly [TypeId]: typeof TypeId = TypeId

  /**
   * @since 0.1.0
   */
  static is(u: unknown): u is StoreError {
    return Predicate.hasProperty(u, TypeId)
  }

  /**
   * Whether the fault is in this one write and not in the store.
   *
   * @since 0.1.0
   */
  get isInvalidWrite(): boolean {
    return this.reason === "PayloadTooLarge" || this.reason === "InvalidText"
  }
}
