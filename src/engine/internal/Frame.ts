/**
 * Where a fiber is in a run: at the body, or inside a step.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Questions from "../Questions.ts"
import type * as Wire from "../Wire.ts"

/** @internal */
export interface Frame {
  readonly ask: (
    name: string,
    question: Wire.Question,
    options?: Questions.AskOptions
  ) => Effect.Effect<Questions.Outcome>
  readonly emit: (notification: Wire.Notification) => Effect.Effect<void>
  readonly reportFailure: (cause: Cause.Cause<unknown>) => void
}

/** The frame of the calling fiber; `undefined` outside a durable run. @internal */
export const CurrentFrame = Context.Reference<Frame | undefined>("effect-durable-mcp/engine/CurrentFrame", {
  defaultValue: () => undefined
})

/** @internal */
export const fromFiber = (fiber: Fiber.Fiber<unknown, unknown>): Frame | undefined => fiber.getRef(CurrentFrame)
