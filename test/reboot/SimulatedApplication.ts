/**
 * Reboot in memory: states that are written whole, one write at a time, and
 * tasks that are begun again until they have ended. Nothing here waits for the
 * clock, so a test sees the same on each run.
 *
 * The disk outlives the openings, as Reboot's state directory does. `owner`s
 * fence whoever had the disk open before; `host`s and `front`s share it. An
 * opening can die between any two steps of a write (`Hooks`).
 */
import { Cause, Effect, Exit, Fiber, type Scope } from "effect"
import type {
  Application,
  Machine,
  States,
  StateType,
  TaskType,
  Written
} from "../../src/reboot/internal/Application.ts"
import { machines } from "../../src/reboot/internal/machines.ts"
import * as stateId from "../../src/reboot/internal/stateId.ts"
import { StoreError } from "../../src/store/StoreError.ts"

/** Tasks of one type that Reboot keeps, like `DISPATCHED_TASKS_LIMIT`. */
export const maxTasks = 1_024

/** One write, as Reboot's log would show it. */
export interface LoggedWrite {
  readonly type: StateType
  readonly id: string
  readonly request: States[StateType]["request"]
  readonly response: States[StateType]["response"]
  /** A repeat changes nothing. */
  readonly changed: boolean
  /** Number of the opening that made it. */
  readonly opening: number
}

/** Incomplete tasks of one state, which run one after the other. */
interface Tasks {
  readonly type: TaskType
  readonly id: string
  count: number
  /** Who runs one. */
  holder: OpeningImpl | undefined
}

/** What is durable, and who has it open. */
export class Disk {
  /** Times it was opened. */
  openings = 0
  readonly states = new Map<string, States[StateType]["state"]>()
  readonly tasks = new Map<string, Tasks>()
  /** All writes since the disk was made, oldest first. */
  readonly log: Array<LoggedWrite> = []
  readonly live = new Set<OpeningImpl>()

  /** Everything that has the disk open dies now: what it has not written is never found here. */
  readonly fence = (): void => {
    for (const opening of Array.from(this.live)) {
      opening.die()
    }
  }

  /** What is durable, without opening the disk. */
  readonly stateOf = <T extends StateType>(type: T, id: string): States[T]["state"] =>
    (this.states.get(keyOf(type, id)) ?? machines[type].empty) as States[T]["state"]

  /** Ids of the states of a type that were written. */
  readonly ids = (type: StateType): ReadonlyArray<string> =>
    Array.from(this.states.keys()).filter((key) => key.startsWith(`${type}/`)).map((key) => key.slice(type.length + 1))

  /** Tasks of a type that have not ended. */
  readonly incomplete = (type: TaskType): number => {
    let count = 0
    for (const tasks of this.tasks.values()) {
      count += tasks.type === type ? tasks.count : 0
    }
    return count
  }
}

export interface HookedWrite {
  readonly type: StateType
  readonly id: string
  readonly request: States[StateType]["request"]
  /** 1 for the first write that this opening sent. */
  readonly number: number
}

/**
 * What happens to writes. An effect that fails is the answer that the writer
 * gets; one that never ends is a Reboot that hangs; `die` ends the process.
 */
export interface Hooks {
  /** Before the write is durable. */
  readonly before?: ((write: HookedWrite, opening: Opening) => Effect.Effect<void, StoreError>) | undefined
  /** When it is, before its writer knows. */
  readonly after?: ((write: HookedWrite, opening: Opening) => Effect.Effect<void, StoreError>) | undefined
  readonly read?: ((type: StateType, id: string, opening: Opening) => Effect.Effect<void, StoreError>) | undefined
}

export interface Options extends Hooks {
  /** Default `owner`. */
  readonly role?: Application["role"] | undefined
  /** What a host puts into the writes of fronts that start something (`CallRequest.boot`). */
  readonly boot?: string | undefined
  /** Turns of the event loop that each half of a write and each read takes. Default 1. */
  readonly turns?: number | undefined
}

/** Dies at the `n`th write of an opening: it is durable when `half` is `after`. */
export const dieAt = (n: number, half: "before" | "after"): Hooks => ({
  [half]: (write: HookedWrite, opening: Opening) =>
    write.number === n ? Effect.andThen(Effect.sync(opening.die), Effect.never) : Effect.void
})

export interface Opening {
  readonly number: number
  readonly role: Application["role"]
  readonly application: Application
  /** Calls that reached Reboot, tasks that were begun. */
  readonly counts: {
    readonly writes: { readonly [T in StateType]: number }
    readonly reads: { readonly [T in StateType]: number }
    readonly tasks: { readonly [T in TaskType]: number }
  }
  /** The process is gone, at once: nothing of it is written any more, its tasks are begun by others. */
  readonly die: () => void
  /** What `flush` of any opening calls, where this one is a host. */
  readonly onFlush: (flush: Effect.Effect<void, StoreError>) => void
}

const fenced = () =>
  new StoreError({ reason: "Fenced", message: "This simulated application is closed, or was opened by another" })

/** What goes over a wire: a value that JSON does not keep would be lost there too. */
const throughJson = <A>(value: A): A => JSON.parse(JSON.stringify(value)) as A

class OpeningImpl implements Opening {
  readonly number: number
  readonly role: Application["role"]
  readonly boot: string | undefined
  readonly counts = {
    writes: { Call: 0, Session: 0, Timers: 0, Directory: 0, Chunk: 0 },
    reads: { Call: 0, Session: 0, Timers: 0, Directory: 0, Chunk: 0 },
    tasks: { Call: 0, Session: 0, Timers: 0 }
  }
  readonly application: Application
  private readonly disk: Disk
  private readonly hooks: Hooks
  private readonly turns: number
  private alive = true
  private sent = 0
  private readonly watchers = new Set<(type: StateType, id: string) => void>()
  private begin: ((tasks: Tasks) => void) | undefined
  private flushes: Array<Effect.Effect<void, StoreError>> = []

  constructor(disk: Disk, options: Options) {
    this.disk = disk
    this.number = ++disk.openings
    this.role = options.role ?? "owner"
    this.boot = options.boot
    this.hooks = options
    this.turns = options.turns ?? 1
    this.application = {
      role: this.role,
      write: (type, id, request) => this.write(type, id, request),
      read: (type, id) => this.read(type, id),
      serve: (task) => this.serve(task),
      watch: (changed) => this.watch(changed),
      flush: Effect.suspend(() =>
        Effect.forEach(Array.from(disk.live), (opening) => opening.flushHere, { discard: true })
      )
    }
    if (this.role === "owner") {
      disk.fence()
    }
    disk.live.add(this)
  }

  readonly die = (): void => {
    this.alive = false
    this.watchers.clear()
    this.letGo()
    this.disk.live.delete(this)
    startAll(this.disk)
  }

  readonly onFlush = (flush: Effect.Effect<void, StoreError>): void => {
    this.flushes.push(flush)
  }

  get flushHere(): Effect.Effect<void, StoreError> {
    return Effect.forEach(this.flushes, (flush) => flush, { discard: true })
  }

  /** A turn of the event loop, after which the process may be gone. */
  private readonly turn: Effect.Effect<void, StoreError> = Effect.suspend(() =>
    Effect.andThen(
      Effect.forEach(Array.from({ length: this.turns }), () => Effect.yieldNow, { discard: true }),
      this.checkAlive
    )
  )

  private readonly checkAlive: Effect.Effect<void, StoreError> = Effect.suspend(() =>
    this.alive ? Effect.void : Effect.fail(fenced())
  )

  private checkId(id: string): Effect.Effect<void, StoreError> {
    return stateId.isStateId(id)
      ? Effect.void
      : Effect.die(new Error(`Reboot takes no state of the id ${JSON.stringify(id)}: map it with stateId.make`))
  }

  private write<T extends StateType>(
    type: T,
    id: string,
    request: States[T]["request"]
  ): Effect.Effect<Written<T>, StoreError> {
    return Effect.gen({ self: this }, function*() {
      yield* this.checkId(id)
      yield* this.checkAlive
      const hooked: HookedWrite = { type, id, request, number: ++this.sent }
      this.counts.writes[type]++
      yield* this.hooks.before?.(hooked, this) ?? Effect.void
      yield* this.turn
      const written = yield* this.apply(type, id, throughJson(request))
      yield* this.turn
      yield* this.hooks.after?.(hooked, this) ?? Effect.void
      yield* this.checkAlive
      return written
    })
  }

  /** In one step, as Reboot's one batch is. */
  private apply<T extends StateType>(
    type: T,
    id: string,
    request: States[T]["request"]
  ): Effect.Effect<Written<T>, StoreError> {
    return Effect.suspend(() => {
      const { disk } = this
      const machine = machines[type] as unknown as Machine<T>
      const before = disk.stateOf(type, id)
      const { response, state, task } = machine.apply(before, this.withBoot(type, id, request))
      if (task && disk.incomplete(type as TaskType) >= maxTasks) {
        return Effect.fail(new StoreError({ reason: "Io", message: "Too many tasks" }))
      }
      const changed = state !== before
      disk.log.push({ type, id, request, response, changed, opening: this.number })
      if (changed) {
        disk.states.set(keyOf(type, id), throughJson(state))
        for (const other of disk.live) {
          if (other !== this) {
            other.changed(type, id)
          }
        }
      }
      if (task) {
        schedule(disk, type as TaskType, id)
      }
      return Effect.succeed({
        response: throughJson(response),
        state: hostOf(disk, id) === this ? disk.stateOf(type, id) : undefined
      })
    })
  }

  private read<T extends StateType>(type: T, id: string): Effect.Effect<States[T]["state"], StoreError> {
    return Effect.gen({ self: this }, function*() {
      yield* this.checkId(id)
      yield* this.checkAlive
      this.counts.reads[type]++
      yield* this.hooks.read?.(type, id, this) ?? Effect.void
      yield* this.turn
      const state = this.disk.stateOf(type, id)
      yield* this.turn
      return throughJson(state)
    })
  }

  private watch(
    changed: (type: StateType, id: string) => void
  ): Effect.Effect<void, never, Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() => this.watchers.add(changed)),
      () => Effect.sync(() => this.watchers.delete(changed))
    ))
  }

  changed(type: StateType, id: string): void {
    for (const changed of Array.from(this.watchers)) {
      changed(type, id)
    }
  }

  private withBoot<T extends StateType>(type: T, id: string, request: States[T]["request"]): States[T]["request"] {
    const boot = hostOf(this.disk, id)?.boot
    return type === "Call" && !("boot" in request) && boot !== undefined ? { ...request, boot } : request
  }

  private serve(
    task: (type: TaskType, id: string) => Effect.Effect<void>
  ): Effect.Effect<void, never, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      if (this.begin !== undefined) {
        return yield* Effect.die(new Error("Application.serve is to be called once"))
      }
      if (this.role === "front") {
        return yield* Effect.die(new Error("A front runs no tasks"))
      }
      const runFork = Effect.runForkWith(yield* Effect.context<never>())
      const fibers = new Set<Fiber.Fiber<void>>()
      const fork = (effect: Effect.Effect<void>, ended: (exit: Exit.Exit<void>) => void): void => {
        const fiber = runFork(effect)
        fibers.add(fiber)
        fiber.addObserver((exit) => {
          fibers.delete(fiber)
          ended(exit)
        })
      }
      this.begin = (tasks) => {
        tasks.holder = this
        this.counts.tasks[tasks.type]++
        // a turn before it begins and one before Reboot knows that it has ended
        const effect = Effect.yieldNow.pipe(Effect.andThen(task(tasks.type, tasks.id)), Effect.andThen(Effect.yieldNow))
        fork(effect, (exit) => {
          if (tasks.holder !== this) {
            return
          }
          if (Exit.isSuccess(exit)) {
            ended(this.disk, tasks)
          } else if (!Cause.hasInterruptsOnly(exit.cause)) {
            const again = Effect.andThen(
              Effect.logError(`A task of ${tasks.type} ${tasks.id} ended with a defect: it is begun again`, exit.cause),
              Effect.sleep("1 second")
            )
            fork(again, () => {
              tasks.holder = undefined
              start(this.disk, tasks)
            })
          }
        })
      }
      yield* Effect.addFinalizer(() => {
        this.begin = undefined
        return Effect.andThen(
          Fiber.interruptAll(Array.from(fibers)),
          Effect.sync(() => {
            this.letGo()
            startAll(this.disk)
          })
        )
      })
      startAll(this.disk)
    })
  }

  /** What it runs is left to others. */
  private letGo(): void {
    this.begin = undefined
    for (const tasks of this.disk.tasks.values()) {
      if (tasks.holder === this) {
        tasks.holder = undefined
      }
    }
  }

  readonly run = (tasks: Tasks): void => this.begin?.(tasks)
}

const keyOf = (type: StateType, id: string): string => `${type}/${id}`

const isHost = ({ role }: Opening): boolean => role !== "front"

/** The one of those that run tasks to which a state falls. */
const hostOf = (disk: Disk, id: string): OpeningImpl | undefined => {
  const hosts = Array.from(disk.live).filter(isHost)
  return hosts[shardOf(id) % hosts.length]
}

const schedule = (disk: Disk, type: TaskType, id: string): void => {
  const key = keyOf(type, id)
  const tasks = disk.tasks.get(key) ?? { type, id, count: 0, holder: undefined }
  tasks.count++
  disk.tasks.set(key, tasks)
  start(disk, tasks)
}

const start = (disk: Disk, tasks: Tasks): void => {
  if (tasks.count > 0 && tasks.holder === undefined) {
    hostOf(disk, tasks.id)?.run(tasks)
  }
}

const startAll = (disk: Disk): void => {
  for (const tasks of Array.from(disk.tasks.values())) {
    start(disk, tasks)
  }
}

const ended = (disk: Disk, tasks: Tasks): void => {
  tasks.holder = undefined
  tasks.count--
  if (tasks.count === 0) {
    disk.tasks.delete(keyOf(tasks.type, tasks.id))
  } else {
    start(disk, tasks)
  }
}

const shardOf = (id: string): number => {
  let sum = 0
  for (let i = 0; i < id.length; i++) {
    sum = (sum * 31 + id.charCodeAt(i)) % 16_384
  }
  return sum
}

/** Opens the disk; it is closed with the scope, as a process that ends in order closes it. */
export const open = (disk: Disk, options: Options = {}): Effect.Effect<Opening, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new OpeningImpl(disk, options)),
    (opening) => Effect.sync(opening.die)
  )

/** Waits until no task of the disk is left. */
export const settled = (disk: Disk): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (disk.tasks.size > 0) {
      yield* Effect.yieldNow
    }
  })
