/**
 * A limit on everything: how much a server takes, keeps and waits for. Each is
 * a `Context.Reference` with a default; replace one with
 * `Layer.succeed(Limits.IdleTimeout, "1 hour")`.
 *
 * @since 0.1.0
 */
export {
  /**
   * @since 0.1.0
   */
  StoredHeaders
} from "./protocol/SessionEra.ts"

/**
 * @since 0.1.0
 */
export * from "./engine/Limits.ts"

/**
 * @since 0.1.0
 */
export * from "./session/Limits.ts"

/**
 * @since 0.1.0
 */
export * from "./store/StoreLimits.ts"

/**
 * @since 0.1.0
 */
export * from "./transport/Limits.ts"
