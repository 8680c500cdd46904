/**
 * An application that is looked at, and in which a process dies between two
 * requests that one commit may need.
 */
import { Effect, Exit } from "effect"
import type { Application, States, TaskType } from "../../src/reboot/internal/Application.ts"
import type { StoreError } from "../../src/store/StoreError.ts"

export interface Options {
  /** Told before a write leaves: its number. */
  readonly begins: () => number
  /** Told when it has been made, and nobody knows yet. */
  readonly made: (nth: number) => void
}

/** How long Reboot may take to begin a task, in real time. */
const patience = 10_000

/** Turns of the event loop after which nothing more comes of what was begun. */
const quietTurns = 10

export class Watched {
  #openings = 0
  #underWay = 0
  /** Calls that must run, and of which no task has begun yet: since when. */
  readonly #owed = new Map<string, number>()
  /** Calls that must run, as far as this is known. */
  readonly #running = new Set<string>()
  /** Tasks that are under way, and those that were cut off and will be begun again. */
  readonly #active = new Set<string>()
  readonly #cutOff = new Set<string>()
  /** What Reboot did not begin. */
  readonly overdue = new Set<string>()

  /** Something is under way that ends by itself. */
  isBusy(): boolean {
    const now = performance.now()
    for (const [id, since] of this.#owed) {
      if (now - since > patience) {
        this.#owed.delete(id)
        this.overdue.add(id)
      }
    }
    return this.#underWay > 0 || this.#owed.size > 0
  }

  /** As the next process has it; who had it before is dead. */
  application(inner: Application, options: Options): Application {
    const opening = ++this.#openings
    const isPresent = () => opening === this.#openings
    for (const key of this.#active) {
      this.#cutOff.add(key)
    }
    this.#active.clear()
    this.#owed.clear()
    this.#running.clear()
    const counted = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
      Effect.suspend(() => {
        this.#underWay++
        return Effect.ensuring(effect, Effect.sync(() => void this.#underWay--))
      })
    return {
      ...inner,
      write: (type, id, request) =>
        counted(Effect.suspend(() => {
          const nth = options.begins()
          return Effect.tap(inner.write(type, id, request), ({ response }) =>
            Effect.sync(() => {
              if (type === "Call" && isPresent()) {
                this.#stands(id, (response as States["Call"]["response"]).standing?.state)
              }
              options.made(nth)
            }))
        })),
      read: (type, id) => counted(inner.read(type, id)),
      serve: (task) => inner.serve((type, id) => this.#task(isPresent, type, id, task(type, id))),
      flush: counted(inner.flush)
    }
  }

  /** Reboot has a task for it from when it must run. */
  #stands(id: string, state: string | undefined): void {
    const mustRun = state === "running" || state === "stopped"
    if (!mustRun) {
      this.#running.delete(id)
      this.#owed.delete(id)
    } else if (!this.#running.has(id)) {
      this.#running.add(id)
      this.#owe(id)
    }
  }

  #owe(id: string): void {
    if (this.#running.has(id) && !this.#active.has(keyOf("Call", id))) {
      this.#owed.set(id, performance.now())
    }
  }

  #task(isPresent: () => boolean, type: TaskType, id: string, task: Effect.Effect<void>): Effect.Effect<void> {
    const key = keyOf(type, id)
    return Effect.suspend(() => {
      if (!isPresent()) {
        return task
      }
      this.#active.add(key)
      this.#cutOff.delete(key)
      this.#owed.delete(id)
      return Effect.onExit(task, (exit) =>
        Effect.sync(() => {
          if (isPresent() && Exit.isSuccess(exit)) {
            this.#active.delete(key)
            if (type === "Call") {
              // what has made it run again has a task of its own
              this.#owe(id)
            }
          }
        }))
    })
  }

  /**
   * A store that was opened knows what the one before held back when Reboot has
   * begun its tasks again, and each has had its say.
   */
  readonly recovered: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    for (let quiet = 0; quiet < quietTurns; quiet = this.isBusy() || this.#cutOff.size > 0 ? 0 : quiet + 1) {
      yield* turn
    }
  })
}

const keyOf = (type: TaskType, id: string): string => `${type}/${id}`

const turn = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})
