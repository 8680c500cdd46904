/**
 * Reboot as a disk of the crash kit.
 *
 * It is one process's at a time, as the state directory of an embedded Reboot is.
 * It dies where only it knows: a commit over several states is several writes of
 * Reboot's, and some it makes later by itself (listings, timers, the signal of a
 * child's end). So a process can also die before or after any one of those, and
 * a torn commit is one of which the first writes were made.
 */
import { Effect, Layer, type Scope } from "effect"
import type { Store as StoreService } from "effect-durable-mcp"
import { CrashTest, type Disk } from "effect-durable-mcp/testing"
import type { Application } from "../../src/reboot/internal/Application.ts"
import * as store from "../../src/reboot/internal/store.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import * as Openings from "./Openings.ts"
import * as Simulated from "./SimulatedApplication.ts"
import * as Started from "./Started.ts"
import { Watched } from "./Watched.ts"

/** Where the process dies. */
export interface Point {
  /** Which of the writes that are made of Reboot, from 1, over all processes on one disk. */
  readonly nth: number
  /** `before`: it is not made. `after`: it is, and nobody is told. */
  readonly when: "before" | "after"
}

export interface Options {
  /** Default: where the kit says, only. */
  readonly dieAt?: Point | undefined
  /** Writes that are made of a commit that is torn. Default: another number each time. */
  readonly torn?: number | undefined
  /** Told how many writes the processes have made so far. */
  readonly onWrite?: ((count: number) => void) | undefined
}

/** What processes open, one after the other. */
interface Line {
  readonly open: Effect.Effect<Application, StoreError, Scope.Scope>
  readonly fence: () => void
  readonly isBusy: () => boolean
}

/** In memory. */
export const simulated = (options?: Options): Disk.Disk => ({
  name: "Reboot, simulated",
  make: Effect.sync(() => {
    const disk = new Simulated.Disk()
    return instance({
      open: Effect.map(Simulated.open(disk), ({ application }) => application),
      fence: disk.fence,
      isBusy: () => false
    }, options)
  })
})

/** On an application that goes on, in a namespace of its own. */
const on = (namespaces: Openings.Namespaces, options?: Options): Disk.Disk => {
  let disks = 0
  return {
    name: "Reboot",
    make: Effect.suspend(() => Effect.map(namespaces(`disk-${++disks}`), (line) => instance(line, options)))
  }
}

/** One Reboot for all runs, which goes on while the processes on it die. */
export const embedded: Effect.Effect<Disk.Disk, StoreError, Scope.Scope> = Effect.gen(function*() {
  return on(yield* Openings.make(yield* Started.make))
})

const instance = (line: Line, options: Options = {}): Disk.Instance => {
  const watched = new Watched()
  let kill: (() => void) | undefined
  let openings = 0
  let isOpening = false
  let isHeld = false
  let writes = 0
  /** Writes that are left to a process that dies in them. */
  let left = Infinity
  let tears = 0

  /** As the lock of the state directory: a second process is refused while the first one lives. */
  const hold = Effect.suspend(() => {
    if (isHeld) {
      return Effect.fail(new StoreError({ reason: "InUse", message: "Another process has the application" }))
    }
    isHeld = true
    const number = openings + 1
    return Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (number === openings) {
          isHeld = false
        }
      })
    )
  })

  const dies = (nth: number, when: Point["when"]) => {
    if (nth === options.dieAt?.nth && when === options.dieAt.when) {
      kill?.()
    }
  }

  return {
    layer: Layer.effect(Store)(Effect.gen(function*(): Effect.fn.Return<
      StoreService.Store["Service"],
      StoreError,
      Scope.Scope
    > {
      yield* hold
      isOpening = true
      const application = yield* line.open
      const number = ++openings
      left = Infinity
      const opened = yield* store.make(watched.application(application, {
        begins: () => {
          // what a dead process still tries to do counts for nothing
          if (number !== openings) {
            return 0
          }
          if (--left < 0) {
            line.fence()
          }
          dies(++writes, "before")
          options.onWrite?.(writes)
          return writes
        },
        made: (nth) => dies(nth, "after")
      }))
      yield* watched.recovered
      isOpening = false
      return opened
    })),
    opened: (present) => {
      kill = present
    },
    died: () => {
      isHeld = false
      line.fence()
    },
    isBusy: () => isOpening || line.isBusy() || watched.isBusy(),
    tear: (unacknowledged) =>
      Effect.suspend(() => {
        left = options.torn ?? tears++ % 4
        return unacknowledged
      }),
    check: Effect.sync(() => Array.from(watched.overdue, (id) => `Reboot has not begun the task of ${id}`))
  }
}

/**
 * A death before and after each write that a run makes of Reboot, one run for
 * each: those that a commit consists of, and those that the store makes by
 * itself.
 */
export const atEveryWrite = Effect.fnUntraced(function*<A, E = never, R = never, RA = never, RE = never, RR = never>(
  options: CrashTest.Server<RA, RE, RR> & CrashTest.Options<A, E, R>
) {
  let writes = 0
  const counted = simulated({ onWrite: (count) => void (writes = count) })
  const whole = yield* CrashTest.run({ ...options, disk: counted })
  const points = Array.from({ length: writes }, (_, i) => i + 1).flatMap((nth): ReadonlyArray<Point> => [
    { nth, when: "before" },
    { nth, when: "after" }
  ])
  let slowest = { token: "none", milliseconds: 0 }
  let attempts = 0
  let repeated = 0
  for (const point of points) {
    const began = performance.now()
    const run = yield* CrashTest.run({ ...options, disk: first(simulated(), simulated({ dieAt: point })) }).pipe(
      Effect.mapError(({ message, timeline, token, violations }) =>
        new CrashTest.CrashTestError({
          message: `The process dies ${point.when} Reboot's write ${point.nth}. ${message}`,
          token,
          violations,
          timeline
        })
      )
    )
    const milliseconds = performance.now() - began
    slowest = milliseconds > slowest.milliseconds
      ? { token: `${point.when} write ${point.nth}`, milliseconds }
      : slowest
    attempts += run.world.attempts
    repeated += run.repeated
  }
  const report: CrashTest.Report = {
    runs: points.length,
    crashes: points.length,
    faults: new Map([["Crash", points.length]]),
    attempts,
    repeated,
    operations: whole.operations[0]?.length ?? 0,
    slowest
  }
  return report
})

/** The run without faults is the first one on a disk. */
const first = (whole: Disk.Disk, others: Disk.Disk): Disk.Disk => {
  let disks = 0
  return { name: others.name, make: Effect.suspend(() => disks++ === 0 ? whole.make : others.make) }
}
