/**
 * Reboot's tasks, and who runs them: a task that Reboot begins waits until
 * somebody serves, and is handed to who serves next when that one stops. One
 * that Reboot takes back (it goes down) is begun again when it comes up.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Application, TaskType } from "./Application.ts"

/** @internal */
export interface Serving {
  /**
   * Resolves when the task has ended, or Reboot has taken it back and no longer
   * listens; rejects when it died. Pending for as long as nobody serves.
   */
  readonly run: (type: TaskType, id: string, cancelled: Promise<void>) => Promise<void>
  readonly serve: Application["serve"]
}

interface Task {
  readonly type: TaskType
  readonly id: string
  readonly key: string
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  fiber: Fiber.Fiber<void> | undefined
}

/** @internal */
export const make = (): Serving => {
  /** By state: the first one is under way, where somebody serves. */
  const queues = new Map<string, Array<Task>>()
  let begin: ((task: Task) => void) | undefined

  const enter = (task: Task): void => {
    const queue = queues.get(task.key)
    if (queue !== undefined) {
      queue.push(task)
    } else {
      queues.set(task.key, [task])
      begin?.(task)
    }
  }

  const leave = (task: Task): void => {
    const queue = queues.get(task.key)
    const at = queue?.indexOf(task) ?? -1
    if (queue === undefined || at < 0) return
    queue.splice(at, 1)
    if (queue.length === 0) queues.delete(task.key)
    else if (at === 0) begin?.(queue[0]!)
  }

  return {
    run: (type, id, cancelled) =>
      new Promise((resolve, reject) => {
        const task: Task = { type, id, key: `${type}/${id}`, resolve, reject, fiber: undefined }
        const takeBack = (): void => {
          if (task.fiber === undefined) leave(task)
          else task.fiber.interruptUnsafe()
          resolve()
        }
        cancelled.then(takeBack, takeBack)
        enter(task)
      }),
    serve: Effect.fnUntraced(function*(effect) {
      if (begin !== undefined) {
        return yield* Effect.die(new Error("Application.serve: somebody serves already"))
      }
      const runFork = Effect.runForkWith(yield* Effect.context<never>())
      const fibers = new Set<Fiber.Fiber<void>>()
      let closed = false
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          closed = true
          begin = undefined
          return Fiber.interruptAll(fibers)
        })
      )
      begin = (task) => {
        const fiber = runFork(Effect.suspend(() => effect(task.type, task.id)))
        task.fiber = fiber
        fibers.add(fiber)
        fiber.addObserver((exit) => {
          task.fiber = undefined
          fibers.delete(fiber)
          if (Exit.isSuccess(exit)) {
            leave(task)
            task.resolve()
          } else if (!closed) {
            leave(task)
            task.reject(new Error(`The task of ${task.key} died`, { cause: exit.cause }))
          }
        })
      }
      for (const queue of queues.values()) begin(queue[0]!)
    })
  }
}
