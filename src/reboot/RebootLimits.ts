/**
 * What a store on Reboot lets wait and remembers. Each is a `Context.Reference`,
 * read when the store is built; replace one with
 * `Layer.succeed(RebootLimits.StatesInMemory, 128 * 1024 * 1024)`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/**
 * How long events that were only submitted wait for a commit of the same call to
 * travel with, since each write of Reboot costs some milliseconds. Default 5 ms.
 *
 * @category configuration
 * @since 0.1.0
 */
export const SubmitDelay: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/reboot/SubmitDelay",
  { defaultValue: () => "5 millis" }
)

/**
 * Calls, sessions and long values that the store remembers, in UTF-16 units;
 * what was not used for longest goes first, and is read from Reboot again.
 * Default 32 MiB.
 *
 * @category configuration
 * @since 0.1.0
 */
export const StatesInMemory: Context.Reference<number> = Context.Reference("effect-durable-mcp/reboot/StatesInMemory", {
  defaultValue: () => 32 * 1024 * 1024
})

/**
 * How often a store that shares its calls with other processes looks at what is
 * followed, though nobody told it of a change. Default 2 s.
 *
 * @category configuration
 * @since 0.1.0
 */
export const PollInterval: Context.Reference<Duration.Input> = Context.Reference<Duration.Input>(
  "effect-durable-mcp/reboot/PollInterval",
  { defaultValue: () => "2 seconds" }
)
