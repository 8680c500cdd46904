/**
 * What happened in a run, process by process: as text for a failure's message,
 * as a drawing for a browser.
 *
 * @since 0.1.0
 */
import * as FaultWords from "./internal/faultWords.ts"
import * as TimelineHtml from "./internal/timelineHtml.ts"
import * as Schedule from "./Schedule.ts"

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
  readonly lane: Lane
  readonly text: string
}

/**
 * - `process`: its start and its end.
 * - `store`: operations, counted from 1 in each process; faults name them.
 * - `step`, `world`: bodies of steps, and what they do outside.
 * - `client`: what it sends and gets.
 * - `fault`: what the schedule did, as `Schedule.encode` writes it.
 * - `violation`: what must not be.
 *
 * @category models
 * @since 0.1.0
 */
export type Lane = "process" | "store" | "step" | "world" | "client" | "fault" | "violation"

/**
 * @category models
 * @since 0.1.0
 */
export type Timeline = ReadonlyArray<Entry>

/**
 * One line for each entry, below a line for each process that says how the one
 * before it ended. `>>` marks violations, `**` faults.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toText = (timeline: Timeline): string => {
  const lines: Array<string> = []
  const started = new Set<number>()
  let current: number | undefined
  let death: string | undefined
  for (const entry of timeline) {
    if (entry.process !== current) {
      lines.push(rule(titleOf(entry.process, started, death)))
      started.add(entry.process)
      current = entry.process
      death = undefined
    }
    const fault = faultOf(entry)
    if (fault !== undefined && isDeath(fault)) {
      death = entry.text
    }
    const [first = "", ...more] = entry.text.split("\n")
    const time = (entry.at / 1000).toFixed(3).padStart(10)
    const words = fault === undefined ? first : `${first}: ${FaultWords.inWords(fault)}`
    lines.push(`${marks[entry.lane] ?? "  "} ${time}s  ${entry.lane.padEnd(9)}  ${words}`)
    lines.push(...more.map((line) => `${" ".repeat(26)}${line}`))
  }
  return lines.join("\n")
}

/**
 * One page of HTML, complete in itself: a column for each lane, time downwards,
 * a colour for each process, red lines where one dies. The rows are evenly
 * spaced, since most of virtual time is waiting. What is cut off to fit is shown
 * in full under the pointer, and in the text at the end.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toHtml: (timeline: Timeline, options?: {
  /** Default `Crash test`. */
  readonly title?: string | undefined
  /** The schedule, to replay it. */
  readonly token?: string | undefined
  /** What is wrong with the run. Default: the entries that say so. */
  readonly violations?: ReadonlyArray<string> | undefined
}) => string = (timeline, options) =>
  TimelineHtml.render({
    title: options?.title ?? "Crash test",
    token: options?.token,
    violations: options?.violations ??
      timeline.filter(({ lane }) => lane === "violation").map(({ text }) => text),
    entries: timeline.map((entry) => {
      const fault = faultOf(entry)
      return fault === undefined
        ? { ...entry, death: false }
        : { ...entry, text: `${entry.text}: ${FaultWords.inWords(fault)}`, death: isDeath(fault) }
    }),
    text: toText(timeline)
  })

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const marks: Partial<Record<Lane, string>> = { fault: "**", violation: ">>" }

const width = 100

const rule = (text: string): string => `-- ${text} ${"-".repeat(Math.max(2, width - text.length))}`

const titleOf = (process: number, started: ReadonlySet<number>, death: string | undefined): string => {
  if (started.size === 0) {
    return `process ${process}`
  }
  return started.has(process)
    ? `process ${process} goes on`
    : `process ${process}, after ${death ?? "the one before was stopped"}`
}

const isDeath = ({ _tag }: Schedule.Fault): boolean => Schedule.deaths.includes(_tag)

const faultOf = (entry: Entry): Schedule.Fault | undefined =>
  entry.lane === "fault" ? Schedule.decode(entry.text)?.[0] : undefined
