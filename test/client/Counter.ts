/**
 * A server of one tool, `count`, which knows how often its step has run.
 */
import { Effect, Layer, Schema, type Scope } from "effect"
import { Durable, DurableMcp, Limits, MemoryStore } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import { HttpServer } from "effect/http"

const Tools = Toolkit.make(Tool.make("count", {
  parameters: Schema.Struct({ name: Schema.String }),
  success: Schema.Struct({ runs: Schema.Number })
}))

export interface Counter {
  readonly url: string
  /** How often the step has run, by name. */
  readonly runs: ReadonlyMap<string, number>
}

export const serve: Effect.Effect<Counter, never, Scope.Scope> = Effect.gen(function*() {
  const runs = new Map<string, number>()
  const registrations = DurableMcp.toolkit(Tools).pipe(Layer.provide(Tools.toLayer({
    count: Effect.fn("count")(function*({ name }) {
      const count = yield* Durable.step(
        "count",
        Effect.sync(() => {
          const count = (runs.get(name) ?? 0) + 1
          runs.set(name, count)
          return count
        })
      )
      yield* Durable.progress({ progress: 1, total: 1 })
      return { runs: count }
    })
  })))
  const context = yield* Layer.build(
    DurableMcp.layerHttp({ name: "counter", version: "1.0.0", path: "/mcp", registrations }).pipe(
      DurableMcp.serveNode({ port: 0, disableListenLog: true }),
      Layer.provide(MemoryStore.layer),
      // Clients that resume wait for so long.
      Layer.provide(Layer.succeed(Limits.RetryAfter)("1 millis"))
    )
  ).pipe(Effect.orDie)
  const url = yield* HttpServer.addressFormattedWith((address) => Effect.succeed(`${address}/mcp`)).pipe(
    Effect.provide(context)
  )
  return { runs, url }
})
