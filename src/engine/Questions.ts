/**
 * Questions to the client: durable facts of the call that asks.
 *
 * A question has a name, a wire request under a deterministic id, a deadline
 * and one answer, all of them on disk. So a re-run asks nothing new, and an
 * answer may come before or after a restart.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Frame from "./internal/Frame.ts"
import { ask as askInFrame } from "./internal/question.ts"
import type * as Wire from "./Wire.ts"

/**
 * What became of a question.
 *
 * - `TimedOut`: its deadline passed first; the client is told by `notifications/cancelled`.
 * - `Unsupported`: this client, version or request cannot be asked (S-E1, S-A1, S-O1, S-B3), or there is no durable call to ask from.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | Wire.Reply
  | { readonly _tag: "TimedOut" }
  | { readonly _tag: "Unsupported" }

/**
 * @category models
 * @since 0.1.0
 */
export interface AskOptions {
  /** Default, and at most, 24 hours. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Asks the client of the call that runs on this fiber, and waits for the
 * answer. `name` follows the rules of step names: the second question of one
 * name is numbered.
 *
 * @category combinators
 * @since 0.1.0
 */
export const ask = (name: string, question: Wire.Question, options?: AskOptions): Effect.Effect<Outcome> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined
      ? Effect.succeed<Outcome>({ _tag: "Unsupported" })
      : askInFrame(frame, fiber, name, () => question, options)
  })
