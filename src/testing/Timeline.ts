/**
 * What happened in a run, process by process.
 *
 * @since 0.1.0
 */

/**
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** Milliseconds of virtual time since the run began. */
  readonly at: number
  /** From 1. */
  readonly process: number
  /** Who did it: lanes of a drawing. */
  readonly lane: "process" | "store" | "step" | "world" | "client" | "fault" | "violation"
  readonly text: string
}

/**
 * @category models
 * @since 0.1.0
 */
export type Timeline = ReadonlyArray<Entry>

/**
 * One line for each entry.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toText = (timeline: Timeline): string =>
  timeline.map(({ at, lane, process, text }) =>
    `${(at / 1000).toFixed(3).padStart(10)}s  process ${process}  ${lane.padEnd(9)}  ${text}`
  ).join("\n")
