/**
 * Reboot's tasks, which say what must run: a call has one for as long as its
 * execution runs, a session until listings know of it, a wheel while it has timers.
 * Reboot begins them again after a crash; that is recovery, and no scan.
 *
 * A task is held here and does nothing by itself: it tells the driver where its
 * execution stands, and ends when there is nothing more to run and nothing that
 * would be lost with the process.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import { delayMillis } from "../../store/internal/backoff.ts"
import type { Standing } from "../../store/internal/driver.ts"
import { StoreError } from "../../store/StoreError.ts"
import { Backoff, StartsPerTurn } from "../../store/StoreLimits.ts"
import type { Application } from "./Application.ts"

/**
 * Most executions that this process may have under way. Reboot takes 1,024 tasks
 * of a type; over that it refuses every write that would need another one.
 */
const maxStarted = 900

/** The same for what others wait for: children, and executions that were parked. */
const maxWoken = 1_000

/** How long a write is held back before it fails. */
const longestHold = "10 seconds"

/** Calls that are remembered when their tasks have ended; one more task of one that is not costs a write or two. */
const maxFollowed = 10_000

/** How long the store waits for tasks that can end when it closes. */
const longestClose = "2 seconds"

/** An execution of which this process has to know where it stands. */
interface Watched {
  standing: Standing | undefined
  /** Its task is here. */
  held: boolean
  /** This opening of the store made it. */
  ours: boolean
  /** This opening of the store stopped it, and does not run it again. */
  stopped: boolean
  /** Reboot is about to begin its task. */
  awaited: boolean
  /** Writes under way that may let it run. */
  starting: number
  /** What follows from its writes and is under way: timers, the parent's signal. */
  following: number
  /** Some of that failed, or died with the process before. */
  unfollowed: boolean
  readonly changed: Latch.Latch
}

/** @internal */
export interface Options {
  readonly application: Application
  /** Where the execution of a call stands, read anew; undefined for a state that holds nothing. */
  readonly read: (
    stateId: string
  ) => Effect.Effect<{ readonly id: string; readonly standing: Standing | undefined } | undefined, StoreError>
  /** The execution may have to run: tells the driver. */
  readonly started: (id: string) => void
  /** Lets an execution run again that the process before stopped. */
  readonly resume: (id: string) => Effect.Effect<unknown, StoreError>
  /** The call is another process's, which may have died before it followed up its writes. */
  readonly takeOver: (stateId: string) => Effect.Effect<void, StoreError>
  /** What was entered into the directory for the call is durable. */
  readonly settled: (id: string) => Effect.Effect<void>
  /** Makes it so at once, for all calls. */
  readonly settle: Effect.Effect<void, StoreError>
  /** Tells listings of a session, whose id it is; undefined for a state that holds nothing. */
  readonly session: (stateId: string) => Effect.Effect<string | undefined, StoreError>
  readonly wheel: (wheel: string) => Effect.Effect<void>
}

/** @internal */
export interface Tasks {
  /** Of executions that run, are stopped, or have their task here. */
  readonly standing: (id: string) => Standing | undefined
  /** Whether the task of the state is here. */
  readonly holds: (stateId: string) => boolean
  /** What is durable of an execution, as a write or a read found it. */
  readonly observe: (id: string, standing: Standing | undefined) => void
  /** This opening of the store makes the execution. */
  readonly made: (id: string) => void
  /** This opening of the store parks it as stopped: the next one is to run it. */
  readonly stopped: (id: string) => void
  /** A write failed, and may stand all the same: what follows from it is made sure of when the task ends. */
  readonly unsure: (id: string) => void
  /** The task of the execution does not end before `effect`, which follows from one of its writes. */
  readonly following: <A>(id: string, effect: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
  /** A write that may let the execution run, when there is room for one more; `woken`: others wait for it. */
  readonly inRoom: <A>(id: string, woken: boolean, write: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
  /** The driver is there. */
  readonly driven: () => void
  /** Runs tasks until the scope closes. Call it once. */
  readonly serve: Effect.Effect<void, never, Scope.Scope>
  /** Waits for the tasks that can end; what fails from now on is left to the next process. */
  readonly close: Effect.Effect<void>
}

/**
 * A process that runs nothing and has no tasks.
 *
 * @internal
 */
export const none: Tasks = {
  standing: () => undefined,
  holds: () => false,
  observe: () => {},
  made: () => {},
  stopped: () => {},
  unsure: () => {},
  following: (_, effect) => effect,
  inRoom: (_id, _woken, write) => write,
  driven: () => {},
  serve: Effect.void,
  close: Effect.void
}

/** @internal */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Tasks> {
  const startsPerTurn = yield* StartsPerTurn
  const backoff = yield* Backoff
  const dispatcher = (yield* Scheduler.Scheduler).makeDispatcher()
  const watched = new Map<string, Watched>()
  const held = new Set<string>()
  /** Calls whose writes this opening has followed up, all of them, so that their next task has nothing to take over. */
  const followed = new Set<string>()
  const isDriven = Latch.makeUnsafe(false)
  let startedInTurn = 0
  /** Opened when an execution is watched no more. */
  const fewer = Latch.makeUnsafe(false)
  /** Tasks that are at work, or only wait for what is to become durable. */
  let busy = 0
  /** Writes that wait for room. */
  let holding = 0
  let isClosing = false
  let onChange: (() => void) | undefined

  const mustRun = (standing: Standing | undefined): boolean =>
    standing?.state === "running" || standing?.state === "stopped"

  /** Reboot is about to begin its task, which has nothing to wait for. */
  const isToBegin = ({ awaited, standing }: Watched): boolean => awaited && !mustRun(standing)

  const watch = (id: string): Watched => {
    let execution = watched.get(id)
    if (execution === undefined) {
      execution = {
        standing: undefined,
        held: false,
        ours: followed.delete(id),
        stopped: false,
        awaited: false,
        starting: 0,
        following: 0,
        unfollowed: false,
        changed: Latch.makeUnsafe(false)
      }
      watched.set(id, execution)
    }
    return execution
  }

  const remember = (id: string): void => {
    // others may have written it before its next task comes
    if (options.application.role === "owner") {
      for (const oldest of followed) {
        if (followed.size < maxFollowed) {
          break
        }
        followed.delete(oldest)
      }
      followed.add(id)
    }
  }

  const tidy = (id: string): void => {
    const execution = watched.get(id)
    if (
      execution !== undefined && !execution.held && !execution.awaited && execution.starting === 0 &&
      execution.following === 0 &&
      !mustRun(execution.standing)
    ) {
      watched.delete(id)
      fewer.openUnsafe()
      onChange?.()
    }
  }

  const observe = (id: string, standing: Standing | undefined): void => {
    if (mustRun(standing) || watched.has(id)) {
      const execution = watch(id)
      execution.standing = standing
      execution.stopped &&= standing?.state === "stopped"
      execution.changed.openUnsafe()
      tidy(id)
    }
  }

  const following = <A>(id: string, effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => {
      const execution = watch(id)
      execution.following++
      return effect.pipe(
        Effect.onError(() =>
          Effect.sync(() => {
            execution.unfollowed = true
          })
        ),
        Effect.ensuring(Effect.sync(() => {
          execution.following--
          execution.changed.openUnsafe()
          tidy(id)
        }))
      )
    })

  /** When the driver is there, and not too many at a time. */
  const admit = Effect.gen(function*() {
    yield* isDriven.await
    while (startedInTurn >= startsPerTurn) {
      yield* Effect.yieldNow
    }
    if (startedInTurn++ === 0) {
      dispatcher.scheduleTask(() => {
        startedInTurn = 0
      }, 0)
    }
  })

  /** A task that waits for a run, or for what may never come. */
  const waiting = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.suspend(() => {
      busy--
      onChange?.()
      return Effect.ensuring(effect, Effect.sync(() => busy++))
    })

  /** Tries again for as long as the store is open and ours; after that the task is left to the next process. */
  const insist = <A>(what: string, effect: Effect.Effect<A, StoreError>, failures = 1): Effect.Effect<A> =>
    Effect.catch(effect, (error) =>
      isClosing || error.reason === "Fenced"
        ? waiting(Effect.never)
        : Effect.logWarning(`${what}: Reboot cannot be used, trying again`, error).pipe(
          Effect.andThen(waiting(Effect.sleep(delayMillis(backoff, failures)))),
          Effect.andThen(insist(what, effect, failures + 1))
        ))

  const task = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      busy++
      return Effect.ensuring(
        effect,
        Effect.sync(() => {
          busy--
          onChange?.()
        })
      )
    })

  /** Where somebody waits for this task to end, what is held back is written at once. */
  const settled = (id: string): Effect.Effect<void> =>
    Effect.suspend(() =>
      isClosing || holding > 0
        ? Effect.andThen(Effect.ignore(options.settle), options.settled(id))
        : options.settled(id)
    )

  const session = Effect.fnUntraced(function*(stateId: string) {
    const id = yield* insist("A session was not entered", options.session(stateId))
    if (id !== undefined) {
      yield* settled(id)
    }
  })

  const runCall = Effect.fnUntraced(function*(stateId: string, id: string, found: Standing | undefined) {
    const execution = watch(id)
    execution.held = true
    execution.awaited = false
    execution.standing ??= found
    const wasStopped = execution.standing?.state === "stopped" && !execution.stopped
    execution.unfollowed ||= !execution.ours
    yield* Effect.gen(function*() {
      if (wasStopped) {
        yield* waiting(admit)
        yield* insist("A stopped execution was not resumed", options.resume(id))
      }
      while (true) {
        execution.changed.closeUnsafe()
        if (mustRun(execution.standing)) {
          const isAdmitted = yield* waiting(
            Effect.raceFirst(Effect.as(admit, true), Effect.as(execution.changed.await, false))
          )
          if (isAdmitted) {
            options.started(id)
            yield* waiting(execution.changed.await)
          }
        } else if (execution.following > 0) {
          yield* execution.changed.await
        } else if (execution.unfollowed) {
          execution.unfollowed = false
          yield* insist("A call was not taken over", options.takeOver(stateId))
        } else {
          yield* settled(id)
          if (!mustRun(execution.standing) && execution.following === 0 && !execution.unfollowed) {
            remember(id)
            return
          }
        }
      }
    }).pipe(Effect.ensuring(Effect.sync(() => {
      execution.held = false
      tidy(id)
    })))
  })

  const call = Effect.fnUntraced(function*(stateId: string) {
    held.add(stateId)
    const found = yield* insist("A call was not read", options.read(stateId))
    if (found !== undefined) {
      yield* runCall(stateId, found.id, found.standing)
    }
  }, (effect, stateId) => Effect.ensuring(effect, Effect.sync(() => held.delete(stateId))))

  return {
    standing: (id) => watched.get(id)?.standing,
    holds: (stateId) => held.has(stateId),
    observe,
    made: (id) => {
      const execution = watch(id)
      if (!execution.held && !mustRun(execution.standing)) {
        execution.ours = true
        execution.awaited = true
      }
    },
    stopped: (id) => {
      const execution = watched.get(id)
      if (execution !== undefined) {
        execution.stopped = true
      }
    },
    unsure: (id) => {
      followed.delete(id)
      const execution = watched.get(id)
      if (execution !== undefined) {
        execution.ours = false
        execution.unfollowed = true
      }
    },
    following,
    inRoom: (id, woken, write) => {
      const most = woken ? maxWoken : maxStarted
      const isFull = () => watched.size >= most && !watched.has(id)
      const started = Effect.suspend(() => {
        const execution = watch(id)
        execution.starting++
        return Effect.ensuring(
          write,
          Effect.sync(() => {
            execution.starting--
            tidy(id)
          })
        )
      })
      const wait: Effect.Effect<void> = Effect.suspend(() => {
        fewer.closeUnsafe()
        return isFull() ? Effect.andThen(fewer.await, wait) : Effect.void
      })
      // most of those that run may be done, and wait for what is held back
      const whenFull = Effect.timeoutOrElse(Effect.andThen(Effect.ignore(options.settle), wait), {
        duration: longestHold,
        orElse: () =>
          Effect.fail(
            new StoreError({
              reason: "Io",
              message: `${watched.size} executions run, and Reboot takes no more at a time. Try again later`
            })
          )
      })
      const held = Effect.suspend(() => {
        holding++
        return Effect.ensuring(whenFull, Effect.sync(() => holding--))
      })
      return Effect.suspend(() => isFull() ? Effect.andThen(held, started) : started)
    },
    driven: () => isDriven.openUnsafe(),
    serve: options.application.serve((type, id) =>
      type === "Call"
        ? task(call(id))
        : type === "Session"
        ? task(session(id))
        : options.wheel(id)
    ),
    close: Effect.suspend(() => {
      isClosing = true
      const isOver = () => busy === 0 && !Array.from(watched.values()).some(isToBegin)
      const over = Effect.callback<void>((resume) => {
        onChange = () => {
          if (isOver()) {
            resume(Effect.void)
          }
        }
        onChange()
      })
      // an application that is gone begins no task, and hears of no end
      return Effect.matchEffect(options.settle, {
        onFailure: () => Effect.void,
        onSuccess: () =>
          Effect.andThen(Effect.timeoutOption(over, longestClose), Effect.repeat(Effect.yieldNow, { times: 2 }))
      })
    })
  }
})
