/**
 * What operators see of the executions of a store, and what they can do.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import { type ExecutionQuery, type ExecutionRecord, type ExecutionSummary, Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"

/**
 * One thing that happened to an execution.
 *
 * - `Step`: a durable operation was recorded, under its path; `kind` says which.
 * - `Signal`: something came from outside: an answer, a timer, a child's end.
 *
 * @category models
 * @since 0.1.0
 */
export type TimelineEntry =
  | { readonly _tag: "Started"; readonly at: number }
  | {
    readonly _tag: "Step"
    readonly at: number
    readonly path: string
    readonly kind: string
    readonly version: string
    /** JSON text of how it ended. */
    readonly exit: string
  }
  | { readonly _tag: "Signal"; readonly at: number; readonly name: string; readonly exit: string }
  | { readonly _tag: "Completed"; readonly at: number }

/**
 * @category models
 * @since 0.1.0
 */
export interface Details {
  readonly id: string
  readonly workflow: string
  readonly state: ExecutionSummary["state"]
  /** Why it is parked, where there is more to say than that it waits. JSON text. */
  readonly reason: string | undefined
  readonly cancel: ExecutionRecord["cancel"]
  /** Recoveries since it last made progress. */
  readonly recoveries: number
  /** The timers that have not fired, by name: milliseconds since the epoch. */
  readonly timers: ReadonlyMap<string, number>
  /** JSON text; `""` where the store has dropped it, with the steps of the timeline, from an execution that is complete. */
  readonly payload: string
  /** JSON text; see `ToolCall.Result` for calls. */
  readonly result: string | undefined
  /** In the order of time. */
  readonly timeline: ReadonlyArray<TimelineEntry>
}

/**
 * @category services
 * @since 0.1.0
 */
export class Executions extends Context.Service<Executions, {
  /** In the order of creation. */
  readonly list: (query?: ExecutionQuery) => Stream.Stream<ExecutionSummary, StoreError>
  /** `None` for one that is unknown or forgotten. */
  readonly get: (id: string) => Effect.Effect<Option.Option<Details>, StoreError>
  /**
   * Ends the execution as cancelled: what it compensates, it compensates. False
   * where it is unknown or has its result.
   */
  readonly cancel: (id: string) => Effect.Effect<boolean, StoreError>
  /**
   * Lets a parked or stuck execution run again, after a fix. False where there
   * is nothing to retry.
   */
  readonly retry: (id: string) => Effect.Effect<boolean, StoreError>
}>()("effect-durable-mcp/engine/Executions") {}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Executions, never, Store> = Layer.effect(Executions)(
  Effect.map(Store, (store) =>
    Executions.of({
      list: (query = {}) => store.list(query),
      get: (id) => Effect.map(store.execution(id), Option.map(details)),
      cancel: (id) =>
        Effect.map(
          store.commit([{ _tag: "RequestCancel", id, mode: "now" }]),
          ([outcome]) => outcome?._tag === "Made"
        ),
      retry: (id) =>
        Effect.map(
          store.commit([{ _tag: "Resume", id }]),
          ([outcome]) => outcome?._tag === "Made" && outcome.fresh
        )
    }))
)

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const details = (record: ExecutionRecord): Details => {
  const { cancel, completedAt, createdAt, id, parked, payload, recoveries, result, signals, steps, timers, workflow } =
    record
  const timeline: Array<TimelineEntry> = [
    ...steps.map(({ exit, kind, name, recordedAt, version }): TimelineEntry => ({
      _tag: "Step",
      at: recordedAt,
      path: name,
      kind,
      version,
      exit
    })),
    ...signals.map(({ exit, name, recordedAt }): TimelineEntry => ({ _tag: "Signal", at: recordedAt, name, exit }))
  ].sort((a, b) => a.at - b.at)
  timeline.unshift({ _tag: "Started", at: createdAt })
  if (completedAt !== undefined) {
    timeline.push({ _tag: "Completed", at: completedAt })
  }
  return {
    id,
    workflow,
    state: result !== undefined ? "completed" : parked?.state ?? "running",
    reason: parked?.reason,
    cancel,
    recoveries,
    timers,
    payload,
    result,
    timeline
  }
}
