/**
 * Effect's `WorkflowEngine` over the runs of this process, so that users'
 * workflows and stock primitives stand on the same store and the same replay.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Activity from "effect/workflow/Activity"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import type { ExecutionRecord, Outcome, Write } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { NonDeterminism } from "../StepError.ts"
import { halt } from "./Environment.ts"
import * as Frame from "./Frame.ts"
import { Instance } from "./Instance.ts"
import * as Replay from "./Replay.ts"
import type { Conclusion, Program, Run } from "./Run.ts"
import type { Registration, Runs } from "./Runs.ts"
import * as Stored from "./stored.ts"

type Execute = (
  payload: object,
  executionId: string
) => Effect.Effect<unknown, unknown, WorkflowEngine.WorkflowInstance | WorkflowEngine.WorkflowEngine>

/** @internal */
export const make = (runs: Runs): WorkflowEngine.WorkflowEngine["Service"] => {
  const encoded: WorkflowEngine.Encoded = {
    register: (workflow, execute) =>
      // What the workflow's schemas need is what was there when it was registered.
      Effect.contextWith((services: Context.Context<never>) =>
        runs.register(registration(workflow, execute, services))
      ),

    execute: Effect.fnUntraced(function*(workflow, { detached, discard, executionId, parent, payload }) {
      if (!runs.isRegistered(workflow._tag)) {
        return yield* Effect.die(new Error(`Workflow "${workflow._tag}" is not registered`))
      }
      const run = parent === undefined || detached === true ? undefined : yield* runOf(runs, parent)
      if (run?.isDecided === true) {
        const child = Option.getOrUndefined(yield* run.reading(runs.env.store.execution(executionId)))
        const result = run.waits.get(`child/${executionId}`) ?? child?.result
        if (discard && child !== undefined) {
          return undefined
        }
        return yield* result === undefined || discard ? run.endDecided : completeOf(workflow, result)
      }
      const start = {
        _tag: "StartExecution",
        id: executionId,
        workflow: workflow._tag,
        payload: JSON.stringify(yield* encodePayload(workflow, payload)),
        parent: run?.id
      } as const
      if (run === undefined) {
        yield* Effect.orDie(runs.env.store.commit([start]))
        return discard ? undefined : yield* Effect.orDie(resultOf(workflow, executionId))
      }
      yield* Effect.orDie(run.journal.commit([start]))
      return discard ? undefined : yield* awaitChild(run, workflow, executionId)
    }) as WorkflowEngine.Encoded["execute"],

    poll: (workflow, executionId) =>
      Effect.orDie(
        Effect.flatMap(runs.env.store.execution(executionId), (found) => {
          const record = Option.getOrUndefined(found)
          return record?.result !== undefined
            ? Effect.asSome(completeOf(workflow, record.result))
            : Effect.succeed(record?.parked === undefined ? Option.none() : Option.some(new Workflow.Suspended({})))
        })
      ),

    awaitComplete: (workflow, executionId) => Effect.orDie(Effect.asVoid(resultOf(workflow, executionId))),

    interrupt: (_workflow, executionId) => cancel(executionId, "safe"),
    interruptUnsafe: (_workflow, executionId) => cancel(executionId, "now"),
    resume: (_workflow, id) => Effect.orDie(Effect.asVoid(runs.env.store.commit([{ _tag: "Resume", id }]))),

    activityExecute: (activity, attempt) =>
      Effect.withFiber((fiber) => {
        const instance = Context.getUnsafe(fiber.context, WorkflowEngine.WorkflowInstance)
        return Effect.flatMap(runOf(runs, instance), (run) =>
          execute(run, instance, activity, attempt, {
            root: run.isRoot(fiber),
            inside: Frame.fromFiber(fiber)?.isBody === false
          }))
      }),

    deferredResult: (deferred) =>
      Effect.flatMap(WorkflowEngine.WorkflowInstance, (instance) =>
        Effect.flatMap(runOf(runs, instance), (run) => {
          const name = deferredSignal(deferred.name)
          const exit = run.waits.get(name)
          return exit !== undefined
            ? Effect.succeedSome(Stored.decode(exit))
            // Stock `await` registers first; who does not only wants to know whether it is there.
            : instance.awaitedDeferreds.has(deferred.name)
            ? Effect.map(run.await(name), (exit) => Option.some(Stored.decode(exit)))
            : Effect.succeedNone
        })),

    deferredDone: ({ deferredName, executionId, exit }) => {
      const name = deferredSignal(deferredName)
      return Effect.map(
        commitTo(executionId, { _tag: "Signal", id: executionId, name, exit: Stored.encode(exit) }),
        (outcome) => {
          if (outcome?._tag === "Stands") {
            runs.get(executionId)?.waits.add(name, outcome.value)
          }
        }
      )
    },

    scheduleClock: (_workflow, { clock, executionId }) =>
      Effect.suspend(() => {
        const at = runs.env.clock.currentTimeMillisUnsafe() + Duration.toMillis(clock.duration)
        const name = deferredSignal(clock.deferred.name)
        return commitTo(executionId, { _tag: "ArmTimer", id: executionId, name, at, exit: Stored.encode(Exit.void) })
      })
  }

  /** The execution may be the caller's own, and not be on disk yet. */
  const commitTo = (id: string, write: Write): Effect.Effect<Outcome | undefined> =>
    Effect.withFiber((fiber) => {
      const run = runs.get(id)
      const own = Context.getOrUndefined(fiber.context, WorkflowEngine.WorkflowInstance)?.executionId === id
      const commit = run === undefined
        ? runs.env.store.commit([write])
        : own
        ? run.journal.commit([write])
        : Effect.andThen(run.journal.open, runs.env.store.commit([write]))
      return Effect.orDie(Effect.map(commit, ([outcome]) => outcome))
    })

  const cancel = (id: string, mode: "safe" | "now"): Effect.Effect<void> =>
    Effect.orDie(Effect.map(runs.env.store.commit([{ _tag: "RequestCancel", id, mode }]), ([outcome]) => {
      if (outcome?._tag === "Made") {
        runs.get(id)?.cancel(mode)
      }
    }))

  /** Waits for a result, from outside of any execution. */
  const resultOf = (
    workflow: Workflow.Any,
    id: string
  ): Effect.Effect<Workflow.Complete<unknown, unknown>, StoreError> =>
    Effect.suspend(() => {
      const watch = runs.env.store.watch({ _tag: "Execution", id })
      const read: Effect.Effect<string, StoreError> = Effect.flatMap(runs.env.store.execution(id), (found) => {
        const result = Option.getOrUndefined(found)?.result
        return result === undefined ? Effect.flatMap(watch.next, () => read) : Effect.succeed(result)
      })
      return Effect.flatMap(
        Effect.ensuring(read, Effect.sync(watch.close)),
        (result) => completeOf(workflow, result)
      )
    })

  /** A child's end is a signal of its parent, so that the parent can be parked meanwhile. */
  const awaitChild = (
    run: Run,
    workflow: Workflow.Any,
    id: string
  ): Effect.Effect<Workflow.Complete<unknown, unknown>> =>
    Effect.flatMap(run.reading(runs.env.store.execution(id)), (found) => {
      const child: ExecutionRecord | undefined = Option.getOrUndefined(found)
      const result = child?.result !== undefined
        ? Effect.succeed(child.result)
        : child === undefined || child.parent === run.id
        ? run.await(`child/${id}`)
        // Somebody else's: no signal will come for it.
        : undefined
      return result === undefined
        ? run.waits.hold(run.reading(resultOf(workflow, id)))
        : Effect.flatMap(result, (result) => completeOf(workflow, result))
    })

  return WorkflowEngine.makeUnsafe(encoded)
}

// -----------------------------------------------------------------------------
// workflows
// -----------------------------------------------------------------------------

/** Signal that completes a deferred. */
const deferredSignal = (name: string): string => `deferred/${name}`

const runOf = (runs: Runs, instance: WorkflowEngine.WorkflowInstance["Service"]): Effect.Effect<Run> =>
  Effect.suspend(() => {
    const run = runs.get(instance.executionId)
    // A fiber that was detached from a run that is over.
    return run === undefined ? halt : Effect.succeed(run)
  })

/** Their services are in the context of whoever uses them: `Encoded` has taken them out of the types. */
interface Codecs {
  readonly payload: Schema.Codec<any, unknown>
  readonly success: Schema.Codec<any, unknown>
  readonly error: Schema.Codec<any, unknown>
}

const codecs = (workflow: Workflow.Any): Codecs => {
  const payload: Schema.Top = Schema.toCodecJson(workflow.payloadSchema)
  const success: Schema.Top = Schema.toCodecJson(workflow.successSchema)
  const error: Schema.Top = Schema.toCodecJson(workflow.errorSchema)
  return { payload, success, error } as Codecs
}

const encodePayload = (workflow: Workflow.Any, payload: object): Effect.Effect<unknown> =>
  Effect.orDie(Schema.encodeEffect(codecs(workflow).payload)(payload))

const completeOf = (workflow: Workflow.Any, result: string): Effect.Effect<Workflow.Complete<unknown, unknown>> => {
  const { error, success } = codecs(workflow)
  const exit = Stored.decode(result)
  const decoded: Effect.Effect<Exit.Exit<unknown, unknown>, Schema.SchemaError> = Exit.isSuccess(exit)
    ? Effect.map(Schema.decodeUnknownEffect(success)(exit.value ?? null), Exit.succeed)
    : Effect.map(
      Effect.forEach(exit.cause.reasons, (reason) =>
        Cause.isFailReason(reason)
          ? Effect.map(Schema.decodeUnknownEffect(error)(reason.error), Cause.makeFailReason)
          : Effect.succeed<Cause.Reason<unknown>>(reason)),
      (reasons) => Exit.failCause(Cause.fromReasons(reasons))
    )
  return Effect.map(Effect.orDie(decoded), (exit) => new Workflow.Complete({ exit }))
}

const registration = (
  workflow: Workflow.Any,
  execute: Execute,
  services: Context.Context<never>
): Registration => ({
  name: workflow._tag,
  load: (record) =>
    Schema.decodeUnknownEffect(codecs(workflow).payload)(JSON.parse(record.payload)).pipe(
      Effect.provideContext(services),
      Effect.mapError((error) => {
        const recorded = String(error)
        return new NonDeterminism({ reason: "Undecodable", step: workflow._tag, recorded, version: "unknown" })
      }),
      Effect.map((payload) => ({
        program: program(workflow, execute(payload, record.id), services),
        startedAt: record.createdAt,
        peer: undefined
      }))
    )
})

const program = (
  workflow: Workflow.Any,
  // The run's own context has the engine and the instance.
  body: Effect.Effect<unknown, unknown, any>,
  services: Context.Context<never>
): Program => ({
  workflow,
  cancelled: conclude("Cancelled", Exit.failCause(Cause.interrupt())),
  interrupted: conclude("Failed", Exit.failCause(Cause.interrupt())),
  tooLarge: conclude("Failed", Exit.die("The result is too large to be stored")),
  body: (run) =>
    Effect.flatMap(Effect.exit(body as Effect.Effect<unknown, unknown>), (exit): Effect.Effect<Conclusion> => {
      if (Exit.isSuccess(exit)) {
        return Effect.provideContext(succeeded(workflow, exit.value), services)
      }
      if (Context.get(workflow.annotations, Workflow.SuspendOnFailure)) {
        run.end({ _tag: "Suspended", cause: exit.cause })
        return halt
      }
      // A defect that is not to be captured ends the run and not the execution.
      return Cause.hasDies(exit.cause) && !Context.get(workflow.annotations, Workflow.CaptureDefects)
        ? Effect.die(Cause.squash(exit.cause))
        : Effect.provideContext(failed(workflow, exit.cause), services)
    })
})

const succeeded = (workflow: Workflow.Any, value: unknown): Effect.Effect<Conclusion> =>
  Effect.map(
    Effect.orDie(Schema.encodeEffect(codecs(workflow).success)(value)),
    (encoded) => ({ ...conclude("Succeeded", Exit.succeed(encoded)), exit: Exit.succeed(value) })
  )

const failed = (workflow: Workflow.Any, cause: Cause.Cause<unknown>): Effect.Effect<Conclusion> =>
  Effect.map(
    Effect.forEach(cause.reasons, (reason) =>
      Cause.isFailReason(reason)
        ? Effect.map(
          Effect.orDie(Schema.encodeEffect(codecs(workflow).error)(reason.error)),
          (error): Cause.Reason<unknown> => Cause.makeFailReason(error)
        )
        : Effect.succeed<Cause.Reason<unknown>>(reason)),
    (reasons) => ({
      ...conclude("Failed", Exit.failCause(Cause.fromReasons(reasons))),
      exit: Exit.failCause(cause)
    })
  )

const conclude = (outcome: Conclusion["outcome"], exit: Exit.Exit<unknown, unknown>): Conclusion => ({
  outcome,
  exit,
  result: Stored.encode(exit),
  answer: undefined
})

// -----------------------------------------------------------------------------
// activities
// -----------------------------------------------------------------------------

/** By stock rules: name and attempt are the identity, wherever it is called. */
const execute = (
  run: Run,
  instance: WorkflowEngine.WorkflowInstance["Service"],
  activity: Activity.Any,
  attempt: number,
  { inside, root }: { readonly inside: boolean; readonly root: boolean }
): Effect.Effect<Workflow.Result<unknown, unknown>> => {
  const name = Replay.escape(activity.name)
  const path = `${Replay.activities}/${attempt === 1 ? name : `${name}@${attempt}`}`
  return Effect.flatMap(run.enter({ path, attempt: path, kind: "activity", root, inside }), (record) => {
    if (record !== undefined) {
      run.found(path)
      return Effect.succeed(new Workflow.Complete({ exit: Stored.decode(record.exit) }))
    }
    // Its own: what the activity waits for is not the body's.
    const own = new Instance(run.id, run.program.workflow, () => run.end({ _tag: "Parked" }))
    own.interrupted = instance.interrupted
    const frame = new Frame.Frame(run, `${path}/`, `${path}@${attempt}/`)
    const body = activity.executeEncoded as Effect.Effect<unknown, unknown, WorkflowEngine.WorkflowInstance>
    const attempted = Frame.runWithin(frame, () => body)
      .pipe(
        Effect.scoped,
        Effect.provideService(WorkflowEngine.WorkflowInstance, own),
        Effect.exit,
        Effect.flatMap((exit) => recordActivity(run, path, root, exit))
      )
    return run.waits.attempt(attempted, () => run.attemptDone())
  })
}

const recordActivity = (
  run: Run,
  path: string,
  root: boolean,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<Workflow.Result<unknown, unknown>> => {
  if (Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)) {
    return run.ending !== undefined
      ? halt
      : Effect.flatMap(
        Effect.interruptible(Effect.void),
        () => recordActivity(run, path, root, Exit.die(new Error(`Activity "${path}" interrupted itself`)))
      )
  }
  const record = (exit: Exit.Exit<unknown, unknown>) =>
    run.journal.record({ path, kind: "activity", root, exit: Stored.encode(exit) })
  return record(exit).pipe(
    // It has happened, whatever its result is: it must not happen again.
    Effect.catch((error) => Effect.orDie(record(Exit.die(error)))),
    Effect.map((exit) => new Workflow.Complete({ exit: Stored.decode(exit) }))
  )
}
