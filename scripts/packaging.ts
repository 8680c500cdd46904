/**
 * `npm run packaging`: what a user gets. Packs the package, installs it with its
 * peers into an empty project, compiles the README's first example there as it
 * is printed, runs it and calls it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import packageJson from "../package.json" with { type: "json" }
import { bin, environment, root } from "./tools.ts"

const { devDependencies: versions } = packageJson

/** The first program of the README. */
const example = (): string => {
  const code = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1]
  if (code === undefined) throw new Error("The README has no ts example.")
  const lines = code.trimEnd().split("\n").length
  if (lines > 40) throw new Error(`The README's first example has ${lines} lines, more than 40.`)
  return code
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}

const project = mkdtempSync(join(tmpdir(), "effect-durable-mcp-packaging-"))

/** Fails where the command does. */
const execute = async (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<void> => {
  console.log(`> ${command} ${args.join(" ")}`)
  const child = spawn(command, args, { cwd, env: environment, stdio: "inherit" })
  const [code] = await once(child, "exit")
  if (code !== 0) throw new Error(`${command} ${args[0] ?? ""} failed with ${code}`)
}

const compilerOptions = {
  target: "ES2022",
  module: "NodeNext",
  strict: true,
  exactOptionalPropertyTypes: true,
  types: ["node"],
  outDir: "out",
  // The declarations of the package are part of what is tested.
  skipLibCheck: false
}

try {
  const port = await freePort()
  // The only change to what is printed: a port that is free here.
  const source = example().replace(/\bport: \d+/, `port: ${port}`)
  if (!source.includes(`port: ${port}`)) throw new Error("The README's first example says no port.")

  await execute(root, "npm", "pack", "--silent", "--pack-destination", project)
  const tarball = readdirSync(project).find((file) => file.endsWith(".tgz"))!
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }))
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["server.ts", "caller.ts"] }))
  writeFileSync(join(project, "server.ts"), source)
  cpSync(join(root, "scripts/packaging/caller.ts"), join(project, "caller.ts"))
  const users = ["effect", "@effect/platform-node", "typescript", "@types/node", "@modelcontextprotocol/sdk"] as const
  await execute(
    project,
    "npm",
    "install",
    "--no-audit",
    "--no-fund",
    `./${tarball}`,
    ...users.map((name) => `${name}@${versions[name]}`)
  )
  await execute(project, join(project, "node_modules/.bin/tsc"))

  const server = spawn(bin("node"), ["out/server.js"], { cwd: project, env: environment, stdio: "inherit" })
  const exited = once(server, "exit")
  try {
    await execute(project, bin("node"), "out/caller.js", `http://127.0.0.1:${port}/mcp`)
  } finally {
    server.kill("SIGTERM")
    const kill = setTimeout(() => server.kill("SIGKILL"), 10_000)
    await exited
    clearTimeout(kill)
  }
  console.log("packaging: passed")
} finally {
  rmSync(project, { recursive: true })
}
