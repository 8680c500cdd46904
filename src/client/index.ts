/**
 * For the other end of the wire: what an MCP client needs so that a crash of
 * the server costs it nothing. Without dependencies, also for browsers.
 *
 * @since 0.1.0
 */
export { type RetryingFetch, retryingFetch, type RetryingFetchOptions } from "./RetryingFetch.ts"
