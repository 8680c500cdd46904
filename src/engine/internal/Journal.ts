/**
 * All that a run writes. The call itself goes to disk with the first of it
 * (folded start), so a run that writes nothing but its result costs one commit.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Complete, OpenStream, Outcome, StartExecution, Watch, Write } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { type Environment, halt } from "./Environment.ts"
import type { Replay } from "./Replay.ts"

/** The writes that put a call on disk. @internal */
export interface Opening {
  readonly stream: OpenStream
  /** Not needed for a call that is done at once. */
  readonly execution: () => StartExecution
}

/** A step to be recorded. @internal */
export interface Recording {
  readonly path: string
  readonly kind: string
  /** Default: derived from execution and path, as all keys are. */
  readonly key?: string | undefined
  readonly root: boolean
  readonly exit: string
}

/** @internal */
export interface Options {
  readonly env: Environment
  readonly id: string
  readonly replay: Replay
  /** Absent for an execution that is on disk. */
  readonly opening: Opening | undefined
  /** The store, or somebody else, has taken the execution from this run. */
  readonly onEnd: (ending: { readonly _tag: "Failed" | "Superseded" }) => void
  /** The execution is going to disk; registered before it is there. */
  readonly onWatch: (watch: Watch) => void
}

/** @internal */
export class Journal {
  /** The stream's token, once the call is on disk. */
  readonly accepted: Deferred.Deferred<string, StoreError> = Deferred.makeUnsafe()
  /** Called when a step has been recorded. */
  onRecorded: (() => void) | undefined
  readonly #options: Options
  #state: "new" | "opening" | "open" | "failed"
  /** Those who wait while the state is `opening`. */
  readonly #waiting = new Set<() => void>()

  constructor(options: Options) {
    this.#options = options
    this.#state = options.opening === undefined ? "open" : "new"
  }

  /** What the call asked, where this run began it. */
  get requestDigest(): string | undefined {
    return this.#options.opening?.stream.requestDigest
  }

  /** The call is on disk, or going there. */
  get isBegun(): boolean {
    return this.#state !== "new"
  }

  /**
   * Puts the call on disk, if it is not there yet. For those outside of the
   * run: `accepted` tells what came of it.
   */
  get open(): Effect.Effect<void> {
    return Effect.suspend(() => this.#state === "new" ? Effect.ignore(this.#begin([])) : this.#opened)
  }

  /** The run has ended: a call that is not on disk by now must not come there, for nobody would run it. */
  close(reason: () => StoreError): void {
    if (this.#state === "new") {
      this.#settle("failed")
    }
    // Made only when it is needed: most calls were accepted long ago, and a stack trace is dear.
    Deferred.doneUnsafe(this.accepted, Effect.suspend(() => Effect.fail(reason())))
  }

  /**
   * Makes writes durable, and the call before them. Fails only when these
   * writes are at fault; when the store is, the run ends, and this fiber too.
   */
  commit(writes: ReadonlyArray<Write>): Effect.Effect<ReadonlyArray<Outcome>, StoreError> {
    return Effect.suspend(() => {
      switch (this.#state) {
        case "open":
          return this.#guard(this.#commit(writes))
        case "new":
          return this.#orHalt(this.#begin(writes))
        case "opening":
          return Effect.flatMap(this.#opened, () => this.commit(writes))
        case "failed":
          return halt
      }
    })
  }

  /** As `commit`, but waits only to put the call on disk. */
  submit(write: Write): Effect.Effect<void, StoreError> {
    return Effect.suspend(() =>
      this.#state === "open"
        ? this.#guard(this.#options.env.store.submit([write]))
        : Effect.asVoid(this.commit([write]))
    )
  }

  /** Records a step, with more writes after it. Succeeds with the exit that stands. */
  record(step: Recording, more: ReadonlyArray<Write> = []): Effect.Effect<string, StoreError> {
    const { env, id, onEnd, replay } = this.#options
    const { exit, kind, path: name, root } = step
    const key = step.key ?? name // a store keeps no empty text
    const { version } = env
    return Effect.flatMap(
      this.commit([{ _tag: "RecordStep", id, name, key, kind, root, version, exit }, ...more]),
      ([outcome]) => {
        if (outcome?._tag !== "Stands") {
          onEnd({ _tag: "Superseded" })
          return halt
        }
        this.onRecorded?.()
        replay.add({
          name,
          key,
          kind,
          root,
          version,
          exit: outcome.value,
          recordedAt: env.clock.currentTimeMillisUnsafe()
        })
        return Effect.succeed(outcome.value)
      }
    )
  }

  /**
   * The run's last commit: what the client still sees, then the result. A call
   * that is not on disk by then is its stream and no more.
   */
  finish(events: ReadonlyArray<Write>, complete: Complete): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      switch (this.#state) {
        case "open":
          return Effect.asVoid(this.#guard(this.#commit([...events, complete])))
        case "new":
          return Effect.asVoid(this.#orHalt(this.#open([this.#options.opening!.stream], events)))
        case "opening":
          return Effect.flatMap(this.#opened, () => this.finish(events, complete))
        case "failed":
          return halt
      }
    })
  }

  #begin(writes: ReadonlyArray<Write>): Effect.Effect<ReadonlyArray<Outcome> | undefined, StoreError> {
    const { env, id, onWatch, opening } = this.#options
    onWatch(env.store.watch({ _tag: "Execution", id }))
    env.adopt(id)
    return this.#open([opening!.stream, opening!.execution()], writes)
  }

  /** Succeeds with `undefined` where somebody else was first. */
  #open(
    opening: ReadonlyArray<Write>,
    writes: ReadonlyArray<Write>
  ): Effect.Effect<ReadonlyArray<Outcome> | undefined, StoreError> {
    this.#state = "opening"
    // Not interruptible: others wait for what becomes of it.
    return Effect.uninterruptible(Effect.matchEffect(this.#commit([...opening, ...writes]), {
      onFailure: (error) => {
        if (error.isInvalidWrite && writes.length > 0) {
          this.#settle("new")
        } else {
          Deferred.doneUnsafe(this.accepted, Effect.fail(error))
          // First the end of the run: those who wait go on at once, and find that it has ended.
          this.#options.onEnd({ _tag: "Failed" })
          this.#settle("failed")
        }
        return Effect.fail(error)
      },
      onSuccess: (outcomes) => {
        const [opened, started] = outcomes
        const isOurs = opened?._tag === "Opened" && !opened.closed &&
          (opening.length === 1 || (started?._tag === "Made" && started.fresh))
        if (!isOurs) {
          this.#options.onEnd({ _tag: "Superseded" })
        }
        this.#settle("open")
        Deferred.doneUnsafe(this.accepted, Effect.succeed(opened?._tag === "Opened" ? opened.token : ""))
        return Effect.succeed(isOurs ? outcomes.slice(opening.length) : undefined)
      }
    }))
  }

  /** Waits until the commit that puts the call on disk is over. */
  get #opened(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.#state !== "opening") {
        return resume(Effect.void)
      }
      const settled = () => resume(Effect.void)
      this.#waiting.add(settled)
      return Effect.sync(() => this.#waiting.delete(settled))
    })
  }

  #settle(state: "new" | "open" | "failed"): void {
    this.#state = state
    const waiting = Array.from(this.#waiting)
    this.#waiting.clear()
    for (const settled of waiting) {
      settled()
    }
  }

  #commit(writes: ReadonlyArray<Write>): Effect.Effect<ReadonlyArray<Outcome>, StoreError> {
    const [first, ...rest] = writes
    return first === undefined ? Effect.succeed([]) : this.#options.env.store.commit([first, ...rest])
  }

  /** The store is at fault, not the writes: the run ends. */
  #guard<A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> {
    return Effect.catch(effect, (error) => {
      if (error.isInvalidWrite) {
        return Effect.fail(error)
      }
      this.#options.onEnd({ _tag: "Failed" })
      return halt
    })
  }

  #orHalt<A>(effect: Effect.Effect<A | undefined, StoreError>): Effect.Effect<A, StoreError> {
    return Effect.flatMap(this.#guard(effect), (value) => value === undefined ? halt : Effect.succeed(value))
  }
}
