/**
 * How steps' values, failures and attempts look on disk.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { StepInterrupted, StepResultUnstorable, StepTimedOut } from "../StepError.ts"
import { decodeDefect } from "./stored.ts"

/** What an attempt of a step came to. @internal */
export type Outcome =
  | { readonly _tag: "Success"; readonly value?: unknown }
  | { readonly _tag: "Failure"; readonly error: unknown }
  | { readonly _tag: "Die"; readonly defect: unknown }
  | { readonly _tag: "TimedOut" }
  | { readonly _tag: "Interrupted" }
  | { readonly _tag: "Unstorable"; readonly why: string }

/** An attempt that failed and is followed by another one. @internal */
export interface FailedAttempt {
  readonly outcome: Outcome
  /** When it failed, and when the next one is due: milliseconds since the epoch. */
  readonly at: number
  readonly due: number
}

/** @internal */
export type Codec = Schema.Codec<any, any, any, any>

/** Throws where the outcome is not JSON. @internal */
export const print = (outcome: Outcome | FailedAttempt): string => JSON.stringify(outcome)

/** @internal */
export const parse = (text: string): Outcome => JSON.parse(text) as Outcome

/** @internal */
export const parseAttempt = (text: string): FailedAttempt => JSON.parse(text) as FailedAttempt

/**
 * An outcome with a value in its stored form; `Unstorable` where it has none,
 * or one that does not lead back to a value.
 *
 * @internal
 */
export const encode = (
  value: unknown,
  schema: Codec | undefined,
  outcome: (encoded: unknown) => Outcome
): Effect.Effect<Outcome, never, any> =>
  schema === undefined
    ? Effect.sync(() => printable(outcome(value)))
    : Schema.encodeEffect(Schema.toCodecJson(schema))(value).pipe(
      Effect.tap((encoded) => decode(encoded, schema)),
      Effect.map((encoded) => printable(outcome(encoded))),
      Effect.catchCause((cause) => Effect.succeed<Outcome>({ _tag: "Unstorable", why: String(Cause.squash(cause)) }))
    )

const printable = (outcome: Outcome): Outcome => {
  try {
    print(outcome)
    return outcome
  } catch (error) {
    return { _tag: "Unstorable", why: String(error) }
  }
}

/** Fails where what was stored does not fit the schema. @internal */
export const decode = (value: unknown, schema: Codec): Effect.Effect<unknown, unknown, any> =>
  Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(value)

/** What an outcome means to the handler. @internal */
export const raise = (outcome: Exclude<Outcome, { _tag: "Success" | "Failure" }>, step: {
  readonly path: string
  readonly key: string
}): Effect.Effect<never, StepTimedOut | StepInterrupted> => {
  switch (outcome._tag) {
    case "Die":
      return Effect.die(decodeDefect(outcome.defect))
    case "TimedOut":
      return Effect.fail(new StepTimedOut({ step: step.path }))
    case "Interrupted":
      return Effect.fail(new StepInterrupted({ step: step.path, key: step.key }))
    case "Unstorable":
      return Effect.die(new StepResultUnstorable({ step: step.path, why: outcome.why }))
  }
}
