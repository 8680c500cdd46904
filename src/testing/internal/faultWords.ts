/**
 * Faults in words, for a reader of a timeline.
 */
import type { Fault } from "../Schedule.ts"

/**
 * What happens at the operation above it. The number in a token is not its own:
 * it counts from the fault before.
 *
 * @internal
 */
export const inWords = (fault: Fault): string => {
  switch (fault._tag) {
    case "Crash":
      return `the process dies at this operation, ${
        fault.applied === 0 ? "before any of its writes" : `with ${fault.applied} of its writes applied`
      }`
    case "TornCommit":
      return "the machine dies in the middle of this operation"
    case "CrashAfter":
      return `the process dies after ${fault.ms} ms`
    case "CrashInStep":
      return `the process dies in the step ${fault.step ?? "that runs"}, ${
        fault.when === "before" ? "before its body" : "after its body and before its record"
      }`
    case "FailedOperation":
      return "the disk refuses this operation"
    case "CutConnections":
      return "all connections are cut at this operation"
    case "RepeatedPosts":
      return "all POSTs under way are sent again at this operation"
    case "ClockJump":
      return `the wall clock jumps by ${fault.ms} ms at this operation`
    case "SecondProcess":
      return "another process opens the store at this operation"
  }
}
