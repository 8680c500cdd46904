/**
 * A Reboot application of two server processes behind Envoy, which runs what its
 * fronts take.
 */
import { Effect, FileSystem, Schedule } from "effect"
import { ChildProcess } from "effect/process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:net"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Servers from "./Servers.ts"

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
})

/** Answers when it returns. What a front needs to reach it; ends with the scope. */
export const start = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* Servers.dataDir
  const port = yield* freePort
  const secret = randomBytes(32).toString("hex")
  yield* Effect.orDie(fs.writeFileString(
    join(directory, ".rbtrc"),
    [
      "serve run --nodejs",
      `serve run --application=${path("../servers/host.js")}`,
      "serve run --application-name=everything",
      "serve run --tls=external",
      ""
    ].join("\n")
  ))
  yield* ChildProcess.make(process.execPath, [path("../../reboot/bin/rbt"), "serve", "run"], {
    cwd: directory,
    env: {
      NODE_OPTIONS: "--conditions=source",
      PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
      PORT: String(port),
      RBT_SERVERS: "2",
      RBT_STATE_DIRECTORY: join(directory, "state"),
      SECRET: secret
    },
    extendEnv: true,
    stdout: "ignore",
    stderr: "inherit",
    killSignal: "SIGTERM",
    forceKillAfter: "20 seconds"
  }).pipe(Effect.orDie)
  const url = `http://127.0.0.1:${port}`
  // whoever does not know the secret is refused as soon as a server is there
  yield* Effect.tryPromise(() => fetch(`${url}/effmcp/wake`)).pipe(
    Effect.filterOrFail(({ status }) => status === 401),
    Effect.retry(Schedule.max([Schedule.spaced("200 millis"), Schedule.recurs(300)])),
    Effect.orDie
  )
  return { REBOOT_URL: url, SECRET: secret }
})
