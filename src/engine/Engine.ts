/**
 * Durable execution over a `Store`: Effect's `WorkflowEngine`, and the calls of
 * MCP clients as one of its workflows.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { Ids } from "../session/Ids.ts"
import { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"
import { Calls } from "./Calls.ts"
import { Dispatch } from "./Dispatch.ts"
import { make as makeCalls } from "./internal/calls.ts"
import { limits, Runs, settings } from "./internal/Runs.ts"
import { make as makeWorkflowEngine } from "./internal/workflowEngine.ts"
import * as ToolCall from "./ToolCall.ts"
import { Wire } from "./Wire.ts"

/**
 * @category services
 * @since 0.1.0
 */
export class Engine extends Context.Service<Engine, {
  /**
   * Runs what the store holds, and what comes: once, when every workflow is
   * registered. `drain`s when the scope closes.
   */
  readonly start: Effect.Effect<void, StoreError, Scope.Scope>
  /**
   * Orderly shutdown: admits no call, starts no step, lets running steps finish
   * up to `Limits.DrainTimeout`, and leaves the rest to the next process.
   */
  readonly drain: Effect.Effect<void>
  /** @internal */
  readonly runs: Runs
}>()("effect-durable-mcp/engine/Engine") {}

/**
 * The engine without calls of clients: users' own workflows.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWorkflows: Layer.Layer<Engine | WorkflowEngine.WorkflowEngine, never, Store | Ids> = Layer
  .effectContext(Effect.gen(function*() {
    const runs = new Runs({
      store: yield* Store,
      ids: yield* Ids,
      clock: yield* Clock.Clock,
      engine: makeWorkflowEngine,
      limits: yield* limits,
      settings: yield* settings,
      // The clock, loggers and their like; a body's services are those that its registration captured.
      context: Context.omit(Store, Ids, Scope.Scope, Tracer.ParentSpan)(yield* Effect.context<never>())
    })
    return Context.make(WorkflowEngine.WorkflowEngine, runs.engine).pipe(
      Context.add(Engine, { start: runs.start, drain: runs.drain, runs })
    )
  }))

/**
 * `Calls` on the engine.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCalls: Layer.Layer<Calls, never, Engine | Dispatch | Wire> = Layer.effect(Calls)(
  Effect.gen(function*() {
    const { runs } = yield* Engine
    const dispatch = yield* Dispatch
    const wire = yield* Wire
    yield* runs.register({
      name: ToolCall.workflow._tag,
      load: (record) =>
        Effect.sync(() => {
          const { request, startedAt } = ToolCall.decodePayload(record.payload)
          return { program: ToolCall.program(dispatch, request), startedAt, peer: { request, wire } }
        })
    })
    return makeCalls({ runs, dispatch, wire })
  })
)

/**
 * The engine with the calls of clients.
 *
 * **Gotchas**
 *
 * Nothing that is on disk runs before `Driver.layer`, which is built last.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<
  Engine | WorkflowEngine.WorkflowEngine | Calls,
  never,
  Store | Ids | Dispatch | Wire
> = Layer.provideMerge(layerCalls, layerWorkflows)
