/**
 * Handlers that use all of `Durable`, wherever they run: on this package's
 * server, on Effect's own, and in a plain test. Where nobody can be asked, the
 * results are the same.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { Durable } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { converse } from "./conversation.ts"
import * as Endpoints from "./endpoints.ts"
import { message, open } from "./raw.ts"

class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", { message: Schema.String }) {}

const Flight = Schema.Struct({ seat: Schema.Int, at: Schema.DateFromString })

const Trips = Toolkit.make(
  Tool.make("book", {
    parameters: Schema.Struct({ city: Schema.String }),
    success: Schema.Struct({
      flight: Flight,
      run: Schema.Int,
      steps: Schema.Array(Schema.String),
      wish: Schema.String,
      answers: Schema.Unknown
    }),
    failure: NoSeats
  })
)

/** No requirement, no layer of ours: the handlers bring nothing but themselves. */
const TripsLive = Trips.toLayer({
  book: Effect.fn("book")(function*({ city }) {
    const steps: Array<string> = []
    const done = (name: string) => Effect.sync(() => void steps.push(name))
    const flight = yield* Durable.step(
      "reserve",
      ({ attempt, key }) => {
        assert.match(key, /^[A-Za-z0-9_-]+$/)
        assert.strictEqual(attempt, 1)
        return city === "Atlantis"
          ? Effect.fail(new NoSeats({ message: "No seats" }))
          : Effect.as(done("reserve"), { seat: city.length, at: new Date(0) })
      },
      {
        success: Flight,
        error: NoSeats,
        timeout: "1 minute",
        compensate: ({ seat }) => done(`release ${seat}`)
      }
    ).pipe(Effect.catchTag("StepTimedOut", Effect.die))
    yield* Durable.progress({ progress: 1, total: 3 })
    for (const leg of ["out", "back"]) {
      yield* Durable.step("leg", Durable.step("inner", done(leg)))
    }
    yield* Effect.all([Durable.step("a", done("a")), Durable.step("b", done("b"))], { concurrency: "unbounded" })
    const wish = yield* Effect.flip(
      Durable.step("wish", Effect.fail(new NoSeats({ message: "No window" })), { error: NoSeats })
    )
    yield* Durable.step("mail", () => done("mail"), { atMostOnce: true }).pipe(
      Effect.catchTag("StepInterrupted", Effect.die)
    )
    yield* Durable.sleep("pause", "1 milli")
    yield* Durable.log({ at: "the end" })
    const { run } = yield* Durable.execution
    if (city === "Dis") return yield* Effect.die(new Error("secret"))
    const answers = {
      form: yield* Durable.elicit("pay", { message: "Pay?", schema: Schema.Struct({ ok: Schema.Boolean }) }),
      page: yield* Durable.elicitUrl("login", { message: "Log in", url: "https://example.org/login" }),
      joke: yield* reasonOf(Durable.sample("joke", { messages: [], maxTokens: 1 })),
      roots: yield* reasonOf(Durable.roots)
    }
    return { flight, run, steps, wish: wish.message, answers }
  })
})

const reasonOf = (effect: Effect.Effect<unknown, Durable.ClientRequestError>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: ({ reason }) => reason, onSuccess: () => "answered" })

const registrations: Endpoints.Registrations = (register) => register(Trips).pipe(Layer.provide(TripsLive))

class Servers extends Context.Service<Servers, ReadonlyArray<Endpoints.Endpoint>>()("test/Servers") {
  static readonly layer = Layer.effect(Servers)(Effect.all([
    Endpoints.stock(registrations, "McpServer.toolkit"),
    Endpoints.stock(registrations, "DurableMcp.toolkit"),
    Endpoints.ours(registrations, "McpServer.toolkit"),
    Endpoints.ours(registrations, "DurableMcp.toolkit")
  ]))
}

/** In a plain test: no server, no store, and time is the test's. */
const plain = Effect.fnUntraced(function*(city: string) {
  const trips = yield* Trips
  const running = yield* Effect.forkChild(Effect.exit(Stream.runCollect(Stream.unwrap(trips.handle("book", { city })))))
  yield* TestClock.adjust("1 milli")
  return Exit.map(yield* Fiber.join(running), ([last]) => last?.encodedResult)
}, Effect.provide(TripsLive))

layer(Servers.layer)("a handler that uses all of Durable", (it) => {
  const call = Effect.fnUntraced(function*(endpoint: Endpoints.Endpoint, version: Endpoints.Version, city: string) {
    const peer = yield* open(endpoint.fetch, Endpoints.url, { version })
    const lines = yield* converse(
      endpoint.fetch,
      peer,
      message(1, "tools/call", { name: "book", arguments: { city }, _meta: { progressToken: "token" } })
    )
    const last = lines.at(-1)
    assert(last !== undefined && "server" in last)
    return { heard: lines.slice(0, -1), answer: last.server }
  })

  describe.each(Endpoints.versions)("%s", (version) => {
    for (const city of ["Rome", "Atlantis", "Dis"]) {
      it.effect(`${city}: the same answer from all servers, and in a plain test`, () =>
        Effect.gen(function*() {
          const [stock, ...others] = yield* Servers
          const { answer, heard } = yield* call(stock!, version, city)
          assert.deepStrictEqual(heard, [], "a stock server has nobody to tell")
          for (const endpoint of others) {
            assert.deepStrictEqual((yield* call(endpoint, version, city)).answer, answer, endpoint.name)
          }
          const exit = yield* plain(city)
          const { content, isError } = answer.result
          assert.strictEqual(isError, Exit.isFailure(exit))
          if (Exit.isSuccess(exit)) {
            assert.deepStrictEqual(JSON.parse(content[0].text), exit.value)
          } else if (city === "Atlantis") {
            assert.deepStrictEqual(content, [{ type: "text", text: "No seats" }])
            assert.strictEqual(String(Cause.squash(exit.cause)), "NoSeats: No seats")
          } else {
            assert.notInclude(JSON.stringify(answer), "secret")
            assert.strictEqual(String(Cause.squash(exit.cause)), "Error: secret")
          }
        }))
    }
  })

  it.effect("does all that it is to do", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* plain("Rome"),
        Exit.succeed({
          flight: { seat: 4, at: "1970-01-01T00:00:00.000Z" },
          run: 1,
          steps: ["reserve", "out", "back", "a", "b", "mail"],
          wish: "No window",
          answers: {
            form: { _tag: "Unsupported" },
            page: { _tag: "Unsupported" },
            joke: "Unsupported",
            roots: "Unsupported"
          }
        })
      )
      for (const endpoint of (yield* Servers).slice(2)) {
        const { heard } = yield* call(endpoint, "2025-11-25", "Rome")
        assert.deepStrictEqual(
          heard.map((line) => "server" in line ? line.server.params : undefined),
          [{ progressToken: "token", progress: 1, total: 3 }, { level: "info", data: { at: "the end" } }],
          endpoint.name
        )
      }
    }))
})
