/**
 * What a run waits for: signals, which come through the store. It waits in
 * memory first; a run that does nothing but wait is parked after a while.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { ExecutionRecord, Watch } from "../../store/Store.ts"
import { type Environment, halt } from "./Environment.ts"

/** @internal */
export interface Options {
  readonly env: Environment
  readonly id: string
  readonly record: ExecutionRecord | undefined
  /** Nothing but waiting has happened for a while. */
  readonly onIdle: () => void
  readonly onCancel: (mode: "safe" | "now") => void
  /** The execution is over or gone, or cannot be read. */
  readonly onEnd: (ending: { readonly _tag: "Failed" | "Superseded" }) => void
  readonly isEnded: () => boolean
}

/** No signal has this name. */
const last = "%last"

/** @internal */
export class Waits {
  readonly #options: Options
  readonly #signals: Map<string, string>
  readonly #waiters = new Map<string, Set<(exit: string) => void>>()
  /** Fibers that wait. */
  readonly #fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Signals of the newest snapshot; every wait that is open was compared with all of them. */
  #seenSignals: number
  #watch: Watch | undefined
  #watcher: Fiber.Fiber<void> | undefined
  #idler: Fiber.Fiber<void> | undefined
  #idleSince = 0
  #attempts = 0
  #holds = 0
  /** Idle also without a wait. */
  #alwaysIdle = false

  constructor(options: Options) {
    this.#options = options
    this.#signals = new Map(options.record?.signals.map((signal) => [signal.name, signal.exit]))
    this.#seenSignals = this.#signals.size
  }

  /** What `Park` has to say. */
  get seenSignals(): number {
    return this.#seenSignals
  }

  get isWaiting(): boolean {
    return this.#waiters.size > 0
  }

  /** Attempts of steps are under way. */
  get isWorking(): boolean {
    return this.#attempts > 0
  }

  /** Uses a watch that was registered before the first snapshot. */
  observe(watch: Watch): void {
    if (this.#watch === undefined) {
      this.#watch = watch
      this.listen()
    } else {
      // Another attempt to put the call on disk.
      watch.close()
    }
  }

  get(name: string): string | undefined {
    return this.#signals.get(name)
  }

  /** A signal that this process has just stored. */
  add(name: string, exit: string): void {
    if (!this.#signals.has(name)) {
      this.#signals.set(name, exit)
    }
    const waiters = this.#waiters.get(name)
    if (waiters !== undefined) {
      this.#waiters.delete(name)
      for (const resume of waiters) {
        resume(this.#signals.get(name)!)
      }
    }
  }

  /** Waits for a signal, in memory as long as the run lives. */
  await(name: string): Effect.Effect<string> {
    return Effect.withFiber((fiber) => {
      const exit = this.#signals.get(name)
      if (exit !== undefined) {
        return Effect.succeed(exit)
      }
      if (this.#options.isEnded()) {
        return halt
      }
      return Effect.interruptible(Effect.callback<string>((resume) => {
        const waiter = (exit: string) => {
          this.#fibers.delete(fiber)
          resume(Effect.succeed(exit))
        }
        const waiters = this.#waiters.get(name) ?? new Set()
        this.#waiters.set(name, waiters.add(waiter))
        this.#fibers.add(fiber)
        // Registered first: news may have come since the snapshot, and is heard at once.
        this.listen()
        const exit = this.#signals.get(name)
        if (exit !== undefined) {
          this.add(name, exit)
        }
        this.touch()
        return Effect.sync(() => {
          this.#fibers.delete(fiber)
          waiters.delete(waiter)
          if (waiters.size === 0 && this.#waiters.get(name) === waiters) {
            this.#waiters.delete(name)
          }
        })
      }))
    })
  }

  /** Waits until the run would be parked, so that nothing else comes after it. */
  get last(): Effect.Effect<void> {
    return Effect.asVoid(this.await(last))
  }

  /** Lets those go on that wait to be the last. False where there are none. */
  release(): boolean {
    const waiters = this.#waiters.get(last)
    if (waiters === undefined) {
      return false
    }
    this.#waiters.delete(last)
    for (const resume of waiters) {
      resume("")
    }
    this.touch()
    return true
  }

  /** An attempt of a step: it is not parked, and a shutdown waits for it. */
  attempt<A, E, R>(effect: Effect.Effect<A, E, R>, onDone: () => void): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.#attempts++
      this.listen()
      return Effect.onExitPrimitive(effect, () => {
        this.#attempts--
        this.touch()
        onDone()
        return undefined
      })
    })
  }

  /** Something short that only memory knows of: it is not parked. */
  hold<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.#holds++
      return Effect.onExitPrimitive(effect, () => {
        this.#holds--
        this.touch()
        return undefined
      })
    })
  }

  /** From now on the run is idle also where it waits for nothing of ours. */
  expectIdle(): void {
    this.#alwaysIdle = true
    this.touch()
  }

  /** The run has done something. */
  touch(): void {
    this.#idleSince = this.#options.env.clock.currentTimeMillisUnsafe()
    if (this.#idler === undefined && this.#isIdle) {
      this.#idler = this.#options.env.fork(Effect.suspend(() => this.#waitIdle()))
    }
  }

  /** Hears news of the execution: signals, a cancel request. */
  listen(): void {
    if (this.#watcher === undefined && this.#watch !== undefined) {
      this.#watcher = this.#options.env.fork(this.#follow(this.#watch))
    }
  }

  /** No news matters any more: the result is on its way. It would be news itself, and be read back whole. */
  deafen(): void {
    this.#watch?.close()
    this.#watcher?.interruptUnsafe()
    this.#watch = undefined
  }

  /** The run has ended. */
  close(): void {
    this.deafen()
    this.#idler?.interruptUnsafe()
    // What user code has detached from the body still waits.
    this.interrupt()
  }

  /** Ends all waits. */
  interrupt(): void {
    for (const fiber of Array.from(this.#fibers)) {
      fiber.interruptUnsafe()
    }
  }

  get #isIdle(): boolean {
    return this.#attempts === 0 && this.#holds === 0 && (this.isWaiting || this.#alwaysIdle) &&
      !this.#options.isEnded()
  }

  #waitIdle(): Effect.Effect<void> {
    const { env, onIdle } = this.#options
    const left = this.#idleSince + env.idleDelay - env.clock.currentTimeMillisUnsafe()
    if (left > 0) {
      return Effect.flatMap(Effect.sleep(left), () => this.#waitIdle())
    }
    return Effect.sync(() => {
      this.#idler = undefined
      if (this.#isIdle) {
        onIdle()
      }
    })
  }

  #follow(watch: Watch): Effect.Effect<void> {
    return Effect.flatMap(watch.next, () => Effect.flatMap(this.#read, () => this.#follow(watch)))
  }

  get #read(): Effect.Effect<void> {
    const { env, id, onEnd } = this.#options
    return Effect.matchEager(env.store.execution(id), {
      onFailure: () => onEnd({ _tag: "Failed" }),
      onSuccess: (found) => this.#take(Option.getOrUndefined(found))
    })
  }

  #take(record: ExecutionRecord | undefined): void {
    const { isEnded, onCancel, onEnd } = this.#options
    if (isEnded()) {
      // Nobody waits for it here any more: a park must not say that it was seen.
      return
    }
    if (record === undefined || record.result !== undefined) {
      return onEnd({ _tag: "Superseded" })
    }
    for (const signal of record.signals) {
      this.add(signal.name, signal.exit)
    }
    this.#seenSignals = record.signals.length
    if (record.cancel !== undefined) {
      onCancel(record.cancel)
    }
  }
}
