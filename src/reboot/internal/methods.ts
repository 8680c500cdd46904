/**
 * Which methods of `reboot/api/effmcp/v1/store.proto` do what.
 *
 * @internal
 */
import type { StateType, TaskType } from "./Application.ts"

/**
 * Names as in the `.proto`; generated JavaScript begins them with a small letter.
 *
 * @internal
 */
export const writers = {
  Call: "Commit",
  Session: "Set",
  Timers: "Turn",
  Directory: "Enter",
  Chunk: "Put"
} as const satisfies { readonly [T in StateType]: string }

/** @internal */
export const readers = {
  Call: "Fetch",
  Session: "Show",
  Timers: "Look",
  Directory: "Page",
  Chunk: "Get"
} as const satisfies { readonly [T in StateType]: string }

/** The workflows that are tasks of a state. */
export const tasks = {
  Call: "Run",
  Session: "Settle",
  Timers: "Tick"
} as const satisfies { readonly [T in TaskType]: string }

/** @internal */
export const stateTypes: ReadonlyArray<StateType> = ["Call", "Session", "Timers", "Directory", "Chunk"]

/** @internal */
export const hasTasks = (type: StateType): type is TaskType => Object.hasOwn(tasks, type)

/** As generated JavaScript names a method. */
export const lower = <Name extends string>(name: Name): Uncapitalize<Name> =>
  (name.charAt(0).toLowerCase() + name.slice(1)) as Uncapitalize<Name>
