/**
 * Steps: run once, recorded, and never again.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import type { ArmTimer, StepRecord } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { StepTimedOut } from "../StepError.ts"
import type { Attempt, Probe } from "../StepProbe.ts"
import * as Codec from "./codec.ts"
import { Frame, runWithin } from "./Frame.ts"
import * as Replay from "./Replay.ts"
import * as Retry from "./retry.ts"
import type { Position, Run } from "./Run.ts"
import { encodeDefect } from "./stored.ts"

/** @internal */
export interface StepContext {
  readonly key: string
  readonly attempt: number
}

/** @internal */
export interface Options {
  readonly success?: Codec.Codec | undefined
  readonly error?: Codec.Codec | undefined
  readonly retry?: Retry.Retry | undefined
  readonly timeout?: Duration.Input | undefined
  readonly atMostOnce?: boolean | undefined
  readonly compensate?:
    | ((value: any, cause: Cause.Cause<unknown>, step: StepContext) => Effect.Effect<void, never, any>)
    | undefined
}

/** @internal */
export type Body = Effect.Effect<any, any, any> | ((step: StepContext) => Effect.Effect<any, any, any>)

interface Step {
  readonly run: Run
  readonly at: Position
  readonly key: string
  readonly body: Body
  readonly options: Options
  /** Of the caller, for compensations. */
  readonly context: Context.Context<never>
}

const none: Options = {}

/** @internal */
export const step = (
  frame: Frame,
  fiber: Fiber.Fiber<unknown, unknown>,
  name: string,
  body: Body,
  options: Options = none
): Effect.Effect<any, any, any> => {
  const { run } = frame
  const numbered = frame.number(name)
  const path = frame.path + numbered
  if (options.compensate !== undefined && !frame.isBody) {
    return Effect.die(new Error(`"${path}" is inside a step, where a compensation would be lost by a replay`))
  }
  return perform({
    run,
    at: {
      path,
      // Once means once for all attempts of the enclosing step.
      attempt: (options.atMostOnce === true ? frame.path : frame.attempt) + numbered,
      kind: "step",
      root: run.isRoot(fiber),
      inside: !frame.isBody
    },
    key: run.env.ids.derive("step", run.id, path),
    body,
    options,
    context: fiber.context
  })
}

/** Outside a durable run a step is just its effect. @internal */
export const outside = (body: Body): Effect.Effect<any, any, any> =>
  typeof body === "function"
    ? Effect.suspend(() => body({ key: randomUUID(), attempt: 1 }))
    : body

const perform = (step: Step): Effect.Effect<any, any, any> =>
  Effect.flatMap(
    step.run.enter(step.at),
    (record) =>
      record === undefined
        ? step.run.unlessAbandoned(step.at.attempt, attempts(step))
        // What is to be undone has to be found, also where it came too late.
        : step.options.compensate === undefined
        ? step.run.unlessAbandoned(step.at.attempt, recall(step, record))
        : recall(step, record)
  )

/** What a record means to the handler. */
const recall = (step: Step, record: Pick<StepRecord, "exit" | "version">): Effect.Effect<any, any, any> => {
  const outcome = Codec.parse(record.exit)
  switch (outcome._tag) {
    case "Success":
      return Effect.flatMap(
        decode(step, record, outcome.value, step.options.success),
        (value) => succeed(step, value)
      )
    case "Failure":
      return Effect.flatMap(decode(step, record, outcome.error, step.options.error), Effect.fail)
    default:
      return raise(step, outcome)
  }
}

const decode = (
  { at, run }: Step,
  { version }: Pick<StepRecord, "version">,
  value: unknown,
  schema: Codec.Codec | undefined
): Effect.Effect<unknown, never, any> =>
  schema === undefined ? Effect.succeed(value) : Effect.catch(
    Codec.decode(value, schema),
    (error) => run.stall({ reason: "Undecodable", step: at.path, recorded: String(error), version })
  )

const raise = (step: Step, outcome: Exclude<Codec.Outcome, { _tag: "Success" | "Failure" }>) => {
  if (outcome._tag === "Interrupted") {
    step.run.sawInterruptedStep = true
  }
  return Codec.raise(outcome, { path: step.at.path, key: step.key })
}

/** The attempts, those of earlier runs included. */
const attempts = Effect.fnUntraced(function*(step: Step): Effect.fn.Return<any, any, any> {
  const { at, options, run } = step
  const policy = options.retry === undefined ? undefined : yield* Retry.make(options.retry)
  for (let attempt = 1;; attempt++) {
    const name = `${at.attempt}@${attempt}`
    const before = run.replay.get(name)
    let failed: Codec.FailedAttempt
    let stored: ReadonlyArray<ArmTimer> = []
    if (before === undefined) {
      if (attempt > 1 && !at.inside && run.env.isStopping()) {
        return yield* run.stopHere
      }
      const ended = yield* run.waits.attempt(runAttempt(step, attempt, policy), () => run.attemptDone())
      if (ended._tag === "Recorded") {
        // What an earlier run did inside, this one may have done without.
        run.replay.abandonInside(at.path)
        return yield* recall(step, ended)
      }
      failed = ended.failed
      stored = ended.armed
    } else {
      failed = Codec.parseAttempt(before.exit)
      if (policy !== undefined) {
        // A policy has a memory: it sees again what it saw.
        const error = failed.outcome._tag === "Failure"
          ? yield* decode(step, before, failed.outcome.error, options.error)
          : new StepTimedOut({ step: at.path })
        yield* policy({ attempt, error, timedOut: failed.outcome._tag === "TimedOut", at: failed.at })
      }
    }
    const armed = run.arm(name, failed.due)
    if (armed.length > stored.length) {
      // An earlier run may have stored the record only; or the wait was short, and the clock was set back since.
      yield* Effect.orDie(run.journal.commit(armed))
    }
    yield* run.until(name, failed.due, armed)
    run.replay.abandonInside(at.path)
  }
})

type Ended =
  | { readonly _tag: "Recorded"; readonly exit: string; readonly version: string }
  | { readonly _tag: "Failed"; readonly failed: Codec.FailedAttempt; readonly armed: ReadonlyArray<ArmTimer> }

const runAttempt = (
  step: Step,
  attempt: number,
  policy: Retry.Policy | undefined
): Effect.Effect<Ended, never, any> => {
  const { at, body, key, options, run } = step
  const name = `${at.attempt}@${attempt}`
  const inner: Effect.Effect<any, any, any> = runWithin(
    new Frame(run, `${at.path}/`, `${name}/`),
    () => typeof body === "function" ? body({ key, attempt }) : body
  )
  const timed: Effect.Effect<any, any, any> = options.timeout === undefined
    ? inner
    : Effect.timeoutOrElse(inner, { duration: options.timeout, orElse: () => Effect.fail(timedOut) })
  const exit = Effect.exit(timed)
  const whole = Effect.flatMap(
    run.env.probe === undefined ? exit : probed(run.env.probe, step, attempt, exit),
    (exit) => settle(step, attempt, policy, exit)
  )
  return options.atMostOnce === true
    ? Effect.flatMap(begin(step, name), (mine) => mine ? whole : record(step, { _tag: "Interrupted" }))
    : whole
}

const probed = (
  probe: Probe,
  { at: { path }, key, run }: Step,
  attempt: number,
  body: Effect.Effect<Exit.Exit<unknown, unknown>, never, any>
): Effect.Effect<Exit.Exit<unknown, unknown>, never, any> => {
  const what: Attempt = { execution: run.id, path, key, attempt }
  return Effect.tap(Effect.andThen(probe.begins(what), body), (exit) => probe.ended(what, exit))
}

/** Never leaves this module. */
const timedOut = Symbol("timed out")

/** Whether this run is the one that begins the attempt. Any other was cut off in it. */
const begin = (step: Step, name: string): Effect.Effect<boolean> => {
  const { at, key, run } = step
  const path = `${name}/${Replay.begin}`
  if (run.replay.get(path) !== undefined) {
    return Effect.succeed(false)
  }
  const mine = JSON.stringify(run.env.ids.secret())
  return Effect.orDie(run.journal.record({ path, kind: "begin", key, root: at.root, exit: mine })).pipe(
    Effect.map((stands) => stands === mine)
  )
}

/** What becomes of an attempt that has ended. */
const settle = (
  step: Step,
  attempt: number,
  policy: Retry.Policy | undefined,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<Ended, never, any> => {
  const { at, options, run } = step
  if (Exit.isSuccess(exit)) {
    const recorded = Effect.flatMap(
      Codec.encode(exit.value, options.success, (value) => ({ _tag: "Success", value })),
      (outcome) => record(step, outcome)
    )
    return options.compensate === undefined
      ? recorded
      // What is on disk as done is also known as what is to be undone, whoever interrupts meanwhile.
      : Effect.uninterruptible(
        Effect.tap(recorded, (ended) => ended._tag === "Recorded" ? Effect.exit(recall(step, ended)) : Effect.void)
      )
  }
  if (Cause.hasInterrupts(exit.cause)) {
    return run.ending !== undefined
      ? Effect.interruptible(Effect.never)
      // Ends here where this fiber is being interrupted: then nothing is known of the step.
      : Effect.flatMap(Effect.interruptible(Effect.void), () => record(step, interruptedItself(at.path)))
  }
  const reason = Cause.findErrorOption(exit.cause)
  if (Option.isNone(reason)) {
    return record(step, { _tag: "Die", defect: encodeDefect(Cause.squash(exit.cause)) })
  }
  const isTimeout = reason.value === timedOut
  const error = isTimeout ? new StepTimedOut({ step: at.path }) : reason.value
  const encoded: Effect.Effect<Codec.Outcome, never, any> = isTimeout
    ? Effect.succeed({ _tag: "TimedOut" })
    : Codec.encode(error, options.error, (error) => ({ _tag: "Failure", error }))
  return Effect.flatMap(encoded, (outcome) => {
    if (policy === undefined || outcome._tag === "Unstorable" || (isTimeout && options.atMostOnce === true)) {
      return record(step, outcome)
    }
    const now = run.now
    return Effect.flatMap(policy({ attempt, error, timedOut: isTimeout, at: now }), (pause) =>
      pause === undefined
        ? record(step, outcome)
        : recordFailed(step, attempt, { outcome, at: now, due: now + pause }))
  })
}

/**
 * User code said `Effect.interrupt`. An interruption from outside never gets
 * here: its fiber runs no handlers.
 */
const interruptedItself = (path: string): Codec.Outcome => ({
  _tag: "Die",
  defect: encodeDefect(new Error(`Step "${path}" interrupted itself`))
})

const record = (step: Step, outcome: Codec.Outcome): Effect.Effect<Ended> =>
  Effect.catch(write(step, outcome), (error) => recordUnstorable(step, error))

/** The effect has happened, whatever its result is: it must not happen again. */
const recordUnstorable = (step: Step, error: StoreError): Effect.Effect<Ended> =>
  Effect.orDie(write(step, { _tag: "Unstorable", why: error.message }))

const write = (step: Step, outcome: Codec.Outcome): Effect.Effect<Ended, StoreError> => {
  const { at, key, run } = step
  const { kind, root } = at
  // A failure is its attempt's, where there is one around; everything else is the step's.
  const path = outcome._tag === "Success" ? at.path : at.attempt
  return Effect.map(
    run.journal.record({ path, kind, key, root, exit: Codec.print(outcome) }),
    (exit): Ended => ({ _tag: "Recorded", exit, version: run.env.version })
  )
}

const recordFailed = (step: Step, attempt: number, failed: Codec.FailedAttempt): Effect.Effect<Ended> => {
  const { at, key, run } = step
  const path = `${at.attempt}@${attempt}`
  const exit = Codec.print(failed)
  const armed = run.arm(path, failed.due)
  return run.journal.record({ path, kind: "attempt", key, root: at.root, exit }, armed).pipe(
    Effect.map((exit): Ended => ({ _tag: "Failed", failed: Codec.parseAttempt(exit), armed })),
    Effect.catch((error) => recordUnstorable(step, error))
  )
}

// -----------------------------------------------------------------------------
// compensation
// -----------------------------------------------------------------------------

/** The step is done; what it did is to be undone when the execution fails. */
const succeed = (step: Step, value: unknown): Effect.Effect<any> => {
  const { at, context, options: { compensate }, run } = step
  if (compensate === undefined) {
    run.found(at.path)
    return Effect.succeed(value)
  }
  const isNew = run.compensations.add(
    at.path,
    (cause) =>
      // The caller's context has all that the compensation needs.
      Effect.provideContext(undo(step, (undone) => compensate(value, cause, undone)), context) as Effect.Effect<void>
  )
  return Effect.map(
    isNew ? Scope.addFinalizerExit(run.instance.scope, (exit) => undoLatest(run, exit)) : Effect.void,
    () => {
      run.found(at.path)
      return value
    }
  )
}

/** There is one finalizer for each compensation; which one is its turn, the record says. */
const undoLatest = (run: Run, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() =>
    Exit.isSuccess(exit) || run.instance.abandoned ? Effect.void : run.compensations.take()?.(exit.cause) ?? Effect.void
  )

/** A step of its own, so that it happens once; one that dies does not keep the others from happening. */
const undo = (
  step: Step,
  body: (step: StepContext) => Effect.Effect<void, never, any>
): Effect.Effect<void, never, any> =>
  Effect.withFiber((fiber) => {
    const { at, run } = step
    const path = `${at.path}/${Replay.compensate}`
    return perform({
      run,
      at: { path, attempt: path, kind: "compensation", root: run.isRoot(fiber), inside: false },
      key: run.env.ids.derive("step", run.id, path),
      body,
      options: none,
      context: fiber.context
    }).pipe(
      Effect.orDie,
      Effect.interruptible,
      Effect.catchDefect((defect) => Effect.logError(`The compensation of step "${at.path}" died`, defect))
    )
  })
