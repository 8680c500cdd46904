/**
 * Runs what the store holds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Engine } from "./Engine.ts"

/**
 * Built last, when every workflow is registered: from then on what was cut off,
 * stopped, signalled or due runs. Its end is the orderly shutdown of the engine
 * (`Limits.DrainTimeout`).
 *
 * A store that fails at this point is a defect.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Engine> = Layer.effectDiscard(
  Effect.flatMap(Engine, (engine) => Effect.orDie(engine.start))
)
