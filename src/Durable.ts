/**
 * What a handler may do durably. All of it works without a requirement in the
 * handler's type; outside a durable run (on a stock server, in a unit test) a
 * step is just its effect, and there is nobody to tell or to ask.
 *
 * After a crash the handler runs again from the top: finished steps return what
 * they stored, questions keep their answers, and nothing is told twice.
 *
 * @since 0.1.0
 */
import * as McpSchema from "effect/ai/McpSchema"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { disconnect as disconnectInFrame, emit, progressToken } from "./engine/internal/emission.ts"
import { formSchema } from "./engine/internal/form.ts"
import * as Frame from "./engine/internal/Frame.ts"
import * as Question from "./engine/internal/question.ts"
import { roots as rootsInFrame } from "./engine/internal/roots.ts"
import { sleep as sleepInFrame } from "./engine/internal/sleep.ts"
import { type Body, type Options, outside, step as stepInFrame } from "./engine/internal/step.ts"
import type * as Questions from "./engine/Questions.ts"
import { ClientRequestError, type StepInterrupted, type StepTimedOut } from "./engine/StepError.ts"
import type * as JsonRpc from "./session/JsonRpc.ts"

export {
  /**
   * `sample` or `roots` got no result.
   *
   * @category errors
   * @since 0.1.0
   */
  ClientRequestError,
  /**
   * A replay contradicts what was recorded.
   *
   * @category errors
   * @since 0.1.0
   */
  NonDeterminism,
  /**
   * An `atMostOnce` step was cut off.
   *
   * @category errors
   * @since 0.1.0
   */
  StepInterrupted,
  /**
   * Defect: an execution has too many steps.
   *
   * @category errors
   * @since 0.1.0
   */
  StepLimitExceeded,
  /**
   * Defect: the result of a step cannot be stored.
   *
   * @category errors
   * @since 0.1.0
   */
  StepResultUnstorable,
  /**
   * An attempt of a step took too long.
   *
   * @category errors
   * @since 0.1.0
   */
  StepTimedOut
} from "./engine/StepError.ts"

// -----------------------------------------------------------------------------
// Steps
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface StepContext {
  /**
   * Opaque, `[A-Za-z0-9_-]`, equal in every attempt and run: the idempotency key
   * for the outside service.
   */
  readonly key: string
  /** From 1, counted on disk. */
  readonly attempt: number
}

/**
 * A value that JSON gives back unchanged; anything else (Date, Option, Map,
 * bigint) needs a schema.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Plain<A> = unknown extends A ? A
  : A extends null | undefined | void | string | number | boolean ? A
  : A extends bigint | symbol | ((...args: any) => any) ? never
  : A extends object ? { readonly [K in keyof A]: Plain<A[K]> }
  : never

/**
 * A number of retries (then exponential from 100 ms, factor 2, at most 1
 * minute, jittered), a Schedule (which sees the stored attempts again after a
 * restart), or both.
 *
 * @category models
 * @since 0.1.0
 */
export type Retry<E> = number | Schedule.Schedule<any, E> | {
  readonly times?: number
  readonly schedule?: Schedule.Schedule<any, E>
  /** Whether a typed failure is retried at all. Timeouts are. */
  readonly while?: (error: E) => boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface StepOptions<A, E, Once extends boolean, T extends Duration.Input | undefined, R2> {
  /** How the value is stored. Default: as JSON. The step always returns decode(encode(value)), also the first time. */
  readonly success?: Schema.Codec<A, any, any, any> | undefined
  /** How a typed failure is stored; required when there is one. */
  readonly error?: Schema.Codec<E, any, any, any> | undefined
  /** Default: none; the first failure is the recorded result. Defects are never retried. */
  readonly retry?: Retry<E> | undefined
  /** Of one attempt. Default: none. */
  readonly timeout?: T
  /**
   * Default false: at least once, under one key. True: no attempt runs twice,
   * and only a recorded typed failure is retried; `StepInterrupted` when a crash
   * left the outcome unknown.
   */
  readonly atMostOnce?: Once
  /**
   * Runs, durably and last first, when the call later fails or is cancelled: a
   * step of its own, with a `key` of its own. Not for steps inside steps.
   */
  readonly compensate?:
    | ((value: A, cause: Cause.Cause<unknown>, step: StepContext) => Effect.Effect<void, never, R2>)
    | undefined
}

/**
 * @category utility types
 * @since 0.1.0
 */
export type NeedSchemas<A, E> =
  & ([A] extends [Plain<A>] ? unknown : { readonly success: Schema.Codec<A, any, any, any> })
  & (unknown extends E ? unknown : [E] extends [never] ? unknown : { readonly error: Schema.Codec<E, any, any, any> })

/**
 * @category utility types
 * @since 0.1.0
 */
export type StepFailure<Once, T> =
  | (true extends Once ? StepInterrupted : never)
  | ([T] extends [undefined] ? never : StepTimedOut)

/**
 * Runs an effect, stores its exit, and returns that exit ever after.
 *
 * **Details**
 *
 * A step that was cut off by a crash runs again under the same `key`; one that
 * finished never does, whether it succeeded, failed or died. The same name again
 * is numbered by order; names inside a step are its own; steps that run at the
 * same time need names of their own.
 *
 * **Gotchas**
 *
 * A result that cannot be stored is the defect `StepResultUnstorable`, also
 * recorded: the effect has happened.
 *
 * @category combinators
 * @since 0.1.0
 */
export const step: {
  <A, R>(
    name: string,
    effect: Effect.Effect<A & Plain<A>, never, R> | ((step: StepContext) => Effect.Effect<A & Plain<A>, never, R>)
  ): Effect.Effect<A, never, R>
  <A, E, R, const Once extends boolean = false, const T extends Duration.Input | undefined = undefined, R2 = never>(
    name: string,
    effect: Effect.Effect<A, E, R> | ((step: StepContext) => Effect.Effect<A, E, R>),
    options: StepOptions<NoInfer<A>, NoInfer<E>, Once, T, R2> & NeedSchemas<NoInfer<A>, NoInfer<E>>
  ): Effect.Effect<A, E | StepFailure<Once, T>, R | R2>
} = (
  name: string,
  effect: Body,
  options?: Options
  // The types of its failures are those of the signatures above.
): Effect.Effect<any, never, any> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined ? outside(effect) : stepInFrame(frame, fiber, name, effect, options)
  }) as Effect.Effect<any, never, any>

/**
 * Waits until an absolute time that is fixed when it is first reached; the
 * process may be down meanwhile.
 *
 * @category combinators
 * @since 0.1.0
 */
export const sleep = (name: string, duration: Duration.Input): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined ? Effect.sleep(duration) : sleepInFrame(frame, fiber, name, duration)
  })

// -----------------------------------------------------------------------------
// Questions
// -----------------------------------------------------------------------------

/**
 * What became of a question to the user.
 *
 * - `TimedOut`: nobody answered before the deadline.
 * - `Unsupported`: this client cannot be asked.
 * - `Failed`: the client answered with an error, or with content that is not what the schema says. The first answer is final.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer<A> =
  | { readonly _tag: "Accepted"; readonly content: A }
  | { readonly _tag: "Declined" }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "TimedOut" }
  | { readonly _tag: "Unsupported" }
  | { readonly _tag: "Failed"; readonly reason: "ClientError" | "InvalidContent" }

/**
 * Asks the user by a form of flat fields. Never fails: every outcome is a tag.
 *
 * `timeout` default: as long as the call lives, 24 hours at most.
 *
 * @category combinators
 * @since 0.1.0
 */
export const elicit = <S extends Schema.ConstraintEncoder<Record<string, unknown>, unknown>>(name: string, options: {
  readonly message: string
  readonly schema: S
  readonly timeout?: Duration.Input | undefined
}): Effect.Effect<Answer<S["Type"]>, never, S["DecodingServices"]> =>
  Effect.suspend(() => {
    const { message, schema, timeout } = options
    const requestedSchema = formSchema(schema)
    return Effect.flatMap(
      ask(name, () => ({ _tag: "Elicit", message, requestedSchema }), { timeout }),
      (outcome) => answered(outcome, (content) => Schema.decodeUnknownEffect(schema)(content))
    )
  })

/**
 * Sends the user to a page, for a login or a payment: what must not go through
 * the client. Ends when `DurableMcp.completeElicitation` says so.
 *
 * `timeout` default: as long as the call lives, 24 hours at most.
 *
 * @category combinators
 * @since 0.1.0
 */
export const elicitUrl = (name: string, options: {
  readonly message: string
  /** `elicitationId` is unguessable and stays the same in every run. */
  readonly url: string | ((elicitationId: string) => string)
  readonly timeout?: Duration.Input | undefined
}): Effect.Effect<Answer<void>> => {
  const { message, timeout, url } = options
  return Effect.flatMap(
    ask(
      name,
      (elicitationId) => ({
        _tag: "ElicitUrl",
        message,
        elicitationId,
        url: typeof url === "string" ? url : url(elicitationId)
      }),
      { timeout, untilCompleted: true }
    ),
    (outcome) => answered(outcome, () => Effect.void)
  )
}

/**
 * Asks the client's model; request and result are MCP's own.
 *
 * `timeout` default: 10 minutes.
 *
 * @category combinators
 * @since 0.1.0
 */
export const sample = (
  name: string,
  request: Omit<typeof McpSchema.CreateMessage.payloadSchema.Type, "_meta"> & {
    readonly timeout?: Duration.Input | undefined
  }
): Effect.Effect<typeof McpSchema.CreateMessage.successSchema.Type, ClientRequestError> =>
  Effect.suspend(() => {
    const { timeout = "10 minutes", ...message } = request
    return Effect.orDie(encodeSample(message)).pipe(
      Effect.flatMap((params) => ask(name, () => ({ _tag: "Sample", params: params as JsonRpc.Params }), { timeout })),
      Effect.flatMap(requested),
      Effect.flatMap((result) => Effect.mapError(decodeSample(result), () => requestError("Invalid")))
    )
  })

/**
 * The client's roots: asked once per session and change of the list, and fixed
 * for the rest of this execution.
 *
 * @category combinators
 * @since 0.1.0
 */
export const roots: Effect.Effect<ReadonlyArray<McpSchema.Root>, ClientRequestError> = Effect.withFiber((fiber) => {
  const frame = Frame.fromFiber(fiber)
  return frame === undefined ? Effect.fail(requestError("Unsupported")) : rootsInFrame(frame, fiber).pipe(
    Effect.flatMap(requested),
    Effect.flatMap((result) =>
      Effect.mapBoth(decodeRoots(result), {
        onFailure: () => requestError("Invalid"),
        onSuccess: ({ roots }) => roots
      })
    )
  )
})

// -----------------------------------------------------------------------------
// Telling
// -----------------------------------------------------------------------------

/**
 * Reports progress, each value once and in order: a value that is not above the
 * last one is dropped, and so is all of it where the client gave no token.
 *
 * @category combinators
 * @since 0.1.0
 */
export const progress = (progress: {
  readonly progress: number
  readonly total?: number | undefined
  readonly message?: string | undefined
}): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    const token = frame?.run.peer === undefined ? undefined : progressToken(frame.run.peer)
    return frame === undefined || token === undefined
      ? Effect.void
      : emit(frame, fiber, { _tag: "Progress", token, ...progress })
  })

/**
 * Sends a log message to the client once. Default level `info`; below the level
 * that the client has set it is dropped. `Effect.log` goes to the server's own
 * logger, not here.
 *
 * @category combinators
 * @since 0.1.0
 */
export const log = (data: Schema.Json, options?: {
  readonly level?: McpSchema.LoggingLevel | undefined
  readonly logger?: string | undefined
}): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined
      ? Effect.void
      : emit(frame, fiber, { _tag: "Log", level: options?.level ?? "info", logger: options?.logger, data })
  })

/**
 * Ends the response that the client is reading; the call goes on, and the
 * client comes back for the rest after `retryAfter` (default 1 second; S-R4,
 * S-R5). Nothing for clients before 2025-11-25.
 *
 * @category combinators
 * @since 0.1.0
 */
export const disconnect = (options?: { readonly retryAfter?: Duration.Input | undefined }): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined
      ? Effect.void
      : disconnectInFrame(frame, Math.round(Duration.toMillis(options?.retryAfter ?? "1 second")))
  })

// -----------------------------------------------------------------------------
// Where am I
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Execution {
  readonly id: string
  /** False on a stock server and in unit tests. */
  readonly durable: boolean
  /** 1 in the run that began the execution, larger than 1 in every later one; the store counts no runs. */
  readonly run: number
  /** When the execution began, the same in every run; milliseconds since the epoch. */
  readonly startedAt: number
  readonly sessionId: Option.Option<string>
  readonly principal: Option.Option<string>
}

/**
 * This execution.
 *
 * @category accessors
 * @since 0.1.0
 */
export const execution: Effect.Effect<Execution> = Effect.withFiber((fiber) => {
  const run = Frame.fromFiber(fiber)?.run
  if (run === undefined) {
    return Effect.map(Clock.currentTimeMillis, (startedAt): Execution => ({
      id: "",
      durable: false,
      run: 1,
      startedAt,
      sessionId: Option.none(),
      principal: Option.none()
    }))
  }
  const profile = run.peer?.request.profile
  return Effect.succeed<Execution>({
    id: run.id,
    durable: true,
    run: run.number,
    startedAt: run.startedAt,
    sessionId: Option.fromUndefinedOr(profile?.session),
    principal: Option.fromUndefinedOr(profile?.principal)
  })
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const ask = (
  name: string,
  question: Parameters<typeof Question.ask>[3],
  options: Question.Options
): Effect.Effect<Questions.Outcome> =>
  Effect.withFiber((fiber) => {
    const frame = Frame.fromFiber(fiber)
    return frame === undefined
      ? Effect.succeed<Questions.Outcome>({ _tag: "Unsupported" })
      : Question.ask(frame, fiber, name, question, options)
  })

const requestError = (reason: ClientRequestError["reason"]): ClientRequestError => new ClientRequestError({ reason })

/** Of the user's answers. */
const answered = <A, R>(
  outcome: Questions.Outcome,
  decode: (content: unknown) => Effect.Effect<A, unknown, R>
): Effect.Effect<Answer<A>, never, R> => {
  const failed = (reason: "ClientError" | "InvalidContent") => Effect.succeed<Answer<A>>({ _tag: "Failed", reason })
  switch (outcome._tag) {
    case "TimedOut":
    case "Unsupported":
      return Effect.succeed(outcome)
    case "Error":
      return failed("ClientError")
    case "Malformed":
      return failed("InvalidContent")
    case "Result": {
      const { action, content } = outcome.result as { readonly action?: unknown; readonly content?: unknown }
      return action === "accept"
        ? Effect.matchEffect(decode(content), {
          onFailure: () => failed("InvalidContent"),
          onSuccess: (content) => Effect.succeed<Answer<A>>({ _tag: "Accepted", content })
        })
        : Effect.succeed({ _tag: action === "decline" ? "Declined" : "Cancelled" })
    }
  }
}

/** Of the client's own. */
const requested = (outcome: Questions.Outcome): Effect.Effect<Schema.Json, ClientRequestError> => {
  switch (outcome._tag) {
    case "TimedOut":
    case "Unsupported":
      return Effect.fail(requestError(outcome._tag))
    case "Error":
      return Effect.fail(requestError("Refused"))
    case "Malformed":
      return Effect.fail(requestError("Invalid"))
    case "Result":
      return Effect.succeed(outcome.result)
  }
}

const encodeSample = Schema.encodeUnknownEffect(Schema.toCodecJson(McpSchema.CreateMessage.payloadSchema))
const decodeSample = Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.CreateMessage.successSchema))
const decodeRoots = Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.ListRoots.successSchema))
