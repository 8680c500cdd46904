/**
 * Crash tests: kill a server at every point, and see that nothing is lost and
 * nothing done twice.
 *
 * @since 0.1.0
 */
export * as Client from "./Client.ts"
export * as CrashTest from "./CrashTest.ts"
export * as Disk from "./Disk.ts"
export * as FaultStore from "./FaultStore.ts"
export * as KillProcess from "./KillProcess.ts"
export * as Schedule from "./Schedule.ts"
export * as Timeline from "./Timeline.ts"
export * as World from "./World.ts"
