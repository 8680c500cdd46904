/**
 * The server of `npm run reboot:scale`: calls that end at once, that wait for an
 * answer, that sleep. `PORT`, `DATA_DIR`; `STORE`: `reboot` or `sqlite`.
 *
 * `GET /memory` collects garbage and says what is left.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema, Stream } from "effect"
import { Durable, DurableMcp, Limits, SqliteStore, Store } from "effect-durable-mcp"
import { RebootLimits, RebootStore } from "effect-durable-mcp/reboot"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { join } from "node:path"

const Tools = Toolkit.make(
  Tool.make("echo", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String }),
  Tool.make("ask", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.String }),
  Tool.make("nap", { parameters: Schema.Struct({ n: Schema.Int, until: Schema.Int }), success: Schema.String })
)

const handlers = Tools.toLayer({
  echo: ({ text }) => Effect.succeed(text),
  ask: Effect.fnUntraced(function*({ n }) {
    const answer = yield* Durable.elicit("more", { message: `${n}?`, schema: Schema.Struct({ more: Schema.Int }) })
    return answer._tag === "Accepted" ? `${n} and ${answer.content.more}` : answer._tag
  }),
  nap: Effect.fnUntraced(function*({ n, until }) {
    yield* Durable.sleep("nap", Math.max(0, until - Date.now()))
    return `${n} is awake`
  })
})

const control = Layer.mergeAll(
  HttpRouter.add(
    "GET",
    "/memory",
    Effect.suspend(() => {
      globalThis.gc?.()
      const { heapUsed, rss } = process.memoryUsage()
      return HttpServerResponse.json({ heap: heapUsed, rss })
    })
  ),
  /** Calls that are over and were not forgotten. */
  HttpRouter.add(
    "GET",
    "/kept",
    Effect.gen(function*() {
      const { streams } = yield* Store.Store
      return yield* HttpServerResponse.json(yield* Stream.runCount(streams({ closedBefore: Infinity })))
    })
  ),
  /** Executions by state. */
  HttpRouter.add(
    "GET",
    "/executions",
    Effect.gen(function*() {
      const { list } = yield* Store.Store
      const counts: Record<string, number> = {}
      yield* Stream.runForEach(list({}), ({ state }) =>
        Effect.sync(() => {
          counts[state] = (counts[state] ?? 0) + 1
        }))
      return yield* HttpServerResponse.json(counts)
    })
  )
)

const announce = Layer.effectDiscard(HttpServer.addressFormattedWith((url) => Console.log(`listening ${url}/mcp`)))

const program = Effect.gen(function*() {
  const { directory, port, retention, store } = yield* Config.all({
    directory: Config.String("DATA_DIR"),
    port: Config.Int("PORT").pipe(Config.withDefault(0)),
    retention: Config.String("RETENTION").pipe(Config.withDefault("1 hour")),
    store: Config.Literals(["reboot", "sqlite"], "STORE").pipe(Config.withDefault("reboot"))
  })
  const mcp = DurableMcp.layerHttp({
    name: "scale",
    version: "1.0.0",
    path: "/mcp",
    registrations: DurableMcp.toolkit(Tools).pipe(Layer.provide(handlers))
  })
  return announce.pipe(
    Layer.provide(DurableMcp.serveNode({ port, disableListenLog: true })(Layer.merge(mcp, control))),
    Layer.provide(
      store === "sqlite"
        ? SqliteStore.layer({ filename: join(directory, "scale.db") })
        : RebootStore.layer({ name: "scale", stateDirectory: join(directory, "reboot") })
    ),
    Layer.provide(Layer.mergeAll(
      // waiting calls are soon on disk alone
      Layer.succeed(Limits.IdleDelay)("200 millis"),
      Layer.succeed(Limits.CallRetention)(retention as "1 hour"),
      Layer.succeed(Limits.SweepInterval)("5 seconds"),
      // a level that 20,000 calls reach
      Layer.succeed(RebootLimits.StatesInMemory)(2 * 1024 * 1024)
    ))
  )
})

NodeRuntime.runMain(Layer.launch(Layer.unwrap(program)))
