/**
 * What stock workflow code sees of a run. Like `WorkflowInstance.initial`, but
 * a suspension is an event here: stock code asks for one by setting a flag, and
 * whoever hosts the handler may not look at it for long (a `Toolkit` waits for
 * a fiber that will never answer).
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import type * as Workflow from "effect/workflow/Workflow"
import type { WorkflowInstance } from "effect/workflow/WorkflowEngine"

type Shape = WorkflowInstance["Service"]

/** @internal */
export class Instance implements Shape {
  readonly executionId: string
  readonly workflow: Workflow.Any
  readonly scope: Scope.Closeable = Scope.makeUnsafe()
  interrupted = false
  abandoned = false
  cause: Cause.Cause<never> | undefined = undefined
  failed = false
  readonly awaitedDeferreds: Map<string, number> = new Map()
  readonly completedDeferreds: Set<string> = new Set()
  readonly activityState: Shape["activityState"] = { count: 0, latch: Latch.makeUnsafe() }
  #suspended = false
  readonly #onSuspend: () => void

  constructor(executionId: string, workflow: Workflow.Any, onSuspend: () => void) {
    this.executionId = executionId
    this.workflow = workflow
    this.#onSuspend = onSuspend
  }

  get suspended(): boolean {
    return this.#suspended
  }

  set suspended(suspended: boolean) {
    this.#suspended = suspended
    if (suspended) {
      this.#onSuspend()
    }
  }
}
