/**
 * Faults in words, for a reader of a timeline.
 */
import type { Fault } from "../Schedule.ts"

/** Whether the process ends with it. @internal */
export const isDeath = ({ _tag }: Fault): boolean =>
  _tag === "Crash" || _tag === "TornCommit" || _tag === "CrashAfter" || _tag === "CrashInStep"

/** @internal */
export const inWords = (fault: Fault): string => {
  switch (fault._tag) {
    case "Crash":
      return `the process dies at operation ${fault.at}, ${
        fault.applied === 0 ? "before any of its writes" : `with ${fault.applied} of its writes applied`
      }`
    case "TornCommit":
      return `the machine dies in the middle of operation ${fault.at}`
    case "CrashAfter":
      return `the process dies after ${fault.ms} ms`
    case "CrashInStep":
      return `the process dies in the step ${fault.step ?? "that runs"}, ${
        fault.when === "before" ? "before its body" : "after its body and before its record"
      }`
    case "FailedOperation":
      return `the disk refuses operation ${fault.at}`
    case "CutConnections":
      return `all connections are cut at operation ${fault.at}`
    case "RepeatedPosts":
      return `all POSTs under way are sent again at operation ${fault.at}`
    case "ClockJump":
      return `the wall clock jumps by ${fault.ms} ms at operation ${fault.at}`
    case "SecondProcess":
      return `another process opens the store at operation ${fault.at}`
  }
}
