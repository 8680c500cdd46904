/** A server process under test, started from source and ended by its own handle. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { bin, environment, root } from "./tools.ts"

export interface Server {
  readonly url: string
  /** Asks the server to end; kills it where it has not after 10 seconds. Its exit code, or the signal that ended it. */
  readonly stop: () => Promise<number | string | null>
  /** SIGKILL; returns when it is gone. */
  readonly kill: () => Promise<void>
}

export interface Options {
  /** Default: the repository. */
  readonly cwd?: string | undefined
  /** For Node itself, in front of the program. */
  readonly nodeArgs?: ReadonlyArray<string> | undefined
}

/** Starts a program that prints `listening <url>` when it can be called. */
export const start = async (
  program: string,
  env: Readonly<Record<string, string>>,
  { cwd = root, nodeArgs = [] }: Options = {}
): Promise<Server> => {
  const child = spawn(bin("node"), ["--conditions=source", ...nodeArgs, program], {
    cwd,
    env: { ...environment, ...env },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const url = await listening(child)
  const isGone = () => child.exitCode !== null || child.signalCode !== null
  return {
    url,
    kill: async () => {
      if (isGone()) return
      const exited = once(child, "exit")
      child.kill("SIGKILL")
      await exited
    },
    stop: async () => {
      if (isGone()) return child.exitCode ?? child.signalCode
      const exited = once(child, "exit")
      child.kill("SIGTERM")
      const kill = setTimeout(() => child.kill("SIGKILL"), 10_000)
      await exited
      clearTimeout(kill)
      return child.exitCode ?? child.signalCode
    }
  }
}

const listening = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => reject(new Error(`The server ended before it listened: ${code ?? signal}`)))
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const url = /^listening (\S+)$/.exec(line)?.[1]
      if (url !== undefined) resolve(url)
      else console.log(line)
    })
  })
