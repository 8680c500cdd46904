/**
 * @since 0.1.0
 */
export * as Durable from "./Durable.ts"

/**
 * @since 0.1.0
 */
export * as DurableMcp from "./DurableMcp.ts"

/**
 * @since 0.1.0
 */
export * as Engine from "./engine/Engine.ts"

/**
 * @since 0.1.0
 */
export * as Executions from "./engine/Executions.ts"

/**
 * @since 0.1.0
 */
export * as Ids from "./session/Ids.ts"

/**
 * @since 0.1.0
 */
export * as Limits from "./Limits.ts"

/**
 * @since 0.1.0
 */
export * as MemoryStore from "./store/MemoryStore.ts"

/**
 * @since 0.1.0
 */
export * as Shutdown from "./transport/Shutdown.ts"

/**
 * @since 0.1.0
 */
export * as SqliteStore from "./store/SqliteStore.ts"

/**
 * @since 0.1.0
 */
export * as Store from "./store/Store.ts"

/**
 * @since 0.1.0
 */
export * as StoreError from "./store/StoreError.ts"
