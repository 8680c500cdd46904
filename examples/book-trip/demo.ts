/**
 * `npm start`: books a trip with the official SDK client while the server is
 * killed again and again, and counts what was lost or done twice.
 *
 * `npm start -- --kills 50 --seed 7` for more, `npm start -- --store reboot` on
 * another store.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js"
import { Deferred, Effect, Fiber, FileSystem, Option, Random, Scope } from "effect"
import { retryingFetch } from "effect-durable-mcp/client"
import { Command, Flag } from "effect/cli"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import * as Processes from "./processes.ts"
import * as Timeline from "./Timeline.ts"
import { Ledger } from "./world.ts"

/** Where in a trip the server is killed: before the question, while it is open, after the answer. */
const phases = ["booking", "asking", "paying"] as const
type Phase = typeof phases[number]

const cities = ["Lisbon", "Oslo", "Kyoto", "Quito", "Tunis", "Riga", "Perth", "Dakar", "Lima", "Turin"]
const killsPerTrip = 5

/** What every trip must show the client, each exactly once and in this order. */
const expected = ["progress 1", "question", "progress 2", "progress 3", "receipt"]

/** One kill at least while the question is open; the others anywhere. */
const plan = Effect.fnUntraced(function*(kills: number) {
  const drawn: Array<Phase> = kills > 0 ? ["asking"] : []
  while (drawn.length < kills) {
    drawn.push(yield* Random.choice(phases))
  }
  return (phase: Phase) => drawn.filter((other) => other === phase).length
})

const demo = Effect.fnUntraced(function*(options: {
  readonly kills: number
  readonly seed: number
  readonly store: "sqlite" | "reboot"
}) {
  const fs = yield* FileSystem.FileSystem
  const dataDir = yield* fs.makeTempDirectoryScoped({ prefix: "book-trip-" })
  const timeline = Timeline.make()
  const { say } = timeline

  yield* timeline.title(`book_trip under SIGKILL: ${options.kills} kills, seed ${options.seed}`)
  const world = yield* Processes.start({
    program: "world.ts",
    env: { PORT: "0" },
    onLine: (line) => say("world", line)
  })

  const startServer = (port: string) =>
    Processes.start({
      program: "server.ts",
      env: { PORT: port, DATA_DIR: dataDir, STORE: options.store, WORLD_URL: world.url },
      onLine: (line) => say("server", line)
    })
  const outer = yield* Scope.Scope
  let server = yield* startServer("0")
  const url = new URL(server.url)
  yield* say("server", `listens at ${url}, pid ${server.pid}`)

  let kills = 0
  /** Kills the server within `withinMs` and starts it again. */
  const killOnce = Effect.fnUntraced(function*(withinMs: number, during: string) {
    yield* Effect.sleep(yield* Random.nextIntBetween(100, withinMs))
    kills++
    yield* say("kill", `kill -9 ${server.pid} ${during}`)
    yield* server.kill
    const begun = performance.now()
    server = yield* startServer(url.port).pipe(Scope.provide(outer))
    yield* say("server", `back after ${(performance.now() - begun).toFixed(0)} ms, pid ${server.pid}`)
  })

  // ---- the client: the official SDK, with two options set
  const transport = new StreamableHTTPClientTransport(url, {
    fetch: retryingFetch(),
    reconnectionOptions: {
      initialReconnectionDelay: 100,
      maxReconnectionDelay: 1000,
      reconnectionDelayGrowFactor: 1.5,
      maxRetries: 1000
    }
  })
  const client = new Client({ name: "demo", version: "1.0.0" }, { capabilities: { elicitation: {} } })
  let onQuestion = (_message: string): Promise<void> => Promise.resolve()
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
    await onQuestion(params.message)
    return { action: "accept", content: { ok: true } }
  })
  yield* Effect.promise(() => client.connect(transport as never))
  yield* Effect.addFinalizer(() => Effect.promise(() => client.close()))

  /** One trip; what the client saw of it, in order. */
  const trip = Effect.fnUntraced(function*(city: string, kills: number) {
    const quota = yield* plan(kills)
    const seen: Array<string> = []
    const asked = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void>()

    onQuestion = (message) =>
      Effect.runPromise(Effect.gen(function*() {
        seen.push("question")
        yield* say("client", `question: ${message}`)
        yield* Deferred.succeed(asked, undefined)
        yield* Deferred.await(answer)
      }))

    yield* say("client", `calls book_trip, ${city}`)
    const call = yield* Effect.forkChild(
      Effect.promise(() =>
        client.callTool({ name: "book_trip", arguments: { city } }, CallToolResultSchema, {
          timeout: 600_000,
          onprogress: ({ message, progress }) => {
            // the heartbeat of a quiet call is a fraction above the last value
            if (Number.isInteger(progress)) {
              seen.push(`progress ${progress}`)
              Effect.runSync(say("client", `progress ${progress}/3: ${message}`))
            }
          }
        })
      )
    )

    for (let n = quota("booking"); n > 0; n--) {
      yield* killOnce(1200, "while the seat is being reserved")
    }
    yield* Deferred.await(asked)
    for (let n = quota("asking"); n > 0; n--) {
      yield* killOnce(1200, "while the question is open")
    }
    yield* Effect.sleep("700 millis")
    yield* say("client", "answers: yes")
    yield* Deferred.succeed(answer, undefined)
    for (let n = quota("paying"); n > 0; n--) {
      yield* killOnce(n === 1 ? 2400 : 1200, "after the answer")
    }

    const result = yield* Fiber.join(call)
    const text = JSON.stringify(result.structuredContent)
    yield* say("client", `result: ${text}`)
    seen.push(text === JSON.stringify({ id: `receipt-${city}`, city }) ? "receipt" : `wrong result ${text}`)
    return seen
  })

  const trips = Math.max(1, Math.ceil(options.kills / killsPerTrip))
  const questions: Array<number> = []
  let lost = 0
  let doubled = 0
  for (let i = 0; i < trips; i++) {
    // a city a trip, so that the world can tell them apart
    const city = `${cities[i % cities.length]}${i < cities.length ? "" : ` ${1 + Math.floor(i / cities.length)}`}`
    const seen = yield* trip(city, Math.min(killsPerTrip, options.kills - i * killsPerTrip))
    questions.push(seen.filter((event) => event === "question").length)
    lost += expected.filter((event) => !seen.includes(event)).length
    doubled += seen.filter((event, at) => seen.indexOf(event) !== at).length
  }

  const ledger = yield* HttpClient.get(`${world.url}/ledger`).pipe(
    Effect.flatMap(HttpClientResponse.schemaBodyJson(Ledger))
  )
  const asked = Array.from(new Set(questions)).sort().join(" or ")
  yield* timeline.title(
    `${
      trips === 1 ? "" : `trips ${trips} · `
    }kills ${kills} · attempts ${ledger.attempts} · effects ${ledger.effects}` +
      ` · duplicate effects ${ledger.duplicates} · questions asked ${asked}${trips === 1 ? "" : " a trip"}` +
      ` · events lost ${lost} · events doubled ${doubled}`
  )
  if (ledger.duplicates > 0 || asked !== "1" || lost > 0 || doubled > 0) {
    return yield* Effect.die(new Error("a zero or a one of the summary is not true"))
  }
}, Effect.scoped)

Command.make("demo", {
  kills: Flag.Int("kills").pipe(Flag.withDescription("How often the server is killed"), Flag.withDefault(5)),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("Repeats a choice of moments; default: another each time"),
    Flag.optional
  ),
  store: Flag.Literals("store", ["sqlite", "reboot"]).pipe(
    Flag.withDescription("Where the server keeps its state; Reboot is to be set up first: npm run reboot:setup"),
    Flag.withDefault("sqlite")
  )
}, ({ kills, seed, store }) => {
  const chosen = Option.getOrElse(seed, () => Date.now() % 1000)
  return demo({ kills, seed: chosen, store }).pipe(Random.withSeed(chosen))
}).pipe(
  Command.withDescription("Books a trip while the server is killed"),
  Command.run({ version: "1.0.0" }),
  Effect.provide([NodeServices.layer, FetchHttpClient.layer]),
  NodeRuntime.runMain
)
