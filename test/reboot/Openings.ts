/**
 * One Reboot application, on which stores are opened one after the other, each
 * in the place of the one before, as by processes that die. The application
 * itself goes on: what is simulated is the death of what uses it.
 *
 * A namespace is what one line of such stores shares; several may be used at a
 * time.
 */
import { type Context, Deferred, Effect, Latch, type Scope } from "effect"
import type { Application, StateType, TaskType } from "../../src/reboot/internal/Application.ts"
import { StoreError } from "../../src/store/StoreError.ts"

/** @internal */
export interface Namespace {
  /** Opens the application anew: whoever had it before is fenced, and what it has sent has arrived. */
  readonly open: Effect.Effect<Application, never, Scope.Scope>
  /** Who has it, has it no more: nothing that it has not sent yet arrives. */
  readonly fence: () => void
  /** A request is under way. */
  readonly isBusy: () => boolean
}

/** What Reboot is to run, when somebody serves. */
type Task = (type: TaskType, id: string) => Effect.Effect<void>

/** Until the scope closes; then the namespace is gone, and its tasks have ended. */
export type Namespaces = (name: string) => Effect.Effect<Namespace, never, Scope.Scope>

const fenced = Effect.suspend(() =>
  Effect.fail(new StoreError({ reason: "Fenced", message: "This process has died, or another one has its place" }))
)

/** Serves the application's tasks for all namespaces. */
export const make: (application: Application) => Effect.Effect<Namespaces, never, Scope.Scope> = Effect.fnUntraced(
  function*(application: Application) {
    const tasks = new Map<string, Task>()
    yield* application.serve((type, id) =>
      Effect.suspend(() => {
        const end = id.indexOf(separator)
        // of a namespace that is gone, nobody is left who could wait
        return tasks.get(id.slice(0, end))?.(type, id.slice(end + 1)) ?? Effect.void
      })
    )
    return (name) =>
      Effect.acquireRelease(
        Effect.sync(() => namespace(application, `${name}${separator}`)),
        ({ close }) =>
          Effect.sync(() => {
            tasks.delete(name)
            close()
          })
      ).pipe(Effect.tap(({ task }) => Effect.sync(() => tasks.set(name, task))))
  }
)

/** Between namespace and id, as in `stateId.ts`. */
const separator = "~"

/** A store that has the application. */
interface Opening {
  isFenced: boolean
  task: Task | undefined
  /** It serves no more. */
  readonly ended: Deferred.Deferred<void>
}

const namespace = (application: Application, prefix: string) => {
  let present: Opening | undefined
  let isClosed = false
  let underWay = 0
  /** Open when no request is under way. */
  const quiet = Latch.makeUnsafe(true)
  /** Opens when somebody serves, or nobody ever will. */
  const serving = Latch.makeUnsafe(false)

  const fence = () => {
    if (present !== undefined) {
      present.isFenced = true
      end(present)
    }
  }

  const end = (opening: Opening) => {
    if (opening.task !== undefined) {
      opening.task = undefined
      serving.closeUnsafe()
    }
    Deferred.doneUnsafe(opening.ended, Effect.void)
  }

  /** Until a store has run it to its end: one that dies leaves it to the next one. */
  const task: Task = (type, id) =>
    Effect.suspend(() => {
      const opening = present
      const run = opening?.task
      if (isClosed) {
        return Effect.void
      }
      if (opening === undefined || run === undefined) {
        return Effect.andThen(serving.await, task(type, id))
      }
      return Effect.flatMap(
        Effect.raceFirst(Effect.as(run(type, id), true), Effect.as(Deferred.await(opening.ended), false)),
        (isDone) => isDone ? Effect.void : task(type, id)
      )
    })

  /** A request that has left arrives, whatever becomes of who sent it. */
  const send = <A>(opening: Opening, request: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => {
      if (opening.isFenced) {
        return fenced
      }
      underWay++
      quiet.closeUnsafe()
      return Effect.ensuring(
        Effect.uninterruptible(request),
        Effect.sync(() => {
          if (--underWay === 0) {
            quiet.openUnsafe()
          }
        })
      ).pipe(Effect.flatMap((answer) => opening.isFenced ? fenced : Effect.succeed(answer)))
    })

  const open: Namespace["open"] = Effect.gen(function*() {
    fence()
    const opening: Opening = { isFenced: false, task: undefined, ended: Deferred.makeUnsafe() }
    present = opening
    yield* Effect.addFinalizer(() => Effect.sync(() => end(opening)))
    yield* quiet.await
    return {
      role: application.role,
      write: (type, id, request) => send(opening, application.write(type, prefix + id, request)),
      read: (type, id) => send(opening, application.read(type, prefix + id)),
      serve: (task) =>
        Effect.contextWith((context: Context.Context<Scope.Scope>) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              if (!opening.isFenced) {
                // with the clock and the log of the process that serves
                opening.task = (type, id) => Effect.provideContext(task(type, id), context)
                serving.openUnsafe()
              }
            }),
            () => Effect.sync(() => end(opening))
          )
        ),
      watch: (changed) =>
        application.watch((type: StateType, id) => {
          if (id.startsWith(prefix) && !opening.isFenced) {
            changed(type, id.slice(prefix.length))
          }
        }),
      flush: Effect.suspend(() => send(opening, application.flush))
    }
  })

  return {
    open,
    fence,
    isBusy: () => underWay > 0,
    task,
    close: () => {
      isClosed = true
      fence()
      serving.openUnsafe()
    }
  }
}
