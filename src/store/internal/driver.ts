/**
 * Runs what must run and fires timers.
 *
 * The driver remembers only what is under way: whether anything else must run is
 * read from the backend, when a write brings news and when a run has ended. So a
 * parked execution costs it nothing.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { ArmTimer, Driver, RunCause, Store, Write } from "../Store.ts"
import type { StoreError } from "../StoreError.ts"
import { Backoff, StartsPerTurn } from "../StoreLimits.ts"
import type { Backend } from "./Backend.ts"
import { delayMillis } from "./backoff.ts"

/** Timers that are fired in one commit. */
const timersPerCommit = 100

/**
 * Longest sleep in milliseconds, after which the time is read again: the wall
 * clock may have been set, and a suspended machine does not count.
 */
const longestSleep = 10 * 60 * 1_000

/**
 * The driver and what it has to be told of applied writes.
 *
 * @internal
 */
export interface Driving {
  readonly drive: Store["Service"]["drive"]
  readonly started: (id: string) => void
  /** A signal or a cancel request. */
  readonly news: (id: string) => void
  readonly resumed: (id: string) => void
  /** A `Park` was refused. */
  readonly refused: (id: string) => void
  /** A fresh step. */
  readonly progress: (id: string) => void
  readonly armed: (at: ArmTimer["at"]) => void
}

/**
 * Where an execution stands. `cutOff`: its run ended with the process before, or
 * may have. A backend that knows it of each execution by itself says so; for the
 * others the driver goes by what they listed as runnable when it came up.
 *
 * @internal
 */
export interface Standing extends NonNullable<ReturnType<Backend["standing"]>> {
  readonly cutOff?: boolean | undefined
}

/** @internal */
export interface Options {
  readonly runnable: (after: number, limit: number) => Effect.Effect<ReturnType<Backend["runnable"]>, StoreError>
  readonly nextTimer: Effect.Effect<number | undefined, StoreError>
  readonly dueTimers: (now: number, limit: number) => Effect.Effect<ReturnType<Backend["dueTimers"]>, StoreError>
  readonly standing: (id: string) => Result.Result<Standing | undefined, StoreError>
  readonly commit: Store["Service"]["commit"]
}

/** A run that is under way, or the wait for its next attempt. */
interface Live {
  readonly id: string
  /** Somebody else runs it, until `release`. */
  adopted: boolean
  /** Runs in a row that ended for nothing. */
  failures: number
  /** Something came that the present run may not know. */
  news: boolean
  wait: Fiber.Fiber<void> | undefined
}

/** @internal */
export const make = (options: Options): Driving => {
  let active: Active | undefined
  return {
    drive: Effect.fnUntraced(function*(run) {
      if (active !== undefined) {
        return yield* Effect.die(new Error("Store.drive is to be called once"))
      }
      // a store that cannot be read is told to the caller, not to the log
      yield* options.runnable(0, 1)
      active = yield* activate(options, run)
      return active
    }),
    started: (id) => active?.started(id),
    news: (id) => active?.news(id),
    resumed: (id) => active?.resumed(id),
    refused: (id) => active?.refused(id),
    progress: (id) => active?.progress(id),
    armed: (at) => active?.armed(at)
  }
}

interface Active extends Driver, Omit<Driving, "drive"> {}

const activate = Effect.fnUntraced(function*(
  options: Options,
  run: (id: string, cause: RunCause) => Effect.Effect<void>
): Effect.fn.Return<Active, never, Scope.Scope> {
  const backoff = yield* Backoff
  const startsPerTurn = yield* StartsPerTurn
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const fibers = new Set<Fiber.Fiber<void>>()
  const lives = new Map<string, Live>()
  const timerArmed = Latch.makeUnsafe(false)
  let earliestTimer = Infinity
  /** Not all of what the process before left has been taken up. */
  let starting = true
  let stopped = false
  let closed = false

  const fork = (effect: Effect.Effect<void>, ended?: (exit: Exit.Exit<void>) => void): Fiber.Fiber<void> => {
    const fiber = runFork(effect)
    fibers.add(fiber)
    fiber.addObserver((exit) => {
      fibers.delete(fiber)
      if (!closed) {
        ended?.(exit)
      }
    })
    return fiber
  }

  /** Tries again for as long as the store is ours. */
  const persist = <A>(effect: Effect.Effect<A, StoreError>, failures = 1): Effect.Effect<A, StoreError> =>
    effect.pipe(Effect.catch((error) =>
      error.reason === "Fenced"
        ? Effect.fail(error)
        : Effect.logWarning("The driver cannot use its store and tries again", error).pipe(
          Effect.andThen(Effect.sleep(delayMillis(backoff, failures))),
          Effect.andThen(persist(effect, failures + 1))
        )
    ))

  const withStanding = (id: string, use: (standing: Standing | undefined) => void): void => {
    const standing = options.standing(id)
    if (Result.isSuccess(standing)) {
      return use(standing.success)
    }
    fork(Effect.ignore(Effect.map(persist(Effect.suspend(() => Effect.fromResult(options.standing(id)))), use)))
  }

  const startIfRunning = (id: string, cause: RunCause): void => {
    if (!stopped && !lives.has(id)) {
      withStanding(id, (standing) => {
        if (standing?.state === "running") {
          start(id, standing.cutOff === undefined ? cause : { cutOff: standing.cutOff })
        }
      })
    }
  }

  /** For a run under way, or for a new one. */
  const tell = (id: string, cause: RunCause): void => {
    const live = lives.get(id)
    if (live === undefined) {
      startIfRunning(id, cause)
    } else if (live.wait !== undefined) {
      live.wait.interruptUnsafe()
    } else {
      live.news = true
    }
  }

  const start = (id: string, cause: RunCause): void => {
    if (!stopped && !lives.has(id)) {
      const live: Live = { id, adopted: false, failures: 0, news: false, wait: undefined }
      lives.set(id, live)
      launch(live, cause)
    }
  }

  const launch = (live: Live, cause: RunCause): void => {
    fork(Effect.suspend(() => run(live.id, cause)), (exit) => {
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
        fork(
          Effect.logError("A run ended with a defect", exit.cause).pipe(Effect.annotateLogs("execution", live.id))
        )
      }
      ended(live)
    })
  }

  /** A run is over: what follows is in the store. */
  const ended = (live: Live): void =>
    withStanding(live.id, (standing) => {
      if (standing?.state !== "running") {
        lives.delete(live.id)
      } else if (stopped) {
        lives.delete(live.id)
        fork(parkStopped([live.id]))
      } else if (live.news) {
        live.news = false
        launchAfter(live, Effect.void)
      } else {
        live.failures++
        launchAfter(live, Effect.sleep(delayMillis(backoff, live.failures)))
      }
    })

  /** Never in this turn: a run that ends at once must not hold the thread. */
  const launchAfter = (live: Live, wait: Effect.Effect<void>): void => {
    live.wait = fork(Effect.andThen(Effect.yieldNow, wait), () => {
      live.wait = undefined
      // not after `stop`
      if (lives.get(live.id) === live) {
        launch(live, { cutOff: false })
      }
    })
  }

  /** The next process takes these up as what they are: stopped, not cut off. */
  const parkStopped = (ids: ReadonlyArray<string>): Effect.Effect<void> => {
    const parks = ids.map((id): Write => ({ _tag: "Park", id, state: "stopped", seenSignals: 0, seenCancel: false }))
    return Arr.isReadonlyArrayNonEmpty(parks) ? Effect.ignore(options.commit(parks)) : Effect.void
  }

  const startAll = Effect.gen(function*() {
    let after = 0
    while (true) {
      // yields before it reads, so that what it starts is what the page says
      yield* Effect.yieldNow
      if (stopped) {
        return
      }
      const page = yield* persist(options.runnable(after, startsPerTurn))
      const resumes: Array<Write> = []
      for (const { cutOff, id } of page.items) {
        if (cutOff) {
          start(id, { cutOff })
        } else {
          // On disk before it runs: from here on an end without a word is unclean.
          resumes.push({ _tag: "Resume", id })
        }
      }
      if (Arr.isReadonlyArrayNonEmpty(resumes)) {
        yield* persist(options.commit(resumes))
      }
      if (page.next === undefined) {
        starting = false
        return
      }
      after = page.next
    }
  })

  const fireTimers = Effect.gen(function*() {
    while (true) {
      timerArmed.closeUnsafe()
      earliestTimer = (yield* persist(options.nextTimer)) ?? Infinity
      const now = yield* Clock.currentTimeMillis
      if (earliestTimer > now) {
        const sleep = earliestTimer === Infinity
          ? Effect.never
          : Effect.sleep(Math.min(earliestTimer - now, longestSleep))
        yield* Effect.raceFirst(sleep, timerArmed.await)
        continue
      }
      const due = yield* persist(options.dueTimers(now, timersPerCommit))
      const signals = due.map((timer): Write => ({ _tag: "Signal", ...timer }))
      if (Arr.isReadonlyArrayNonEmpty(signals)) {
        yield* persist(options.commit(signals))
      }
    }
  })

  yield* Effect.addFinalizer(() => {
    closed = true
    return Fiber.interruptAll(Array.from(fibers))
  })
  fork(Effect.ignore(startAll))
  fork(Effect.ignore(fireTimers))

  return {
    adopt: (id) => {
      if (lives.has(id)) {
        return false
      }
      lives.set(id, { id, adopted: true, failures: 0, news: false, wait: undefined })
      return true
    },
    release: (id) =>
      Effect.sync(() => {
        const live = lives.get(id)
        if (live?.adopted === true) {
          live.adopted = false
          ended(live)
        }
      }),
    stop: Effect.suspend(() => {
      stopped = true
      const waiting = Array.from(lives.values()).filter((live) => live.wait !== undefined)
      for (const live of waiting) {
        lives.delete(live.id)
        live.wait!.interruptUnsafe()
      }
      return parkStopped(waiting.map((live) => live.id))
    }),
    started: (id) => startIfRunning(id, { cutOff: false }),
    // While starting, what has news may be parked or cut off; news makes both look the same.
    news: (id) => tell(id, { cutOff: starting }),
    resumed: (id) => tell(id, { cutOff: false }),
    refused: (id) => {
      const live = lives.get(id)
      if (live !== undefined) {
        live.news = true
      }
    },
    progress: (id) => {
      const live = lives.get(id)
      if (live !== undefined) {
        live.failures = 0
      }
    },
    armed: (at) => {
      if (at < earliestTimer) {
        timerArmed.openUnsafe()
      }
    }
  }
})
