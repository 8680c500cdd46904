/**
 * Book-trip on several processes: a Reboot application of two servers behind
 * Envoy, which is started again when it ends, fronts, and the world they act on.
 */
import { Effect, Schedule, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import * as Http from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Ledger } from "../../examples/book-trip/world.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const conditions = "--conditions=effect-durable-mcp"

/** Of fronts and application. */
export const secret = "a-secret-of-the-tests-of-replicas-0123456789"

/** Whether `npm run reboot:setup` has installed Envoy too. */
export const hasEnvoy: boolean = existsSync(join(root, "reboot", ".envoy"))

/** A process that prints lines. */
export interface Started {
  readonly pid: number
  readonly lines: ReadonlyArray<string>
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
}

const started = (
  command: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  end: (child: ChildProcess) => Effect.Effect<void>
): Effect.Effect<Started, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
      ),
      end
    ),
    (child) => {
      const lines: Array<string> = []
      for (const output of [child.stdout, child.stderr]) {
        createInterface({ input: output }).on("line", (line) => {
          lines.push(line)
          if (process.env["REPLICAS_VERBOSE"] === "1") process.stderr.write(`${child.pid} ${line}\n`)
        })
      }
      return { pid: child.pid!, lines, kill: (signal) => ended(child, signal) }
    }
  )

const ended = (child: ChildProcess, signal: NodeJS.Signals): Effect.Effect<void> =>
  Effect.promise(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill(signal)) await once(child, "exit")
  })

/** Tries until it succeeds, for a minute. */
export const eventually = <A>(f: () => A | undefined | Promise<A | undefined>): Effect.Effect<A> =>
  Effect.tryPromise(async () => {
    const found = await f()
    if (found === undefined) throw new Error(`Not yet: ${f}`)
    return found
  }).pipe(Effect.retry(Schedule.max([Schedule.spaced(50), Schedule.recurs(1_200)])), Effect.orDie)

const listening = (program: Started): Effect.Effect<URL> =>
  eventually(() => program.lines.find((line) => line.startsWith("listening "))).pipe(
    Effect.map((line) => new URL(line.slice("listening ".length)))
  )

const node = (
  program: string,
  env: Readonly<Record<string, string>>
): Effect.Effect<Started, never, Scope.Scope> =>
  started(
    process.execPath,
    [conditions, join("examples", "book-trip", program)],
    env,
    (child) => ended(child, "SIGKILL")
  )

export interface World extends Started {
  readonly url: URL
  readonly ledger: Effect.Effect<typeof Ledger.Type>
}

/** Each of its services takes `latency` milliseconds. */
export const world = (latency: number): Effect.Effect<World, never, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* node("world.ts", { PORT: "0", WORLD_LATENCY_MS: String(latency) })
    const url = yield* listening(program)
    return {
      ...program,
      url,
      ledger: Effect.promise(async () =>
        Schema.decodeUnknownSync(Ledger)(await (await fetch(new URL("/ledger", url))).json())
      )
    }
  })

/** One process of the application. */
export interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

const processes = (): ReadonlyArray<Process> =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ")
      return fields[0] === "Z" ? [] : [{ pid: Number(name), parent: Number(fields[1]), command }]
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

/** What an application consists of, by pid. */
export interface Processes {
  readonly parent: number
  readonly servers: ReadonlyArray<number>
  readonly envoy: number
}

export interface RebootApplication {
  /** Of Envoy. */
  readonly url: URL
  /** Waits until it is complete. */
  readonly processes: Effect.Effect<Processes>
  readonly lines: ReadonlyArray<string>
}

const isApplication = ({ command }: Process): boolean => command.includes("book-trip/reboot/main.js")

const roles = (pid: number): Processes | undefined => {
  const all = descendants(pid)
  const parent = all.find((process) =>
    isApplication(process) && all.some((other) => isApplication(other) && other.parent === process.pid)
  )
  const servers = all.filter((process) => isApplication(process) && process.parent === parent?.pid)
  const envoy = all.find(({ command, parent: by }) => by === parent?.pid && command.includes("/envoy "))
  return parent === undefined || servers.length < 2 || envoy === undefined
    ? undefined
    : { parent: parent.pid, servers: servers.map(({ pid }) => pid), envoy: envoy.pid }
}

/** Returns when it answers. With the scope all of it ends. */
export const application = (world: World): Effect.Effect<RebootApplication, never, Scope.Scope> =>
  Effect.gen(function*() {
    const stateDirectory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-durable-mcp-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))
    )
    const port = yield* freePort
    const program = yield* started(
      join(root, "reboot", "bin", "supervise"),
      [join(root, "reboot", "bin", "rbt"), "serve", "run"],
      {
        NODE_OPTIONS: conditions,
        PATH: `${join(process.execPath, "..")}:${process.env["PATH"]}`,
        PORT: String(port),
        RBT_SERVERS: "2",
        RBT_STATE_DIRECTORY: stateDirectory,
        SECRET: secret,
        WORLD_URL: world.url.origin
      },
      (child) =>
        Effect.gen(function*() {
          const all = descendants(child.pid!)
          yield* Effect.timeoutOption(Effect.interruptible(ended(child, "SIGTERM")), "30 seconds")
          for (const { pid } of all) {
            try {
              process.kill(pid, "SIGKILL")
            } catch {
              // it has ended, as it should
            }
          }
          yield* ended(child, "SIGKILL")
        })
    )
    const url = new URL(`http://127.0.0.1:${port}`)
    yield* answers(url)
    return { url, lines: program.lines, processes: eventually(() => roles(program.pid)) }
  })

/** Both servers can be reached. */
const answers = (url: URL): Effect.Effect<void> =>
  Effect.asVoid(eventually(async () => {
    const response = await fetch(new URL("/effmcp/wake", url))
    await response.body?.cancel()
    return response.status === 401 ? true : undefined
  }))

const freePort: Effect.Effect<number> = Effect.promise(async () => {
  const server = Http.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { readonly port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
})

export interface Front extends Started {
  /** Its MCP endpoint. */
  readonly url: URL
}

/** @param reboot Envoy, or a proxy before it */
export const front = (reboot: URL): Effect.Effect<Front, never, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* node(join("reboot", "front.ts"), { PORT: "0", REBOOT_URL: reboot.origin, SECRET: secret })
    return { ...program, url: yield* listening(program) }
  })

/** A proxy on a port of its own; `target` says where a request goes. */
export const proxy = (
  target: (request: Http.IncomingMessage) => URL
): Effect.Effect<URL, never, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* Effect.acquireRelease(
      Effect.sync(() =>
        Http.createServer((request, response) => {
          const { hostname, port } = target(request)
          const upstream = Http.request(
            { hostname, port, method: request.method, path: request.url, headers: request.headers },
            (answer) => {
              response.writeHead(answer.statusCode!, answer.headers)
              answer.pipe(response)
              answer.on("error", () => response.destroy())
            }
          )
          upstream.on("error", () => response.headersSent ? response.destroy() : response.writeHead(502).end())
          response.on("close", () => upstream.destroy())
          request.pipe(upstream)
        }).listen(0, "127.0.0.1")
      ),
      (server) =>
        Effect.promise(async () => {
          server.closeAllConnections()
          await new Promise((resolve) => server.close(resolve))
        })
    )
    if (!server.listening) yield* Effect.promise(() => once(server, "listening"))
    return new URL(`http://127.0.0.1:${(server.address() as { readonly port: number }).port}`)
  })
