/**
 * Real processes under SIGKILL, and what the kit says where they cannot bear it.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { createServer } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as KillProcess from "../../src/testing/KillProcess.ts"

/** A port that nobody has, or had a moment ago. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

const main = fileURLToPath(new URL("./server/main.ts", import.meta.url))

const command = Effect.fnUntraced(function*(database?: string) {
  const port = yield* freePort
  return {
    command: process.execPath,
    args: ["--conditions=effect-durable-mcp", main],
    env: { PORT: String(port), ...database === undefined ? {} : { DATABASE: database } },
    url: `http://127.0.0.1:${port}/mcp`
  }
})

const temporary = Effect.flatMap(
  FileSystem.FileSystem,
  (fs) => Effect.map(fs.makeTempDirectoryScoped({ prefix: "kill-process-" }), (folder) => join(folder, "store.db"))
)

describe("KillProcess", () => {
  it.live("survives what a durable server survives", () =>
    Effect.gen(function*() {
      const database = yield* temporary
      const report = yield* KillProcess.run({
        ...yield* command(database),
        script: (client) =>
          Effect.all([client.callTool("count", { n: 10, millis: 40 }), client.callTool("touch")], {
            concurrency: "unbounded"
          }),
        kills: 4,
        seed: 1,
        database
      })
      assert.strictEqual(report.kills, 4)
      assert.isAtLeast(report.calls, 2)
      assert.include(JSON.stringify(report.value), "55")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 60_000)

  it.live("finds that a server in memory forgets its clients, and says so", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(KillProcess.run({
        ...yield* command(),
        script: (client) => client.callTool("count", { n: 10, millis: 40 }),
        kills: 3,
        every: ["100 millis", "300 millis"],
        seed: 1
      }))
      assert.match(error.message, /^Run 1 of seed 1, killed by crash@\d+ms\n/)
      assert.include(error.violations[0], "Session not found")
      assert.include(error.message, "starts")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 60_000)
})
