/**
 * CPU time and memory of processes and of the machine, from /proc. Elsewhere than on
 * Linux everything reads 0, and the report says so.
 */
import { readFileSync } from "node:fs"

/** Linux counts CPU time for user space in hundredths of a second on every architecture. */
const secondsPerTick = 0.01

export const available = process.platform === "linux"

/** CPU seconds that a process has used, all threads. */
export const processCpu = (pid: number): number => {
  if (!available) {
    return 0
  }
  // the command (field 2) may hold anything, so count from its closing parenthesis
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * secondsPerTick
}

/** CPU seconds that the machine was busy, all cores. */
export const machineCpu = (): number => {
  if (!available) {
    return 0
  }
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = readFileSync("/proc/stat", "latin1")
    .slice(4, 400)
    .trim()
    .split(/\s+/)
    .map(Number)
  return (user + nice + system + irq + softirq + steal) * secondsPerTick
}

/** Memory that a process holds, MiB. */
export const residentMiB = (pid: number): number => {
  const held = available ? /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) : null
  return Number(held?.[1] ?? 0) / 1024
}
