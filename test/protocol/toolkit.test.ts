/**
 * One toolkit, wherever it runs: the stock server, a plain test, this package's
 * registration.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, References, Schema, Stream } from "effect"
import { McpProtocol, McpSchema, McpServer, McpTest, Tool, Toolkit } from "effect/ai"
import * as Durable from "../../src/Durable.ts"
import { registerToolkit, toolkit } from "../../src/protocol/toolkit.ts"

class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", { message: Schema.String }) {}

class Airline
  extends Context.Service<Airline, { readonly reserve: (city: string) => Effect.Effect<number, NoSeats> }>()(
    "test/Airline"
  )
{
  static readonly layer = Layer.succeed(Airline, {
    reserve: (city) => city === "Atlantis" ? Effect.fail(new NoSeats({ message: "No seats" })) : Effect.succeed(42)
  })
}

const Trips = Toolkit.make(
  Tool.make("book", {
    parameters: Schema.Struct({ city: Schema.String }),
    success: Schema.Struct({ flight: Schema.Number, durable: Schema.Boolean }),
    failure: NoSeats
  })
)

const TripsLive = Trips.toLayer(Effect.gen(function*() {
  const airline = yield* Airline
  return Trips.of({
    book: Effect.fnUntraced(function*({ city }) {
      const flight = yield* Durable.step("reserve", airline.reserve(city), { error: NoSeats })
      yield* Durable.progress({ progress: 1 })
      const { durable } = yield* Durable.execution
      return { flight, durable }
    })
  })
})).pipe(Layer.provide(Airline.layer))

describe("toolkit", () => {
  it.effect("on the stock server, a durable toolkit is a plain one", () =>
    Effect.gen(function*() {
      for (const register of [toolkit, McpServer.toolkit]) {
        const client = yield* McpTest.makeClient(register(Trips).pipe(Layer.provide(TripsLive)), {
          protocols: [McpProtocol.v2025_11_25]
        })
        const booked = yield* client.callTool({ name: "book", arguments: { city: "Rome" } })
        assert.deepStrictEqual(booked.structuredContent, { flight: 42, durable: false })
        const refused = yield* client.callTool({ name: "book", arguments: { city: "Atlantis" } })
        assert.strictEqual(refused.isError, true)
        assert.deepStrictEqual(refused.content, [{ type: "text", text: "No seats" }])
      }
    }).pipe(Effect.scoped))

  it.effect("in a plain test, a toolkit needs no server at all", () =>
    Effect.gen(function*() {
      const trips = yield* Trips
      const results = yield* Stream.runCollect(Stream.unwrap(trips.handle("book", { city: "Rome" })))
      assert.deepStrictEqual(results.map(({ result }) => result), [{ flight: 42, durable: false }])
    }).pipe(Effect.provide(TripsLive)))

  it.effect("has the descriptors of the stock registration", () =>
    Effect.gen(function*() {
      const toolsOf = (register: typeof registerToolkit) =>
        Effect.gen(function*() {
          yield* register(Trips)
          return (yield* McpServer.McpServer).tools.map(({ tool }) => tool)
        }).pipe(Effect.provide(Layer.fresh(McpServer.McpServer.layer)), Effect.provide(TripsLive))
      assert.deepStrictEqual(yield* toolsOf(registerToolkit), yield* toolsOf(McpServer.registerToolkit))
    }))

  it.effect("a handler sees the real McpServer", () =>
    Effect.gen(function*() {
      const Later = Toolkit.make(Tool.make("later", { success: Schema.Boolean, dependencies: [McpServer.McpServer] }))
      const server = yield* McpServer.McpServer
      yield* registerToolkit(Later).pipe(
        Effect.provide(Later.toLayer({
          later: () => McpServer.McpServer.useSync((seen) => seen === server)
        }))
      ) as Effect.Effect<void>
      const result = yield* server.callTool({ name: "later" })
      assert.strictEqual(result.structuredContent, true)
    }).pipe(
      Effect.provide(McpServer.McpServer.layer),
      Effect.provideService(McpSchema.McpServerClient, {
        clientId: 0,
        protocolVersion: "2025-11-25",
        clientCapabilities: new McpSchema.ClientCapabilities({}),
        clientInfo: { name: "c", version: "0" },
        initializePayload: {
          protocolVersion: "2025-11-25",
          capabilities: new McpSchema.ClientCapabilities({}),
          clientInfo: { name: "c", version: "0" }
        },
        getClient: Effect.never
      }),
      Effect.provideService(References.MinimumLogLevel, "None")
    ))
})
