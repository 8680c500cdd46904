/**
 * The runs of this process: starts them, and does what follows from how they
 * end.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import type { Ids } from "../../session/Ids.ts"
import * as JsonRpc from "../../session/JsonRpc.ts"
import type { Driver, ExecutionRecord, Park, RunCause, Store, Watch, Write } from "../../store/Store.ts"
import { StoreError } from "../../store/StoreError.ts"
import * as Limits from "../Limits.ts"
import type { NonDeterminism } from "../StepError.ts"
import { StepProbe } from "../StepProbe.ts"
import type { Environment } from "./Environment.ts"
import { type Options, Run } from "./Run.ts"
import { encodeDefect } from "./stored.ts"

/** A workflow that can be run, by name. @internal */
export interface Registration {
  readonly name: string
  /** What a run of a stored execution is made of. */
  readonly load: (record: ExecutionRecord) => Effect.Effect<Omit<Options, "id" | "stored">, NonDeterminism>
}

/** @internal */
export interface Settings {
  readonly drainTimeout: number
  readonly suspectAfter: number
  readonly stuckAfter: number
  readonly repairLimit: number
}

/** Name of the signal that a stalled call has waited long enough for a fix. */
const repairSignal = "repair"

/** @internal */
export class Runs {
  readonly env: Environment
  readonly engine: WorkflowEngine["Service"]
  readonly #settings: Settings
  readonly #registrations = new Map<string, Registration>()
  readonly #live = new Map<string, Run>()
  /** What waits for the end of a run. */
  readonly #observers = new Map<string, Set<() => void>>()
  /** Runs of calls, by session. */
  readonly #bySession = new Map<string, number>()
  /** Executions that the driver has left to us. */
  readonly #adopted = new Set<string>()
  /** Executions that may be what kills the process run one at a time. */
  readonly #suspects = Semaphore.makeUnsafe(1)
  /** Unclean ends that are not on disk yet, since the store has failed: the driver tells of each once. */
  readonly #uncounted = new Set<string>()
  #driver: Driver | undefined
  #stopping = false

  constructor(options: {
    readonly store: Store["Service"]
    readonly ids: Ids["Service"]
    /** What a body's fiber starts with, besides what is the engine's and the run's. */
    readonly context: Context.Context<never>
    readonly clock: Clock.Clock
    readonly engine: (runs: Runs) => WorkflowEngine["Service"]
    readonly limits: Pick<
      Environment,
      "idleDelay" | "questionLifetime" | "stepLimit" | "eventLimit" | "version" | "probe"
    >
    readonly settings: Settings
  }) {
    const { clock, context, ids, limits, settings, store } = options
    this.engine = options.engine(this)
    this.#settings = settings
    this.env = {
      store,
      ids,
      clock,
      context: Context.add(context, WorkflowEngine, this.engine),
      ...limits,
      fork: Effect.runForkWith(context),
      isStopping: () => this.#stopping,
      adopt: (id) => {
        if (this.#driver?.adopt(id) === true) {
          this.#adopted.add(id)
        }
      }
    }
  }

  get isStopping(): boolean {
    return this.#stopping
  }

  get(id: string): Run | undefined {
    return this.#live.get(id)
  }

  inFlight(session: string): number {
    return this.#bySession.get(session) ?? 0
  }

  register(registration: Registration): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        this.#registrations.set(registration.name, registration)
      }),
      () => Effect.sync(() => this.#registrations.delete(registration.name))
    )
  }

  isRegistered(name: string): boolean {
    return this.#registrations.has(name)
  }

  /** Starts a run. It begins on this stack; none of the same id may be live. */
  launch(options: Options): Run {
    const run = new Run(this.env, options)
    this.#live.set(run.id, run)
    this.#count(run, 1)
    this.#fork(run, run.main)
    return run
  }

  /** Waits until the run has ended, and what follows from it is on disk. */
  settled(run: Run): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.#live.get(run.id) !== run) {
        return resume(Effect.void)
      }
      const observers = this.#observers.get(run.id) ?? new Set()
      const observer = () => resume(Effect.void)
      this.#observers.set(run.id, observers.add(observer))
      return Effect.sync(() => observers.delete(observer))
    })
  }

  // ---------------------------------------------------------------------------
  // What the driver runs
  // ---------------------------------------------------------------------------

  /** Runs what is on disk, and what comes, until the scope closes. */
  get start(): Effect.Effect<void, StoreError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      this.#driver = yield* this.env.store.drive((id, cause) => this.#drive(id, cause))
      yield* Effect.addFinalizer(() => this.drain)
    })
  }

  #drive(id: string, cause: RunCause): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const live = this.#live.get(id)
      if (live !== undefined) {
        return yield* this.settled(live)
      }
      if (cause.cutOff) {
        this.#uncounted.add(id)
      }
      // Before the snapshot: what it does not hold wakes the run.
      const watch = this.env.store.watch({ _tag: "Execution", id })
      const record = Option.getOrUndefined(yield* this.env.store.execution(id))
      if (record === undefined || record.result !== undefined || this.#stopping) {
        this.#uncounted.delete(id)
        return watch.close()
      }
      yield* this.#carryOut(record, watch).pipe(Effect.onError(() => Effect.sync(watch.close)))
    }).pipe(
      // The driver tries again.
      Effect.catch((error) => Effect.logWarning("An execution cannot be run now", error)),
      Effect.annotateLogs("execution", id)
    )
  }

  #carryOut(record: ExecutionRecord, watch: Watch): Effect.Effect<void, StoreError> {
    return Effect.gen({ self: this }, function*() {
      const { id } = record
      const registration = this.#registrations.get(record.workflow)
      if (registration === undefined) {
        yield* Effect.logError(`Workflow "${record.workflow}" is not registered`)
        watch.close()
        return yield* this.#park(record, "stopped", { _tag: "NotRegistered", workflow: record.workflow })
      }
      const isCutOff = this.#uncounted.has(id)
      const run = Effect.gen({ self: this }, function*() {
        const recoveries = isCutOff ? yield* this.#beginRecovery(id) : 0
        if (recoveries > this.#settings.stuckAfter) {
          watch.close()
          return yield* this.#giveUp(record, recoveries)
        }
        if (this.#stopping) {
          return watch.close()
        }
        yield* Effect.matchEffect(registration.load(record), {
          onFailure: (error) => {
            watch.close()
            return Effect.andThen(
              Effect.logError(error),
              this.#park(record, "stuck", { _tag: "NonDeterminism", message: error.message })
            )
          },
          onSuccess: (options) =>
            Effect.suspend(() =>
              this.#runStored(this.launch({ ...options, id, stored: { record, watch } }), recoveries)
            )
        })
      })
      // Its turn first: while it waits, it is not what ends the process.
      const isSuspect = isCutOff && record.recoveries >= this.#settings.suspectAfter
      return yield* isSuspect ? this.#suspects.withPermit(run) : run
    })
  }

  #runStored(run: Run, recoveries: number): Effect.Effect<void> {
    const settled = this.settled(run)
    // A suspect that comes as far as to record something is none any more.
    const cleared = Effect.callback<void>((resume) => {
      run.journal.onRecorded = () => resume(Effect.void)
    })
    return Effect.onInterrupt(
      recoveries > this.#settings.suspectAfter ? Effect.raceFirst(settled, cleared) : settled,
      () => Effect.sync(() => run.end({ _tag: "Failed" }))
    )
  }

  #beginRecovery(id: string): Effect.Effect<number, StoreError> {
    return Effect.map(
      this.env.store.commit([{ _tag: "BeginRecovery", id, boot: this.env.ids.boot }]),
      ([outcome]) => {
        this.#uncounted.delete(id)
        return outcome?._tag === "Recovering" ? outcome.recoveries : 0
      }
    )
  }

  /** It ended the process each time: the client is told, and operators have to look. */
  #giveUp(record: ExecutionRecord, recoveries: number): Effect.Effect<void, StoreError> {
    return Effect.gen({ self: this }, function*() {
      yield* Effect.logError(`The execution is stuck: ${recoveries} recoveries without progress`)
      const error = yield* this.#errorEvent(record, "The server had to give this request up")
      yield* this.#park(record, "stuck", { _tag: "Stuck", recoveries }, error)
    })
  }

  /** The last event of a call that cannot go on now. Its result, if there is one some day, is for operators. */
  #errorEvent(record: ExecutionRecord, message: string): Effect.Effect<ReadonlyArray<Write>> {
    return Effect.match(this.#registrations.get(record.workflow)!.load(record), {
      onFailure: () => [],
      onSuccess: ({ peer }): ReadonlyArray<Write> =>
        peer === undefined ? [] : [errorEvent(record.id, peer.request.requestId, message)]
    })
  }

  #park(
    record: ExecutionRecord,
    state: Park["state"],
    reason: unknown,
    before: ReadonlyArray<Write> = []
  ): Effect.Effect<void, StoreError> {
    const park: Write = {
      _tag: "Park",
      id: record.id,
      state,
      seenSignals: record.signals.length,
      seenCancel: record.cancel !== undefined,
      reason: JSON.stringify(reason)
    }
    const [first = park, ...rest] = [...before, park]
    return Effect.asVoid(this.env.store.commit([first, ...rest]))
  }

  // ---------------------------------------------------------------------------
  // How runs end
  // ---------------------------------------------------------------------------

  #fork(run: Run, effect: Effect.Effect<void>): void {
    Effect.runForkWith(run.context)(effect).addObserver((exit) => this.#ended(run, exit))
  }

  #ended(run: Run, exit: Exit.Exit<void>): void {
    if (run.ending?._tag === "Unwinding") {
      return this.#fork(run, run.unwind(run.ending.conclusion))
    }
    if (run.ending === undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) && !run.isUnwinding) {
      // User code has got hold of the fiber.
      return this.#fork(run, run.unwind(run.program.interrupted))
    }
    if (run.ending === undefined) {
      run.end({ _tag: "Failed" })
      const cause = exit._tag === "Failure" ? exit.cause : Cause.empty
      this.env.fork(
        Effect.logError("A run ended unexpectedly", cause).pipe(Effect.annotateLogs("execution", run.id))
      )
    }
    const { scope } = run.instance
    if (scope.state._tag === "Open") {
      // What the run holds is freed; what is for the end of the execution knows that this is none.
      this.env.fork(Effect.ignore(Scope.close(scope, exit))).addObserver(() => this.#follow(run))
    } else {
      this.#follow(run)
    }
  }

  #follow(run: Run): void {
    const { ending } = run
    switch (ending?._tag) {
      case "Parked":
        return this.#leave(run, "waiting")
      case "Stopped":
        return this.#leave(run, "stopped")
      case "Suspended":
        return this.#leave(run, "stuck", { _tag: "SuspendedOnFailure", cause: Cause.pretty(ending.cause) })
      case "Stalled":
        return this.#leaveStalled(run, ending.error)
      default:
        return this.#settle(run)
    }
  }

  /** The execution is without a run from here on. */
  #leave(run: Run, state: Park["state"], reason?: unknown, before: ReadonlyArray<Write> = []): void {
    const commit = run.journal.commit([...before, {
      _tag: "Park",
      id: run.id,
      state,
      seenSignals: run.waits.seenSignals,
      seenCancel: run.cancelRequest !== undefined,
      reason: reason === undefined ? undefined : JSON.stringify(reason)
    }])
    // Without the park it is one that was cut off, and runs again.
    this.env.fork(Effect.ignore(commit)).addObserver(() => this.#settle(run))
  }

  /**
   * The call waits for a fix, and its client with it, until `repairLimit`; then
   * the client gets an error. One that is to be cancelled just ends.
   */
  #leaveStalled(run: Run, error: NonDeterminism): void {
    const reason = { _tag: "NonDeterminism", defect: encodeDefect(error) }
    this.env.fork(Effect.logError(error).pipe(Effect.annotateLogs("execution", run.id)))
    if (run.peer === undefined) {
      this.#leave(run, "stuck", reason)
    } else if (run.cancelRequest !== undefined) {
      this.#leave(run, "stuck", reason, [{ _tag: "Append", stream: run.id, key: "end", last: true }])
    } else if (run.waits.get(repairSignal) !== undefined) {
      this.#leave(run, "stuck", reason, [
        errorEvent(run.id, run.peer.request.requestId, "The server was changed while this request was under way")
      ])
    } else {
      const at = run.now + this.#settings.repairLimit
      this.#leave(run, "waiting", reason, [{ _tag: "ArmTimer", id: run.id, name: repairSignal, at, exit: "null" }])
    }
  }

  #settle(run: Run): void {
    run.waits.close()
    this.#live.delete(run.id)
    this.#count(run, -1)
    run.journal.close(notStarted)
    const observers = this.#observers.get(run.id)
    this.#observers.delete(run.id)
    if (this.#adopted.delete(run.id) && this.#driver !== undefined) {
      this.env.fork(this.#driver.release(run.id))
    }
    observers?.forEach((observer) => observer())
  }

  #count(run: Run, by: 1 | -1): void {
    const session = run.peer?.request.profile.session
    if (session !== undefined) {
      const count = this.inFlight(session) + by
      if (count === 0) {
        this.#bySession.delete(session)
      } else {
        this.#bySession.set(session, count)
      }
    }
  }

  // ---------------------------------------------------------------------------
  // Shutdown
  // ---------------------------------------------------------------------------

  /**
   * No step starts any more; those that run may finish within the drain
   * timeout. What is not done by then goes on in the next process.
   */
  get drain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#stopping = true
      for (const run of this.#live.values()) {
        run.stopBetweenSteps()
      }
      const allSettled = Effect.suspend(() =>
        Effect.forEach(Array.from(this.#live.values()), (run) => this.settled(run), { discard: true })
      )
      const stopAll = Effect.sync(() => {
        for (const run of this.#live.values()) {
          run.end({ _tag: "Stopped" })
        }
      })
      return Effect.gen({ self: this }, function*() {
        if (this.#driver !== undefined) {
          yield* this.#driver.stop
        }
        yield* Effect.timeoutOption(allSettled, this.#settings.drainTimeout)
        if (this.#live.size > 0) {
          yield* stopAll
          // User code may be in a region that cannot be interrupted.
          yield* Effect.timeoutOption(allSettled, "1 second")
        }
      })
    })
  }
}

const errorEvent = (stream: string, requestId: JsonRpc.Id, message: string): Write => ({
  _tag: "Append",
  stream,
  key: "result",
  data: JsonRpc.encodeResponse(requestId, { error: { code: JsonRpc.ErrorCode.InternalError, message } }),
  last: true
})

const notStarted = (): StoreError => new StoreError({ reason: "Io", message: "The call could not be started" })

/** The limits of the layer that is being built. @internal */
export const limits = Effect.gen(function*() {
  return {
    idleDelay: Duration.toMillis(yield* Limits.IdleDelay),
    questionLifetime: Duration.toMillis(yield* Limits.QuestionLifetime),
    stepLimit: yield* Limits.StepLimit,
    eventLimit: yield* Limits.EventLimit,
    version: yield* Limits.ServerVersion,
    probe: yield* StepProbe
  }
})

/** @internal */
export const settings: Effect.Effect<Settings> = Effect.gen(function*() {
  return {
    drainTimeout: Duration.toMillis(yield* Limits.DrainTimeout),
    suspectAfter: yield* Limits.SuspectAfter,
    stuckAfter: yield* Limits.StuckAfter,
    repairLimit: Duration.toMillis(yield* Limits.RepairLimit)
  }
})
