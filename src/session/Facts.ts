/**
 * Names of the facts of a session (`SetSession`). Values are JSON text.
 *
 * Facts are written through `Sessions.update`, so that what `Sessions` holds in
 * memory is what is on disk; `roots` alone is the engine's, which reads it from
 * disk too.
 *
 * @since 0.1.0
 */

/**
 * `true` once `notifications/initialized` has arrived (S-L5).
 *
 * @category constants
 * @since 0.1.0
 */
export const initialized = "initialized"

/**
 * The level of `logging/setLevel` (S-LG2); absent until the client sets one.
 *
 * @category constants
 * @since 0.1.0
 */
export const logLevel = "logLevel"

/**
 * How often the client said that its roots changed (S-O1); absent means 0.
 *
 * @category constants
 * @since 0.1.0
 */
export const rootsGeneration = "rootsGeneration"

/**
 * `{ generation, roots }`: what the client answered at that generation.
 *
 * @category constants
 * @since 0.1.0
 */
export const roots = "roots"

/**
 * Array of the URIs to which the session is subscribed (S-RS4).
 *
 * @category constants
 * @since 0.1.0
 */
export const subscriptions = "subscriptions"

/**
 * Digest by list name (`tools`, `resources`, `prompts`) of what the session was
 * last told about; absent means: as at `initialize` (S-T9).
 *
 * @category constants
 * @since 0.1.0
 */
export const lists = "lists"

/**
 * When the session was last used, in ms since the epoch, to a quarter of the
 * idle timeout.
 *
 * @category constants
 * @since 0.1.0
 */
export const touched = "touched"

/**
 * Number of standalone streams that the session has had.
 *
 * @category constants
 * @since 0.1.0
 */
export const streams = "streams"

/**
 * `{ from, to, stream }`: the newest move of queued messages to a standalone
 * stream.
 *
 * @category constants
 * @since 0.1.0
 */
export const moved = "moved"
