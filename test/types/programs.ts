/**
 * Users' programs against the public surface, and what the compiler must
 * refuse. Type-checked, not run.
 */
import { Context, Effect, Layer, Schedule, Schema, Scope } from "effect"
import { LanguageModel, McpSchema, McpServer, Tool, Toolkit } from "effect/ai"
import type { HttpRouter } from "effect/http"
import { Activity, Workflow, WorkflowEngine } from "effect/workflow"
import { Durable, DurableMcp, Executions, type Store } from "../../src/index.ts"

declare const store: Layer.Layer<Store.Store>

// -----------------------------------------------------------------------------
// Booking
// -----------------------------------------------------------------------------

class Flight extends Schema.Class<Flight>("Flight")({
  id: Schema.String,
  price: Schema.Number,
  departs: Schema.Date
}) {}
const Receipt = Schema.Struct({ id: Schema.String })
class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", {}) {}
class NotPaid extends Schema.TaggedError<NotPaid>("NotPaid")("NotPaid", { why: Schema.String }) {}
class Airline extends Context.Service<Airline, {
  reserve: (city: string, key: string) => Effect.Effect<Flight, NoSeats>
  release: (flight: Flight) => Effect.Effect<void>
  charge: (flight: Flight, key: string) => Effect.Effect<typeof Receipt.Type, NotPaid>
  mail: (receipt: typeof Receipt.Type) => Effect.Effect<void>
}>()("Airline") {}

const BookTrip = Tool.make("book_trip", {
  parameters: Schema.Struct({ orderId: Schema.String, city: Schema.String }),
  success: Receipt,
  failure: Schema.Union([NoSeats, NotPaid])
})
const Trips = Toolkit.make(BookTrip)
const TripsLive = DurableMcp.toolkit(Trips).pipe(Layer.provide(Trips.toLayer(Effect.gen(function*() {
  const airline = yield* Airline
  return Trips.of({
    book_trip: Effect.fn("book_trip")(function*({ city }) {
      const flight = yield* Durable.step("flight", ({ key }) => airline.reserve(city, key), {
        success: Flight,
        error: NoSeats,
        retry: Schedule.exponential("1 second"),
        compensate: (flight) => airline.release(flight)
      })
      const answer = yield* Durable.elicit("pay", {
        message: `Pay ${flight.price}?`,
        schema: Schema.Struct({ ok: Schema.Boolean }),
        timeout: "10 minutes"
      })
      if (answer._tag !== "Accepted" || !answer.content.ok) {
        return yield* new NotPaid({ why: answer._tag })
      }
      const receipt = yield* Durable.step("charge", ({ key }) => airline.charge(flight, key), { error: NotPaid })
      yield* Durable.step("mail", () => airline.mail(receipt), { atMostOnce: true }).pipe(
        Effect.catchTag("StepInterrupted", () => Effect.void)
      )
      return receipt
    })
  })
}))))
const Server = DurableMcp.layerHttp({ name: "trips", version: "1", path: "/mcp", registrations: TripsLive }).pipe(
  Layer.provide(store)
)
export const booking: Layer.Layer<McpServer.McpServer, never, HttpRouter.HttpRouter | Airline> = Server

// -----------------------------------------------------------------------------
// What a step needs
// -----------------------------------------------------------------------------

export const plain = Durable.step("a", Effect.succeed({ n: 1 }))
// @ts-expect-error a Date needs `success`
export const date = Durable.step("a", Effect.succeed(new Date()))
// @ts-expect-error the wrong schema
export const wrong = Durable.step("a", Effect.succeed(new Date()), { success: Schema.Number })
// @ts-expect-error an instance of a class with a Date needs `success`
export const instance = Durable.step("a", Effect.succeed(new Flight({ id: "", price: 1, departs: new Date() })))
// @ts-expect-error a typed error needs `error`
export const failing = Durable.step("a", Effect.fail(new NoSeats()))
// @ts-expect-error also with other options
export const noSuccess = Durable.step("a", ({ key }) => Effect.succeed(new Date(key)), { timeout: "1 second" })
// @ts-expect-error also with other options
export const noError = Durable.step("a", ({ key }) => Effect.fail(new NotPaid({ why: key })), { timeout: "1 second" })
// @ts-expect-error also with a function
export const noErrorEither = Durable.step("a", ({ key }) => Effect.fail(new NotPaid({ why: key })))

const timed = Durable.step("a", ({ attempt }) => Effect.succeed(attempt), { timeout: "5 seconds" })
export const mayTimeOut: Effect.Effect<number, Durable.StepTimedOut> = timed
export const nothing: Effect.Effect<void> = Durable.step("a", Effect.void)
export const key: Effect.Effect<string> = Durable.step("a", ({ key }) => Effect.succeed(key))
interface Row {
  readonly a: string
  readonly b?: number | undefined
}
export const rows: Effect.Effect<ReadonlyArray<Row>> = Durable.step("a", Effect.succeed<ReadonlyArray<Row>>([]))
export const retried: Effect.Effect<never, NoSeats> = Durable.step("a", Effect.fail(new NoSeats()), {
  error: NoSeats,
  retry: { times: 3, while: (error) => error._tag === "NoSeats" }
})
export const dated: Effect.Effect<Date> = Durable.step("a", Effect.succeed(new Date()), { success: Schema.Date })
export const untyped: Effect.Effect<any> = Durable.step("a", Effect.succeed(JSON.parse("1")))
export const unknown: Effect.Effect<unknown> = Durable.step("a", Effect.succeed<unknown>(1))
export const all: Effect.Effect<Array<number>> = Effect.forEach(
  [1, 2, 3],
  (i) => Durable.step(`row-${i}`, Effect.succeed(i)),
  { concurrency: 2 }
)
const once = Durable.step(
  "a",
  Effect.fn(function*({ key }) {
    yield* Airline
    return key
  }),
  { atMostOnce: true }
)
export const mayBeInterrupted: Effect.Effect<string, Durable.StepInterrupted, Airline> = once

// -----------------------------------------------------------------------------
// Effect's own words in a handler
// -----------------------------------------------------------------------------

const One = Toolkit.make(Tool.make("one", { success: Schema.Number }))
const body = Effect.succeed(1)
// @ts-expect-error withCompensation demands WorkflowInstance and Scope
export const compensated = One.toLayer({ one: () => body.pipe(Workflow.withCompensation(() => Effect.void)) })
// @ts-expect-error Activity demands WorkflowEngine and WorkflowInstance
export const activity = One.toLayer({ one: () => Activity.make({ name: "x", success: Schema.Number, execute: body }) })
const elicit = McpServer.elicit({ message: "x", schema: Schema.Struct({ n: Schema.Number }) })
// @ts-expect-error stock elicit demands McpServerClient
export const elicited = One.toLayer({ one: () => elicit.pipe(Effect.as(1), Effect.orDie) })
// @ts-expect-error a service of a handler is captured at build, or declared in `dependencies`
export const undeclared = One.toLayer({ one: () => Effect.as(Airline, 1) })

const Declared = Toolkit.make(Tool.make("one", {
  success: Schema.Number,
  failure: McpSchema.ElicitationDeclined,
  dependencies: [
    WorkflowEngine.WorkflowEngine,
    WorkflowEngine.WorkflowInstance,
    McpSchema.McpServerClient,
    Scope.Scope
  ]
}))
const DeclaredLive = DurableMcp.toolkit(Declared).pipe(Layer.provide(Declared.toLayer({
  one: () =>
    Effect.gen(function*() {
      yield* McpServer.elicit({ message: "x", schema: Schema.Struct({ n: Schema.Number }) })
      const n = yield* Activity.make({ name: "x", success: Schema.Number, execute: body })
      yield* Effect.void.pipe(Workflow.withCompensation(() => Effect.void))
      return n
    })
})))
export const declared: Layer.Layer<McpServer.McpServer, never, HttpRouter.HttpRouter> = DurableMcp.layerHttp({
  name: "b",
  version: "1",
  path: "/mcp",
  registrations: DeclaredLive
}).pipe(Layer.provide(store))

// -----------------------------------------------------------------------------
// A research agent
// -----------------------------------------------------------------------------

const Research = Toolkit.make(Tool.make("research", {
  parameters: Schema.Struct({ q: Schema.String }),
  success: Schema.String,
  failure: Schema.String,
  dependencies: [LanguageModel.LanguageModel]
}))
const ResearchLive = DurableMcp.toolkit(Research).pipe(Layer.provide(Research.toLayer({
  research: Effect.fn("research")(
    function*({ q }) {
      const ask = (name: string, text: string, maxTokens: number) =>
        Durable.sample(name, { messages: [{ role: "user", content: { type: "text", text } }], maxTokens })
      const plan = yield* ask("plan", q, 500)
      const notes = yield* Effect.forEach(
        JSON.stringify(plan.content).split("\n"),
        (line, i) => ask(`note-${i}`, line, 800),
        { concurrency: 4 }
      )
      return notes.map((note) => JSON.stringify(note.content)).join("\n")
    },
    Effect.mapError((error) => error.reason)
  )
})))
export const research: Layer.Layer<
  McpServer.McpServer,
  never,
  HttpRouter.HttpRouter | HttpRouter.Request<"Requires", LanguageModel.LanguageModel>
> = DurableMcp.layerHttp({ name: "r", version: "1", path: "/mcp", registrations: ResearchLive }).pipe(
  Layer.provide(store)
)

// -----------------------------------------------------------------------------
// A deployment
// -----------------------------------------------------------------------------

class CI extends Context.Service<CI, {
  start: (ref: string, key: string) => Effect.Effect<string>
  stop: (id: string) => Effect.Effect<void>
  poll: (id: string) => Effect.Effect<{ pct: number; done: boolean }>
}>()("CI") {}
const Ops = Toolkit.make(
  Tool.make("deploy", {
    parameters: Schema.Struct({ ref: Schema.String }),
    success: Schema.String,
    failure: Schema.String
  })
)
export const OpsLive = DurableMcp.toolkit(Ops).pipe(Layer.provide(Ops.toLayer(Effect.map(CI, (ci) =>
  Ops.of({
    deploy: Effect.fn("deploy")(function*({ ref }) {
      const id = yield* Durable.step("start", ({ key }) => ci.start(ref, key), { compensate: (id) => ci.stop(id) })
      for (let n = 0; n < 480; n++) {
        const { done, pct } = yield* Durable.step("poll", ci.poll(id))
        yield* Durable.progress({ progress: pct, total: 100, message: `deploy ${ref}` })
        if (done) {
          return id
        }
        yield* Durable.sleep("tick", "5 seconds")
      }
      return yield* Effect.fail("too slow")
    })
  })))))

// -----------------------------------------------------------------------------
// Operators
// -----------------------------------------------------------------------------

export const operated = Effect.gen(function*() {
  const executions = yield* Executions.Executions
  return yield* executions.retry("id")
}).pipe(Effect.provide(Executions.layer.pipe(Layer.provide(store))))
