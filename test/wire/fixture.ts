/**
 * A server with a tool for each thing that a call can do, on real sockets, that
 * can be stopped and started again on the same store.
 */
import { type Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Durable, DurableMcp, Limits, type Store } from "effect-durable-mcp"
import { McpServer, Tool, Toolkit } from "effect/ai"
import { HttpServer } from "effect/http"

/**
 * Doors in the handlers' way, which a test shuts before and opens when it has
 * seen enough. They outlive the server.
 */
export class Doors {
  readonly #shut = new Map<string, Array<() => void>>()
  readonly #arrivals = new Map<string, number>()

  shut(name: string): void {
    this.#shut.set(name, [])
  }

  open(name: string): void {
    const waiting = this.#shut.get(name) ?? []
    this.#shut.delete(name)
    for (const pass of waiting) pass()
  }

  /** How many have come to the door. */
  arrivals(name: string): number {
    return this.#arrivals.get(name) ?? 0
  }

  pass(name: string): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.#arrivals.set(name, this.arrivals(name) + 1)
      const waiting = this.#shut.get(name)
      if (waiting === undefined) return resume(Effect.void)
      waiting.push(() => resume(Effect.void))
    })
  }

  arrived(name: string): Effect.Effect<void> {
    return until(() => this.arrivals(name) > 0)
  }
}

/** Waits for what another fiber, socket or process brings about. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.sleep(2), until(condition)))

class Broken extends Schema.TaggedError<Broken>("Broken")("Broken", { why: Schema.String }) {}

const Consent = Schema.Struct({ ok: Schema.Boolean })

const Tools = Toolkit.make(
  Tool.make("echo", {
    description: "Answers",
    parameters: Schema.Struct({ text: Schema.String }),
    success: Schema.String
  }),
  Tool.make("walk", {
    description: "Takes n steps",
    parameters: Schema.Struct({ n: Schema.Int }),
    success: Schema.String
  }),
  Tool.make("talk", { description: "Logs", parameters: Tool.EmptyParams, success: Schema.String }),
  Tool.make("ask", { description: "Asks the user", parameters: Tool.EmptyParams, success: Schema.Unknown }),
  Tool.make("page", { description: "Sends the user to a page", parameters: Tool.EmptyParams, success: Schema.String }),
  Tool.make("model", { description: "Asks the model", parameters: Tool.EmptyParams, success: Schema.String }),
  Tool.make("roots", { description: "Asks for roots", parameters: Tool.EmptyParams, success: Schema.Unknown }),
  Tool.make("hang_up", { description: "Disconnects", parameters: Tool.EmptyParams, success: Schema.String }),
  Tool.make("fail", { description: "Fails", parameters: Tool.EmptyParams, success: Schema.String, failure: Broken }),
  Tool.make("die", { description: "Dies", parameters: Tool.EmptyParams, success: Schema.String })
)

const tools = (doors: Doors) =>
  DurableMcp.toolkit(Tools).pipe(Layer.provide(Tools.toLayer({
    echo: ({ text }) => Effect.succeed(text),
    walk: Effect.fn("walk")(function*({ n }) {
      for (let i = 1; i <= n; i++) {
        yield* Durable.step(`step-${i}`, doors.pass(`step-${i}`))
        yield* Durable.progress({ progress: i, total: n, message: `step ${i}` })
      }
      return `done:${n}`
    }),
    talk: Effect.fn("talk")(function*() {
      for (const level of ["debug", "info", "error"] as const) {
        yield* Durable.log({ said: level }, { level, logger: "talk" })
      }
      return "said"
    }),
    ask: () => Durable.elicit("consent", { message: "Go on?", schema: Consent }),
    page: () =>
      Effect.map(
        Durable.elicitUrl("page", { message: "Log in", url: (id) => `https://login.example/?elicitation=${id}` }),
        (answer) => answer._tag
      ),
    model: () =>
      Durable.sample("joke", {
        messages: [{ role: "user", content: { type: "text", text: "A joke, please" } }],
        maxTokens: 10
      }).pipe(
        Effect.map(({ content }) => JSON.stringify(content)),
        Effect.catchTag("ClientRequestError", (error) => Effect.succeed(error.reason))
      ),
    roots: () => Effect.orDie(Durable.roots),
    hang_up: Effect.fn("hang_up")(function*() {
      yield* Durable.disconnect({ retryAfter: "10 millis" })
      yield* Durable.step("after", doors.pass("after"))
      return "back again"
    }),
    fail: () => Effect.fail(new Broken({ why: "on purpose" })),
    die: () => Effect.die(new Error("secret"))
  })))

const Id = Schema.String

const resources = Layer.mergeAll(
  McpServer.resource({
    uri: "test://text",
    name: "text",
    description: "A text",
    mimeType: "text/plain",
    content: Effect.succeed("Hello")
  }),
  McpServer.resource`test://item/${Id}`({
    name: "item",
    description: "An item",
    content: (_uri, id) => Effect.succeed(`item ${id}`)
  })
)

const prompts = McpServer.prompt({
  name: "greet",
  description: "A greeting",
  parameters: { name: Schema.String },
  completion: { name: () => Effect.succeed(["Ada", "Alan"]) },
  content: ({ name }) => Effect.succeed(`Hello, ${name}`)
})

/** Everything that the server offers. */
export const registrations = (doors: Doors) => Layer.mergeAll(tools(doors), resources, prompts)

export interface Running {
  readonly url: URL
  /** As SIGTERM does. */
  readonly stop: Effect.Effect<void>
  readonly services: Context.Context<McpServer.McpServer>
}

/** Builds a server that is stopped at the end of the test at the latest. */
export const serveOn = Effect.fnUntraced(function*<E>(
  server: Layer.Layer<McpServer.McpServer | HttpServer.HttpServer, E>
): Effect.fn.Return<Running, never, Scope.Scope> {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const services = yield* Effect.orDie(Layer.buildWithScope(server, scope))
  const address = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), services)
  return { url: new URL("/mcp", address), stop: Scope.close(scope, Exit.void), services }
})

/** Starts the server on a store; the same `port` again makes it the next process of the same clients. */
export const start = <E>(
  store: Layer.Layer<Store.Store, E>,
  doors: Doors,
  options?: { readonly port?: number | undefined; readonly limits?: Layer.Layer<never> | undefined }
): Effect.Effect<Running, never, Scope.Scope> =>
  serveOn(
    DurableMcp.layerHttp({
      name: "wire",
      version: "1.0.0",
      instructions: "Be kind",
      path: "/mcp",
      registrations: registrations(doors)
    }).pipe(
      DurableMcp.serveNode({ port: options?.port ?? 0, disableListenLog: true }),
      Layer.provide([store, options?.limits ?? Layer.empty, Layer.succeed(Limits.RetryAfter)("20 millis")])
    )
  )
