/**
 * The outside world of a run: it outlives the processes, and counts what they
 * do to it. Fakes of a server's services are made over it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * @category services
 * @since 0.1.0
 */
export class World extends Context.Service<World, {
  /**
   * Something is done outside: `charge`. Under a `key` it takes place once, as
   * with a service that knows idempotency keys; without one each time. Each name
   * has keys of its own. Returns how often it was attempted under this key.
   */
  readonly effect: (name: string, options?: { readonly key?: string | undefined }) => Effect.Effect<number>
}>()("effect-durable-mcp/testing/World") {}
