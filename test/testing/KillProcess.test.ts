/**
 * Real processes under SIGKILL, and what the kit says where they cannot bear it.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem } from "effect"
import { createServer as createHttpServer } from "node:http"
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

const answers = (url: string) =>
  Effect.promise(() => fetch(url).then((response) => response.text()).then(() => true, () => false))

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

  it.live("asks what a test knows of the world", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(KillProcess.run({
        ...yield* command(),
        script: (client) => client.callTool("touch"),
        kills: 1,
        check: Effect.succeed(["the ledger has two lines"])
      }))
      assert.deepStrictEqual(error.violations, ["the ledger has two lines"])
    }).pipe(Effect.provide(NodeServices.layer)), 60_000)

  it.live("finds a server that ends by itself, and shows what it wrote", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(KillProcess.run({
        command: process.execPath,
        args: ["-e", "console.error('no configuration'); process.exit(3)"],
        url: `http://127.0.0.1:${yield* freePort}/mcp`,
        script: (client) => client.callTool("touch"),
        kills: 1
      }))
      assert.deepStrictEqual(error.violations, ["the server ended by itself with code 3"])
      assert.include(error.message, "no configuration")
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("finds a server that never listens", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(KillProcess.run({
        command: process.execPath,
        args: ["-e", "setInterval(() => {}, 1000)"],
        url: `http://127.0.0.1:${yield* freePort}/mcp`,
        script: (client) => client.callTool("touch"),
        kills: 1,
        startTimeout: "200 millis"
      }))
      assert.deepStrictEqual(error.violations, ["the server did not listen within 200ms"])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("finds a run that is stuck", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(KillProcess.run({
        ...yield* command(),
        script: (client) => client.callTool("sleep"),
        kills: 1,
        patience: "1 second"
      }))
      assert.deepStrictEqual(error.violations, [
        "nothing has come of anything for 1s, and the script has not ended"
      ])
    }).pipe(Effect.provide(NodeServices.layer)), 60_000)

  it.live("takes nobody else for the server", () =>
    Effect.gen(function*() {
      const other = yield* command()
      const somebody = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createHttpServer>>((resume) => {
          const server = createHttpServer((_, response) => response.end()).listen(Number(other.env.PORT), "127.0.0.1")
          server.once("listening", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => server.closeAllConnections()).pipe(Effect.andThen(Effect.sync(() => server.close())))
      )
      assert.isTrue(somebody.listening)
      const error = yield* Effect.flip(
        KillProcess.run({ ...other, script: (client) => client.callTool("touch"), kills: 1 })
      )
      assert.deepStrictEqual(error.violations, [`somebody else answers at ${other.url}`])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("leaves no process behind when it is interrupted", () =>
    Effect.gen(function*() {
      const server = yield* command()
      const calling = yield* Deferred.make<void>()
      const running = yield* Effect.forkChild(KillProcess.run({
        ...server,
        script: (client) =>
          Effect.andThen(
            client.start("sleep"),
            Effect.andThen(Deferred.succeed(calling, undefined), Effect.never)
          ),
        kills: 1
      }))
      yield* Deferred.await(calling)
      assert.isTrue(yield* answers(server.url))
      yield* Fiber.interrupt(running)
      assert.isFalse(yield* answers(server.url))
    }).pipe(Effect.provide(NodeServices.layer)), 60_000)
})
