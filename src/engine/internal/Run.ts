/**
 * One run of one execution: the body on one fiber, from the top, against what
 * earlier runs recorded.
 *
 * A run ends in exactly one way (`Ending`). Whoever ends it early marks the end
 * and interrupts the body's fiber; a fiber that was interrupted from outside
 * runs no handlers, so user code cannot catch it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as Workflow from "effect/workflow/Workflow"
import { WorkflowInstance } from "effect/workflow/WorkflowEngine"
import * as JsonRpc from "../../session/JsonRpc.ts"
import type { Append, ArmTimer, ExecutionRecord, RecordStep, StepRecord, Watch } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { Request } from "../Dispatch.ts"
import { NonDeterminism, StepLimitExceeded } from "../StepError.ts"
import type { Wire } from "../Wire.ts"
import * as Asked from "./asked.ts"
import { Compensations } from "./Compensations.ts"
import { type Environment, halt } from "./Environment.ts"
import { CurrentFrame, Frame } from "./Frame.ts"
import { Instance } from "./Instance.ts"
import { Journal, type Opening } from "./Journal.ts"
import * as Replay from "./Replay.ts"
import { Waits } from "./Waits.ts"

/** How an execution is carried out. @internal */
export interface Program {
  readonly workflow: Workflow.Any
  readonly body: (run: Run) => Effect.Effect<Conclusion>
  /** What a cancelled execution ends with. */
  readonly cancelled: Conclusion
  /** What it ends with when its result cannot be stored. */
  readonly tooLarge: Conclusion
  /** What it ends with when user code has interrupted the body's fiber. */
  readonly interrupted: Conclusion
}

/** The call of a peer that an execution carries out. @internal */
export interface Peer {
  readonly request: Request
  readonly wire: Wire["Service"]
}

/** What the execution has come to. @internal */
export interface Conclusion {
  readonly outcome: "Succeeded" | "Failed" | "Unknown" | "Cancelled"
  /** What finalizers and compensations see. */
  readonly exit: Exit.Exit<unknown, unknown>
  /** JSON text, for `Complete`. */
  readonly result: string
  /** For the last event; a call without one just ends. */
  readonly answer: JsonRpc.Answer | undefined
}

/**
 * - `Done`: the result is on disk.
 * - `Parked`: only waits, for what the store will wake it for.
 * - `Stopped`: orderly shutdown.
 * - `Unwinding`: it is decided how the execution ends, and known what is to be compensated.
 * - `Stalled`: a replay contradicts the record.
 * - `Suspended`: failed under `Workflow.SuspendOnFailure`.
 * - `Superseded`: somebody else has this execution, or it is over.
 * - `Failed`: the store failed; the execution runs again.
 *
 * @internal
 */
export type Ending =
  | { readonly _tag: "Done" | "Parked" | "Stopped" | "Superseded" | "Failed" }
  | { readonly _tag: "Unwinding"; readonly conclusion: Conclusion }
  | { readonly _tag: "Stalled"; readonly error: NonDeterminism }
  | { readonly _tag: "Suspended"; readonly cause: Cause.Cause<unknown> }

/** @internal */
export interface Options {
  readonly id: string
  readonly program: Program
  readonly startedAt: number
  readonly peer: Peer | undefined
  /** Of a call that is not on disk yet. */
  readonly opening?: Opening | undefined
  /** Of an execution that is, with a watch that was registered before it was read. */
  readonly stored?: { readonly record: ExecutionRecord; readonly watch: Watch } | undefined
}

/** Where the body is. @internal */
export interface Position {
  readonly path: string
  /** Where the record may be besides `path`: under the attempt of the enclosing step. */
  readonly attempt: string
  readonly kind: string
  readonly root: boolean
  /** Inside an attempt of a step, which a shutdown lets finish. */
  readonly inside: boolean
  /** One record for all uses of the name: its place among the others means nothing. */
  readonly often?: boolean | undefined
}

/** @internal */
export class Run {
  readonly env: Environment
  readonly id: string
  readonly program: Program
  readonly startedAt: number
  readonly peer: Peer | undefined
  /** 1 in the run that began the execution, larger in each later one. */
  readonly number: number
  readonly replay: Replay.Replay
  readonly journal: Journal
  readonly waits: Waits
  readonly instance: Instance
  readonly compensations: Compensations
  readonly context: Context.Context<never>
  /** Questions on the wire that have no answer: path to wire id. */
  readonly openQuestions = new Map<string, string>()
  /** Why the handler failed, where it said so. */
  failure: Cause.Cause<unknown> | undefined
  /** A step of this run ended as `StepInterrupted`. */
  sawInterruptedStep = false
  /** Last progress value that the client has or will get; `undefined` before it was looked up. */
  lastProgress: number | undefined
  disconnects = 0
  /** Progress and log messages so far. */
  emissions = 0
  /** The client may be asked (S-L5). */
  sessionInitialized = false
  ending: Ending | undefined
  /** The cancel request that this run knows of. */
  cancelRequest: "safe" | "now" | undefined
  /** The fiber that runs the body, or its unwinding. */
  #fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** The replay only finds out what is to be compensated: nothing new begins. */
  #decided: Conclusion | undefined
  /** Steps of the body that earlier runs did and this one has not come to: any of them may have to be compensated. */
  readonly #toFind: Set<string>
  /** A fiber of such a replay has come to what is not on record. */
  #arrived = false
  #unwinding = false
  /** The final commit is under way: too late for any other end. */
  #sealed = false
  #operations: number
  readonly #watch: Watch | undefined

  constructor(env: Environment, options: Options) {
    const record = options.stored?.record
    this.env = env
    this.id = options.id
    this.program = options.program
    this.startedAt = options.startedAt
    this.peer = options.peer
    this.number = record === undefined ? 1 : 2 + record.recoveries + record.signals.length
    this.replay = new Replay.Replay(record?.steps ?? [])
    this.compensations = new Compensations(this.replay)
    this.#operations = this.replay.operations
    const onEnd = (ending: Ending) => this.end(ending)
    this.waits = new Waits({
      env,
      id: this.id,
      record,
      isEnded: () => this.ending !== undefined,
      onIdle: () => this.#onIdle(),
      onCancel: (mode) => this.cancel(mode),
      onEnd
    })
    this.journal = new Journal({
      env,
      id: this.id,
      replay: this.replay,
      opening: options.opening,
      onWatch: (watch) => this.waits.observe(watch),
      onEnd
    })
    this.cancelRequest = record?.cancel
    for (const { kind, exit, key, name } of record?.steps ?? []) {
      if (kind === Asked.kind && Asked.isOpen(exit) && this.waits.get(Asked.answerSignal(name)) === undefined) {
        this.openQuestions.set(name, Asked.wireIdOf(this.id, key))
      }
    }
    this.#watch = options.stored?.watch
    this.#decided = this.#decidedBefore(record)
    this.#toFind = new Set(this.replay.succeeded())
    this.instance = new Instance(this.id, this.program.workflow, () => this.end({ _tag: "Parked" }))
    this.context = env.context.pipe(
      Context.add(WorkflowInstance, this.instance),
      Context.add(Scope.Scope, this.instance.scope),
      Context.add(CurrentFrame, new Frame(this, "", ""))
    )
  }

  /** The current time in milliseconds. */
  get now(): number {
    return this.env.clock.currentTimeMillisUnsafe()
  }

  /** It is decided how the execution ends; the replay only finds out what is to be compensated. */
  get isDecided(): boolean {
    return this.#decided !== undefined
  }

  /**
   * Ends a replay that has found out what is to be compensated. Until then this
   * fiber waits for those beside it.
   */
  get endDecided(): Effect.Effect<never> {
    return Effect.suspend(() => {
      this.#arrived = true
      this.#endWhenFound()
      return this.ending === undefined ? Effect.interruptible(Effect.never) : halt
    })
  }

  /** The body has the result of a step that succeeded, and its compensation is known. */
  found(path: string): void {
    if (this.#toFind.delete(path) && this.#arrived && this.#toFind.size === 0) {
      // Stock code registers a compensation when it has the result.
      this.env.fork(Effect.andThen(Effect.yieldNow, Effect.sync(() => this.#endWhenFound())))
    }
  }

  #endWhenFound(): void {
    if (this.#decided !== undefined && this.#toFind.size === 0) {
      this.end({ _tag: "Unwinding", conclusion: this.#decided })
    }
  }

  /** It is known what there is to compensate, and under way. */
  get isUnwinding(): boolean {
    return this.#unwinding
  }

  isRoot(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return fiber === this.#fiber
  }

  // ---------------------------------------------------------------------------
  // The body and its end
  // ---------------------------------------------------------------------------

  /** The body, and what follows from how it ends. */
  get main(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.#fiber = fiber
      if (this.#watch !== undefined) {
        this.waits.observe(this.#watch)
      }
      if (this.#decided !== undefined) {
        // The body may hang in something that the first run was interrupted in.
        this.waits.expectIdle()
      }
      return Effect.flatMap(this.program.body(this), (conclusion) => this.#conclude(conclusion))
    })
  }

  /** What follows an `Unwinding` end, on a fiber of its own. */
  unwind(conclusion: Conclusion): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.#fiber = fiber
      this.ending = undefined
      return this.#conclude(conclusion)
    })
  }

  /** Ends the run. The first end counts, and none does once the result is on its way. */
  end(ending: Ending): void {
    if (this.ending !== undefined || (this.#sealed && ending._tag !== "Failed" && ending._tag !== "Superseded")) {
      return
    }
    this.ending = ending
    if (ending._tag === "Unwinding") {
      this.instance.interrupted = ending.conclusion.outcome === "Cancelled"
    } else {
      // Stock finalizers are for the end of the execution, not of a run.
      this.instance.abandoned = true
    }
    this.#fiber?.interruptUnsafe()
    // In a finalizer the body's fiber cannot be interrupted where it waits for others.
    this.waits.interrupt()
  }

  /** For a shutdown: ends the run unless an attempt of a step is under way. */
  stopBetweenSteps(): void {
    if (!this.waits.isWorking) {
      this.end({ _tag: "Stopped" })
    }
  }

  /** A shutdown starts nothing new: this fiber waits for the end of the run. */
  get stopHere(): Effect.Effect<never> {
    return Effect.suspend(() => {
      this.stopBetweenSteps()
      return Effect.interruptible(Effect.never)
    })
  }

  /** An attempt of a step has ended. */
  attemptDone(): void {
    if (this.env.isStopping() && !this.waits.isWorking) {
      // The body may be about to finish.
      this.env.fork(Effect.andThen(Effect.yieldNow, Effect.sync(() => this.stopBetweenSteps())))
    }
  }

  /** A replay contradicts the record: stops the run, and this fiber with it. */
  stall(error: ConstructorParameters<typeof NonDeterminism>[0]): Effect.Effect<never> {
    this.end({ _tag: "Stalled", error: new NonDeterminism(error) })
    return halt
  }

  /** Somebody wants the execution to end. */
  cancel(mode: "safe" | "now"): void {
    if (this.ending !== undefined) {
      // A park must not say that it was seen.
      return
    }
    if (mode === "now" && this.#toFind.size > 0 && this.#decided === undefined && !this.#unwinding) {
      // Not known yet what is to be compensated: a run that knows of the request from its start finds it out.
      this.end({ _tag: "Parked" })
      return
    }
    this.cancelRequest ??= mode
    if (this.#unwinding || this.#decided !== undefined) {
      return
    }
    if (mode === "now" || (this.waits.isWaiting && !this.waits.isWorking && this.#toFind.size === 0)) {
      this.end({ _tag: "Unwinding", conclusion: this.program.cancelled })
    }
  }

  #decidedBefore(record: ExecutionRecord | undefined): Conclusion | undefined {
    const failed = this.replay.get(Replay.failure)
    return failed !== undefined
      ? this.#decodeDecision(failed.exit)
      : record?.cancel === "now"
      ? this.program.cancelled
      : undefined
  }

  #decodeDecision(text: string): Conclusion {
    const { answer, outcome, result } = JSON.parse(text) as Pick<Conclusion, "answer" | "outcome" | "result">
    return outcome === "Cancelled"
      ? this.program.cancelled
      : { outcome, exit: Exit.fail(answer ?? result), answer, result }
  }

  #onIdle(): void {
    if (this.#decided === undefined && this.cancelRequest !== "safe" && this.waits.release()) {
      return
    }
    this.end(
      this.#decided !== undefined
        ? { _tag: "Unwinding", conclusion: this.#decided }
        : this.cancelRequest === "safe" && !this.#unwinding
        ? { _tag: "Unwinding", conclusion: this.program.cancelled }
        : { _tag: "Parked" }
    )
  }

  #conclude(conclusion: Conclusion): Effect.Effect<void> {
    const decided = this.#decided
    if (decided !== undefined) {
      this.instance.interrupted = decided.outcome === "Cancelled"
      // The cause is better known here than from its record.
      return this.#unwind(
        decided.outcome === conclusion.outcome ? { ...decided, exit: conclusion.exit } : decided
      )
    }
    if (this.instance.scope.state._tag === "Empty") {
      return this.#finish(conclusion)
    }
    if (conclusion.outcome === "Failed" || (conclusion.outcome === "Cancelled" && this.cancelRequest === "safe")) {
      // The decision first: a replay must not come to another one with half of the compensations done.
      return this.#decide(conclusion).pipe(
        Effect.catch(() => this.#decide({ ...this.program.tooLarge, exit: conclusion.exit })),
        Effect.orDie,
        Effect.flatMap((decided) => this.#unwind(decided))
      )
    }
    // Of an `Unknown` one nobody knows what there is to undo.
    this.instance.abandoned = conclusion.outcome === "Unknown"
    return this.#unwind(conclusion)
  }

  #decide(conclusion: Conclusion): Effect.Effect<Conclusion, StoreError> {
    const { answer, outcome, result } = conclusion
    const exit = JSON.stringify({ answer, outcome, result })
    // Too late for a cancel: it would be another decision.
    this.#unwinding = true
    return Effect.as(this.journal.record({ path: Replay.failure, kind: "failure", root: true, exit }), conclusion)
  }

  #unwind(conclusion: Conclusion): Effect.Effect<void> {
    this.#decided = undefined
    this.#unwinding = true
    return Effect.flatMap(Scope.close(this.instance.scope, conclusion.exit), () => this.#finish(conclusion))
  }

  #finish(conclusion: Conclusion): Effect.Effect<void> {
    return this.openQuestions.size === 0
      ? this.#seal([], conclusion)
      // Nobody waits for these answers any more.
      : Effect.forEach(this.openQuestions, ([path, wireId]) => this.withdraw(path, wireId)).pipe(
        Effect.flatMap((withdrawn) => this.#seal(withdrawn.flat(), conclusion))
      )
  }

  /** For operators: recorded once, and not reached by the replay that came to the end. */
  get #warning(): ReadonlyArray<RecordStep> {
    const leftovers = this.replay.leftovers()
    return leftovers.length === 0 ? [] : [{
      _tag: "RecordStep",
      id: this.id,
      name: Replay.warning,
      key: this.env.ids.derive("step", this.id, Replay.warning),
      kind: "warning",
      root: false,
      version: this.env.version,
      exit: JSON.stringify({ notReached: leftovers })
    }]
  }

  #seal(withdrawn: ReadonlyArray<Append>, conclusion: Conclusion): Effect.Effect<void> {
    const commit = (conclusion: Conclusion): Effect.Effect<void, StoreError> =>
      Effect.suspend(() => {
        this.#sealed = true
        this.waits.deafen()
        return this.journal.finish(
          // The result event before the result: whoever finds the execution complete finds its answer too.
          [...this.#warning, ...withdrawn, ...this.#lastEvent(conclusion.answer)],
          { _tag: "Complete", id: this.id, result: conclusion.result }
        )
      })
    return commit(conclusion).pipe(
      Effect.catch(() => commit(this.program.tooLarge)),
      Effect.orDie,
      Effect.andThen(Effect.sync(() => {
        this.ending ??= { _tag: "Done" }
      }))
    )
  }

  #lastEvent(answer: JsonRpc.Answer | undefined): ReadonlyArray<Append> {
    if (this.peer === undefined) {
      return []
    }
    const stream = this.id
    return answer === undefined
      ? [{ _tag: "Append", stream, key: "end", last: true }]
      : [{
        _tag: "Append",
        stream,
        key: "result",
        data: JsonRpc.encodeResponse(this.peer.request.requestId, answer),
        last: true
      }]
  }

  /** The events that tell the client that a question is void. */
  withdraw(path: string, wireId: string): Effect.Effect<ReadonlyArray<Append>> {
    return this.peer === undefined ? Effect.succeed([]) : Effect.map(
      this.peer.wire.notification(this.peer.request.version, { _tag: "Cancelled", requestId: wireId }),
      (data) => data === undefined ? [] : [{ _tag: "Append", stream: this.id, key: `cancelled/${path}`, data }]
    )
  }

  // ---------------------------------------------------------------------------
  // Operations
  // ---------------------------------------------------------------------------

  /**
   * The body is at a durable operation: gives its record, or `undefined` where
   * it may be done now for the first time.
   */
  enter(at: Position): Effect.Effect<StepRecord | undefined> {
    if (this.ending !== undefined) {
      return halt
    }
    const record = this.replay.get(at.path) ?? this.replay.get(at.attempt)
    if (record !== undefined) {
      this.replay.reach(at.path)
      if (this.#decided !== undefined) {
        this.waits.touch()
      }
      return record.kind === at.kind
        ? Effect.succeed(record)
        : this.stall({ reason: "Kind", step: at.path, recorded: record.kind, version: record.version })
    }
    if (at.root && at.often !== true) {
      const skipped = this.replay.skippedBefore(at.path)
      if (skipped !== undefined) {
        return this.stall({ reason: "Order", step: at.path, recorded: skipped.name, version: skipped.version })
      }
    }
    this.replay.reach(at.path)
    if (this.#decided !== undefined) {
      return this.endDecided
    }
    if (this.env.isStopping() && !at.inside) {
      return this.stopHere
    }
    if (++this.#operations > this.env.stepLimit && !this.#unwinding) {
      return Effect.die(new StepLimitExceeded({ step: at.path, limit: this.env.stepLimit }))
    }
    return Effect.undefined
  }

  /** A read that fails ends the run, as a write does. */
  reading<A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A> {
    return Effect.catch(effect, () => {
      this.end({ _tag: "Failed" })
      return halt
    })
  }

  /** Waits for a signal. */
  await(name: string): Effect.Effect<string> {
    return Effect.suspend(() => {
      if (this.waits.get(name) === undefined && this.ending === undefined) {
        if (this.#decided !== undefined) {
          return this.endDecided
        }
        if (
          this.cancelRequest === "safe" && !this.#unwinding && !this.waits.isWorking && this.#toFind.size === 0
        ) {
          this.end({ _tag: "Unwinding", conclusion: this.program.cancelled })
        }
      }
      return this.waits.await(name)
    })
  }

  /**
   * An operation that the handler gives up, say since it lost a race, is
   * recorded as given up: by the time of a replay it may be done too, and must
   * not win. The record comes before all that follows from the end of the race,
   * since writes keep their order. `at`: the path within the attempt around it.
   */
  unlessAbandoned<A, E, R>(at: string, operation: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const path = `${Replay.abandoned}/${at}`
    return Effect.onInterrupt(
      this.replay.get(path) === undefined ? operation : Effect.andThen(this.waits.last, operation),
      () => this.#abandon(path)
    )
  }

  #abandon(path: string): Effect.Effect<void> {
    if (this.ending !== undefined || this.#sealed || this.replay.get(path) !== undefined) {
      return Effect.void
    }
    return Effect.ignore(this.journal.submit({
      _tag: "RecordStep",
      id: this.id,
      name: path,
      key: path,
      kind: "abandoned",
      root: false,
      version: this.env.version,
      exit: "null"
    }))
  }

  /**
   * What has to be on disk for `until`: a long wait is armed as the signal
   * `due/<path>`; a short one is held in memory and arms nothing.
   */
  arm(path: string, due: number): ReadonlyArray<ArmTimer> {
    return due - this.now <= this.env.idleDelay
      ? []
      : [{ _tag: "ArmTimer", id: this.id, name: `due/${path}`, at: due, exit: "null" }]
  }

  /** Waits until an absolute time. */
  until(path: string, due: number, armed: ReadonlyArray<ArmTimer>): Effect.Effect<void> {
    return Effect.suspend(() =>
      armed.length > 0
        ? Effect.asVoid(this.await(`due/${path}`))
        : due > this.now && this.waits.get(`due/${path}`) === undefined
        ? this.waits.hold(Effect.sleep(due - this.now))
        : Effect.void
    )
  }
}
