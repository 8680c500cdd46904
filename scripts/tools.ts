/**
 * How the repository's scripts start the tools of `node_modules/.bin`: by their
 * path, under the Node that is installed there, also where the system's Node is
 * older.
 */
import { spawn, type SpawnOptions } from "node:child_process"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

export const bin = (name: string): string => join(root, "node_modules", ".bin", name)

export const environment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env["PATH"] ?? ""}`
}

/** Runs a tool to its end, its output on ours; the exit code, or 1 where a signal ended it. */
export const run = (tool: string, args: ReadonlyArray<string>, options: SpawnOptions = {}): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn(bin(tool), args, { cwd: root, env: environment, stdio: "inherit", ...options })
    child.once("error", reject)
    child.once("exit", (code) => resolve(code ?? 1))
  })
