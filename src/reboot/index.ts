/**
 * @since 0.1.0
 */
export * as RebootApplication from "./RebootApplication.ts"

/**
 * @since 0.1.0
 */
export * as RebootLimits from "./RebootLimits.ts"

/**
 * @since 0.1.0
 */
export * as RebootStore from "./RebootStore.ts"
