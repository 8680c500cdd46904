/**
 * Preloaded into a server (`--import`): the first SIGUSR2 starts a CPU profile,
 * the second one writes it to `CPU_PROFILE`, so that it holds the load and not
 * the start.
 */
import { writeFileSync } from "node:fs"
import { Session } from "node:inspector/promises"

let session: Session | undefined

const toggle = async () => {
  if (session === undefined) {
    session = new Session()
    session.connect()
    await session.post("Profiler.enable")
    await session.post("Profiler.start")
  } else {
    const { profile } = await session.post("Profiler.stop")
    writeFileSync(process.env.CPU_PROFILE ?? "cpu.cpuprofile", JSON.stringify(profile))
    process.stdout.write("profile written\n")
  }
}

process.on("SIGUSR2", () => void toggle())
