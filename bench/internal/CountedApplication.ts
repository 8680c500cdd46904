/**
 * A Reboot application that counts what is asked of it: the number of Reboot
 * calls is what a tool call costs on Reboot.
 */
import { Effect } from "effect"
import type { Application, StateType } from "../../src/reboot/internal/Application.ts"

/** Since the process began. */
export interface Counts {
  /** By state type. */
  readonly writes: { readonly [Type in StateType]: number }
  readonly reads: { readonly [Type in StateType]: number }
  /** Tasks of Reboot's that have begun. */
  readonly tasks: number
}

const none = (): Record<StateType, number> => ({ Call: 0, Session: 0, Timers: 0, Directory: 0, Chunk: 0 })

export const make = (application: Application): {
  readonly application: Application
  readonly counts: () => Counts
} => {
  const writes = none()
  const reads = none()
  let tasks = 0
  return {
    application: {
      ...application,
      write: (type, id, request) =>
        Effect.suspend(() => {
          writes[type]++
          return application.write(type, id, request)
        }),
      read: (type, id) =>
        Effect.suspend(() => {
          reads[type]++
          return application.read(type, id)
        }),
      serve: (task) =>
        application.serve((type, id) =>
          Effect.suspend(() => {
            tasks++
            return task(type, id)
          })
        )
    },
    counts: () => ({ writes: { ...writes }, reads: { ...reads }, tasks })
  }
}

const sum = (counts: { readonly [Type in StateType]: number }): number =>
  Object.values(counts).reduce((all, one) => all + one, 0)

/** What came to pass between two readings, for each of so many calls. */
export const perCall = (before: Counts, after: Counts, calls: number) => ({
  writes: (sum(after.writes) - sum(before.writes)) / calls,
  reads: (sum(after.reads) - sum(before.reads)) / calls,
  tasks: (after.tasks - before.tasks) / calls
})
