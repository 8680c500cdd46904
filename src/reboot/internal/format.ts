/**
 * The format of the states: which shapes their texts have. A store that finds one
 * that it does not know leaves everything as it is.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { StoreError } from "../../store/StoreError.ts"
import type { Application } from "./Application.ts"
import * as stateId from "./stateId.ts"

/** Formats so far: 1. A new one comes with code that reads those before. */
const newest = 1

/** The chunk that says it. Keys and values have other names (`routes.ts`, `values.ts`). */
const chunk = stateId.make("format")

/**
 * Finds out whether this version can use the states, and says so in them where
 * they are new: one read, and one write in the life of an application.
 *
 * @internal
 */
export const check: (application: Application) => Effect.Effect<void, StoreError> = Effect.fnUntraced(
  function*(application: Application) {
    const { value, version } = yield* application.read("Chunk", chunk)
    if (version === 0) {
      yield* application.write("Chunk", chunk, { value: String(newest) })
    } else if (Number(value) !== newest) {
      return yield* new StoreError({
        reason: "NewerFormat",
        message: `The Reboot application has states of format ${value}, and this version of effect-durable-mcp knows `
          + `format ${newest}. They were left as they are: run the newer version, or set another state directory.`
      })
    }
  }
)
