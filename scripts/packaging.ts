/**
 * `npm run packaging`: what a user gets. Packs the package, installs it with its
 * peers into an empty project, compiles the README's first example there as it
 * is printed, runs it and calls it, on SQLite and on Reboot. Then a crash test of
 * 15 lines must pass on a small server, and must fail, saying why, where that
 * server is broken.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import packageJson from "../package.json" with { type: "json" }
import { find } from "../src/reboot/internal/installation.ts"
import { bin, environment, root } from "./tools.ts"

const { devDependencies: versions } = packageJson

/** What a crash test may cost its author, imports included. */
const longestTest = 15

/** A hundred runs on a machine that does other things too; the default of 5 seconds is for quiet ones. */
const patience = "--test-timeout=120000"

/** Ways to break `packaging/bills.ts`, and what the kit must say of it. */
const plantedBugs: ReadonlyArray<{
  readonly name: string
  readonly right: string
  readonly wrong: string
  readonly says: RegExp
}> = [
  {
    name: "a charge outside of a step",
    right: `Durable.step("charge", ({ key }) => bank.charge(bill, key))`,
    wrong: "bank.charge(bill)",
    says: /charge took place \d+ times/
  },
  {
    name: "a charge without the key of its step",
    right: `({ key }) => bank.charge(bill, key)`,
    wrong: "() => bank.charge(bill)",
    says: /charge took place \d+ times/
  }
]

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

/** What the command printed, and how it ended. */
const outcomeOf = async (cwd: string, command: string, ...args: ReadonlyArray<string>) => {
  const child = spawn(command, args, { cwd, env: { ...environment, NO_COLOR: "1" }, stdio: ["ignore", "pipe", "pipe"] })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += String(chunk))
  const [code] = await once(child, "close")
  return { code: Number(code), output }
}

const show = (output: string): string => output.replaceAll(/^/gm, "    ")

/** The test is a user's: short, and right about the server as it is and about each bug. */
const crashTest = async (project: string): Promise<void> => {
  const source = join(root, "scripts/packaging")
  const test = readFileSync(join(source, "bills.test.ts"), "utf8")
  const lines = test.split("\n").filter((line) => line.trim() !== "").length
  if (lines > longestTest) throw new Error(`The crash test has ${lines} lines, more than ${longestTest}.`)
  console.log(`crash test: ${lines} lines, imports included`)
  const server = readFileSync(join(source, "bills.ts"), "utf8")
  writeFileSync(join(project, "bills.test.ts"), test)

  const variants = [
    { name: "the server as it is", code: server, says: undefined },
    ...plantedBugs.map(({ name, right, says, wrong }) => {
      if (server.split(right).length !== 2) throw new Error(`bills.ts must have \`${right}\` once`)
      return { name, code: server.replace(right, wrong), says }
    })
  ]
  for (const { code, name, says } of variants) {
    writeFileSync(join(project, "bills.ts"), code)
    await execute(project, join(project, "node_modules/.bin/tsc"), "--project", "tsconfig.test.json")
    const outcome = await outcomeOf(project, join(project, "node_modules/.bin/vitest"), "run", patience)
    const message = /^.*Schedule \S+ \(to replay: [^\n]*\n(?:\s*- [^\n]*\n)*/m.exec(outcome.output)?.[0]
    const isRight = says === undefined
      ? outcome.code === 0
      : outcome.code !== 0 && message !== undefined && says.test(message)
    if (!isRight) throw new Error(`crash test, ${name}: ended with ${outcome.code}\n${show(outcome.output)}`)
    console.log(`crash test, ${name}: ${says === undefined ? "passes" : `fails, and says\n${show(message ?? "")}`}`)
  }
}

/** Starts the server, calls it as a client does, and ends it. */
const serves = async (project: string, program: string, port: number): Promise<void> => {
  const server = spawn(bin("node"), [program], { cwd: project, env: environment, stdio: "inherit" })
  const exited = once(server, "exit")
  try {
    await execute(project, bin("node"), "out/caller.js", `http://127.0.0.1:${port}/mcp`)
  } finally {
    server.kill("SIGTERM")
    const kill = setTimeout(() => server.kill("SIGKILL"), 10_000)
    await exited
    clearTimeout(kill)
  }
}

/** The example with one line changed, as a user would, and one more import. */
const onReboot = (example: string): string => {
  const store = /SqliteStore\.layer\(.*?\)(?=\),)/
  if (!store.test(example)) throw new Error("The README's first example names no SqliteStore.layer")
  return example.replace(", SqliteStore }", " }").replace(store, `RebootStore.layer({ stateDirectory: "bills" })`)
    .replace(/^(import .* from "effect-durable-mcp")$/m, `$1\nimport { RebootStore } from "effect-durable-mcp/reboot"`)
}

/** Without Reboot the server says what to type. That is typed, and then it serves. */
const reboot = async (project: string, port: number): Promise<void> => {
  if (existsSync(join(project, "node_modules/@reboot-dev"))) {
    throw new Error("npm has installed Reboot, which is optional.")
  }
  const { code, output } = await outcomeOf(project, bin("node"), "out/reboot.js")
  const command = /Reboot is not set up\..* Run: (bash node_modules\/effect-durable-mcp\/reboot\/setup\.sh)$/m.exec(
    output
  )?.[1]
  if (code === 0 || command === undefined) throw new Error(`without Reboot: ended with ${code}\n${show(output)}`)
  console.log(`without Reboot: ends with ${code}, and says to type ${command}`)

  if (process.env["REBOOT_REQUIRED"] !== "1" && find({ directory: root }) instanceof Error) {
    console.log("with Reboot: not tried, since it is not set up here (npm run reboot:setup)")
    return
  }
  await execute(project, "bash", ...command.split(" ").slice(1))
  await serves(project, "out/reboot.js", port)
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
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["server.ts", "reboot.ts", "caller.ts"] })
  )
  writeFileSync(
    join(project, "tsconfig.test.json"),
    JSON.stringify({
      extends: "./tsconfig.json",
      compilerOptions: { noEmit: true, allowImportingTsExtensions: true },
      files: ["bills.test.ts"]
    })
  )
  writeFileSync(join(project, "server.ts"), source)
  writeFileSync(join(project, "reboot.ts"), onReboot(source))
  cpSync(join(root, "scripts/packaging/caller.ts"), join(project, "caller.ts"))
  const users = [
    "effect",
    "@effect/platform-node",
    "@effect/vitest",
    "vitest",
    "typescript",
    "@types/node",
    "@modelcontextprotocol/sdk"
  ] as const
  await execute(
    project,
    "npm",
    "install",
    "--no-audit",
    "--no-fund",
    `./${tarball}`,
    ...users.map((name) => `${name}@${versions[name]}`)
  )
  const installed = join(project, "node_modules/effect-durable-mcp")
  for (
    const file of [
      "docs/testing.md",
      "examples/book-trip/crash.test.ts",
      "src/testing/CrashTest.ts",
      "reboot/setup.sh",
      "reboot/generated/effmcp/v1/store_rbt.js",
      "CHANGELOG.md"
    ]
  ) {
    if (!existsSync(join(installed, file))) throw new Error(`The package has no ${file}.`)
  }
  for (const folder of ["test", "scripts", "bench", "reboot/node_modules"]) {
    if (existsSync(join(installed, folder))) throw new Error(`The package has ${folder}, which is ours.`)
  }
  await execute(project, join(project, "node_modules/.bin/tsc"))

  await serves(project, "out/server.js", port)
  await reboot(project, port)
  await crashTest(project)
  console.log("packaging: passed")
} finally {
  rmSync(project, { recursive: true })
}
