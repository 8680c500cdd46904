/**
 * The fixture does what crash tests, benches and the conformance suite take it
 * to do.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { ElicitRequestSchema, type ElicitResult } from "@modelcontextprotocol/sdk/types.js"
import { Effect, FileSystem, Path } from "effect"
import { retryingFetch } from "effect-durable-mcp/client"
import { fileURLToPath } from "node:url"
import * as ServerProcess from "../support/ServerProcess.ts"

const program = fileURLToPath(new URL("../../examples/everything/main.ts", import.meta.url))

const start = Effect.fnUntraced(function*(dataDir: string, port: string) {
  return yield* ServerProcess.start({ program, env: { PORT: port, DATA_DIR: dataDir } })
})

/** A client that answers every question with `answer`. */
const connect = (url: string, answer: (message: string) => Promise<ElicitResult>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name: "test", version: "1.0.0" }, { capabilities: { elicitation: {} } })
      client.setRequestHandler(ElicitRequestSchema, ({ params }) => answer(params.message))
      const reconnectionOptions = {
        initialReconnectionDelay: 10,
        maxReconnectionDelay: 100,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: 1_000
      }
      const fetch = retryingFetch({ maxDelayMs: 100 })
      // The SDK is not written for `exactOptionalPropertyTypes`.
      await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch, reconnectionOptions }) as Transport)
      return client
    }),
    (client) => Effect.promise(() => client.close())
  )

const yes: ElicitResult = { action: "accept", content: { ok: true } }

const textOf = (result: Awaited<ReturnType<Client["callTool"]>>): string =>
  (result.content as ReadonlyArray<{ readonly text: string }>)[0]!.text

const folder = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped()
})

const linesOf = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  return (yield* fs.readFileString(path)).trimEnd().split("\n")
})

describe("examples/everything", () => {
  it.live("tells where it listens, and answers as its tools say", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const dataDir = path.join(yield* folder, "made", "by", "the", "server")
      const server = yield* start(dataDir, "0")
      assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+\/mcp$/)
      const questions: Array<string> = []
      const client = yield* connect(server.url, (message) => {
        questions.push(message)
        return Promise.resolve(questions.length === 1 ? yes : { action: "decline" })
      })
      const call = (
        name: string,
        args: Record<string, unknown>,
        onprogress?: (progress: { progress: number }) => void
      ) =>
        Effect.promise(() =>
          client.callTool({ name, arguments: args }, undefined, onprogress === undefined ? {} : { onprogress })
        )

      const { tools } = yield* Effect.promise(() => client.listTools())
      assert.strictEqual(tools[0]?.name, "test_simple_text")
      for (const tool of tools) assert.isString(tool.description)

      assert.strictEqual(textOf(yield* call("echo", { text: "\"as it is\"\n" })), "\"as it is\"\n")

      const progress: Array<number> = []
      assert.strictEqual(textOf(yield* call("slow_steps", { n: 4 }, (p) => progress.push(p.progress))), "done:4")
      assert.deepStrictEqual(progress, [1, 2, 3, 4])
      assert.strictEqual(textOf(yield* call("slow_steps", { n: 0 })), "done:0")
      assert.isTrue((yield* call("slow_steps", { n: -1 })).isError)

      const ledger = path.join(dataDir, "ledger")
      assert.strictEqual(textOf(yield* call("ledger", { path: ledger, n: 5, delay_ms: 1 })), "done:5")
      const lines = yield* linesOf(ledger)
      assert.strictEqual(new Set(lines).size, 5)
      assert.strictEqual(lines.length, 5)
      assert.deepStrictEqual(questions, ["Continue?"])

      assert.strictEqual(textOf(yield* call("ledger", { path: ledger, n: 4 })), "stopped:2")
      assert.strictEqual((yield* linesOf(ledger)).length, 7)
    }).pipe(Effect.provide(NodeServices.layer)), 60_000)

  it.live(
    "finishes a ledger over a kill -9 while its question is open: asked once, each line once",
    () =>
      Effect.gen(function*() {
        const path = yield* Path.Path
        const dataDir = yield* folder
        const ledger = path.join(dataDir, "ledger")
        const asked = Promise.withResolvers<void>()
        const restarted = Promise.withResolvers<void>()
        let questions = 0
        const first = yield* start(dataDir, "0")
        const client = yield* connect(first.url, async () => {
          questions++
          asked.resolve()
          await restarted.promise
          return yes
        })
        const result = client.callTool({ name: "ledger", arguments: { path: ledger, n: 6 } })
        yield* Effect.promise(() => asked.promise)
        yield* first.kill
        yield* start(dataDir, new URL(first.url).port)
        restarted.resolve()
        assert.strictEqual(textOf(yield* Effect.promise(() => result)), "done:6")
        const lines = yield* linesOf(ledger)
        assert.strictEqual(lines.length, 6)
        assert.strictEqual(new Set(lines).size, 6)
        assert.strictEqual(questions, 1)
      }).pipe(Effect.provide(NodeServices.layer)),
    60_000
  )
})
