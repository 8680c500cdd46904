/**
 * `reboot/bin/rbt`, which is behind `npm run reboot:dev` and `reboot:serve`: it
 * starts a Reboot application with its servers and Envoy, and leaves none of
 * them behind.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { installation } from "../../src/reboot/internal/installation.ts"
import { describeWithReboot } from "./installed.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const rbt = join(root, "reboot", "bin", "rbt")

/** Pid, and when it began: another process may get the same pid. */
interface Process {
  readonly pid: number
  readonly parent: number
  readonly began: string
  readonly command: string
}

const processes = (): ReadonlyArray<Process> =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      // After the name, which may hold anything, and its bracket: state, parent, …, start time.
      const fields = readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
      // One that is dead and not yet waited for is over.
      if (fields[0] === "Z") return []
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ")
      return [{ pid: Number(name), parent: Number(fields[1]), began: fields[19]!, command }]
    } catch {
      return []
    }
  })

const descendants = (pid: number): ReadonlyArray<Process> => {
  const all = processes()
  const below = (pid: number): ReadonlyArray<Process> =>
    all.filter(({ parent }) => parent === pid).flatMap((child) => [child, ...below(child.pid)])
  return below(pid)
}

const alive = (these: ReadonlyArray<Process>): ReadonlyArray<Process> => {
  const now = new Map(processes().map(({ began, pid }) => [pid, began]))
  return these.filter(({ began, pid }) => now.get(pid) === began)
}

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
})

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

/** The whole of an application that has nothing in it, in a folder of its own. */
const application = Effect.gen(function*() {
  const { packageFolder } = yield* installation()
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-durable-mcp-rbt-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }))
  const reboot = JSON.stringify(pathToFileURL(join(packageFolder, "index.js")).href)
  writeFileSync(
    join(folder, "main.js"),
    `import { Application } from ${reboot}\nnew Application({ servicers: [] }).run()\n`
  )
  const flags = ["dev run", "serve run"].flatMap((command) =>
    ["--nodejs", "--application=main.js", "--application-name=nothing"].map((flag) => `${command} ${flag}\n`)
  )
  writeFileSync(join(folder, ".rbtrc"), flags.join(""))
  return folder
})

/** The parent of the application and its two servers. */
const applicationOf = (these: ReadonlyArray<Process>) => these.filter(({ command }) => command.endsWith("main.js "))

const envoyOf = (these: ReadonlyArray<Process>) => these.filter(({ command }) => command.includes("/_bin/envoy "))

interface Command {
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly folder: string
  readonly port: number
  readonly environment?: Readonly<Record<string, string>>
}

/** Serves with two servers and Envoy when it returns; whatever is left of it is killed when the scope closes. */
const start = ({ args, environment, folder, port, program }: Command) =>
  Effect.gen(function*() {
    let output = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync((): ChildProcess =>
        spawn(program, args, {
          cwd: folder,
          // A group of its own, as a supervisor makes it, so that it can be told as a whole.
          detached: true,
          env: { ...process.env, ...environment },
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) =>
        Effect.sync(() => {
          if (child.exitCode !== null) return
          for (const { pid } of [...descendants(child.pid!), { pid: child.pid! }]) process.kill(pid, "SIGKILL")
        })
    )
    for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (chunk) => output += String(chunk))
    const complete = Effect.promise(async () =>
      await isOpen(port) && applicationOf(descendants(child.pid!)).length === 3 &&
      envoyOf(descendants(child.pid!)).length === 1
    )
    yield* complete.pipe(
      Effect.filterOrFail((is) => is, () => new Error(`${args.join(" ")} did not start:\n${output}`)),
      Effect.retry({ schedule: Schedule.spaced("100 millis"), until: () => child.exitCode !== null }),
      Effect.timeout("60 seconds")
    )
    return child
  })

const endsAt = (signal: "SIGTERM" | "SIGINT", child: ChildProcess, to: "it" | "its group" = "it") =>
  Effect.gen(function*() {
    const started = descendants(child.pid!)

    process.kill(to === "it" ? child.pid! : -child.pid!, signal)
    const code = yield* Effect.promise(async () => (await once(child, "exit"))[0])

    assert.strictEqual(code, 128 + constants.signals[signal])
    assert.deepStrictEqual(alive(started), [])
  })

describeWithReboot("reboot/bin/rbt", () => {
  it.live("`serve run` ends its application, its servers and Envoy at SIGTERM", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const child = yield* start({
        program: rbt,
        args: ["serve", "run", "--tls=external", "--state-directory=state", "--servers=2", `--port=${port}`],
        folder: yield* application,
        port
      })
      yield* endsAt("SIGTERM", child)
    }).pipe(Effect.scoped), 90_000)

  it.live("`dev run` needs no terminal, and ends all it has started at SIGINT", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const child = yield* start({
        program: rbt,
        args: ["dev", "run", "--no-generate-watch", "--servers=2", `--port=${port}`],
        folder: yield* application,
        port
      })
      yield* endsAt("SIGINT", child)
    }).pipe(Effect.scoped), 90_000)

  it.live("`dev run` ends all it has started at a SIGTERM to its process group", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const child = yield* start({
        program: rbt,
        args: ["dev", "run", "--no-generate-watch", "--servers=2", `--port=${port}`],
        folder: yield* application,
        port
      })
      yield* endsAt("SIGTERM", child, "its group")
    }).pipe(Effect.scoped), 90_000)

  it.live("`npm run reboot:serve` passes SIGTERM on, with the book-trip application", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const child = yield* start({
        program: "npm",
        args: ["run", "reboot:serve"],
        folder: root,
        port,
        environment: {
          PORT: String(port),
          RBT_STATE_DIRECTORY: join(yield* application, "state"),
          SECRET: "a secret of more than thirty-two characters",
          WORLD_URL: "http://127.0.0.1:9"
        }
      })
      yield* endsAt("SIGTERM", child)
    }).pipe(Effect.scoped), 90_000)
})
