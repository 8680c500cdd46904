/**
 * The programs under test of the mutants: between them they use everything that
 * a mutant can break. They say what is right, and know of no mutant.
 */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Durable, DurableMcp, Ids, Store } from "effect-durable-mcp"
import { type Client, type CrashTest, Schedule, World } from "effect-durable-mcp/testing"
import { McpServer, Tool, Toolkit } from "effect/ai"
import type { HttpRouter } from "effect/http"

/** Services of the framework as a mutant makes them. Default: as they are. */
export interface Planted {
  readonly store?: ((store: Store.Store["Service"]) => Partial<Store.Store["Service"]>) | undefined
  readonly ids?: ((ids: Ids.Ids["Service"]) => Partial<Ids.Ids["Service"]>) | undefined
}

/** A server and its client, of which the kit makes a test. */
export type Program =
  & CrashTest.Server<never, never, World.World | Store.Store | HttpRouter.HttpRouter>
  & CrashTest.Options<unknown>
  & {
    readonly kinds?: ReadonlyArray<Schedule.Kind> | undefined
  }

const layerPlanted = (planted: (() => Planted) | undefined): Layer.Layer<Store.Store | Ids.Ids, never, Store.Store> =>
  Layer.effectContext(Effect.gen(function*() {
    const { ids, store } = planted?.() ?? {}
    const honest = yield* Store.Store
    const seeded = Option.getOrThrow(yield* Effect.serviceOption(Ids.Ids))
    return Context.make(Store.Store, { ...honest, ...store?.(honest) }).pipe(
      Context.add(Ids.Ids, { ...seeded, ...ids?.(seeded) })
    )
  }))

// -----------------------------------------------------------------------------
// trip
// -----------------------------------------------------------------------------

class Busy extends Schema.TaggedError<Busy>("Busy")("Busy", { attempt: Schema.Int }) {}
class NotPaid extends Schema.TaggedError<NotPaid>("NotPaid")("NotPaid", { seats: Schema.Int }) {}

const Trip = Tool.make("trip", {
  parameters: Schema.Struct({ who: Schema.String, pays: Schema.Boolean }),
  success: Schema.Struct({
    seats: Schema.Array(Schema.String),
    quotes: Schema.Array(Schema.Int),
    mail: Schema.Literals(["sent", "unknown"])
  }),
  failure: NotPaid
})

const Trips = Toolkit.make(Trip)

/** Loops, concurrent steps, retries, a question asked with something held, a sleep, at most once, compensations. */
const TripsLive = DurableMcp.toolkit(Trips).pipe(Layer.provide(Trips.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  return Trips.of({
    trip: Effect.fnUntraced(function*({ pays, who }) {
      // After a crash the client is back before this.
      yield* Effect.sleep("200 millis")
      const seats: Array<string> = []
      for (const seat of ["A", "B"]) {
        seats.push(
          yield* Durable.step("seat", ({ key }) => Effect.as(effect(`${who}: seat ${seat}`, { key }), seat), {
            compensate: (seat, _cause, { key }) => Effect.asVoid(effect(`${who}: free seat ${seat}`, { key }))
          })
        )
        yield* Durable.progress({ progress: seats.length, total: 4 })
      }
      yield* Durable.log({ seats }, { level: "warning" })

      const quotes = yield* Effect.forEach(
        [1, 2],
        (n) =>
          Durable.step(`quote ${n}`, ({ attempt, key }) =>
            Effect.flatMap(
              effect(`${who}: quote ${n}`, { key }),
              () => attempt <= n ? Effect.fail(new Busy({ attempt })) : Effect.succeed(attempt)
            ), { error: Busy, retry: { times: 3 } }),
        { concurrency: "unbounded" }
      ).pipe(Effect.orDie)
      yield* Durable.progress({ progress: 3, total: 4 })

      // What is held takes a moment to let go, also when the call is parked.
      const paid = yield* Effect.acquireUseRelease(
        Effect.void,
        () => Durable.elicit("pay", { message: `${who} pays?`, schema: Schema.Struct({ ok: Schema.Boolean }) }),
        () => Effect.sleep("1 second")
      )
      if (paid._tag !== "Accepted" || paid.content.ok !== pays) {
        return yield* Effect.die(new Error(`the answer was ${JSON.stringify(paid)}`))
      }
      if (!pays) {
        return yield* new NotPaid({ seats: seats.length })
      }
      yield* Durable.sleep("settlement", "100 seconds")
      const mail = yield* Durable.step("mail", () => Effect.as(effect(`${who}: mail`), "sent" as const), {
        atMostOnce: true
      }).pipe(Effect.catchTag("StepInterrupted", () => Effect.succeed("unknown" as const)))
      yield* Durable.progress({ progress: 4, total: 4 })
      return { seats, quotes, mail }
    })
  })
}))))

const travellers = [{ who: "ann", pays: true }, { who: "bob", pays: false }]

const isCrash = ({ _tag }: Schedule.Fault) => _tag.startsWith("Crash")

/** One trip that is paid, by an answer that comes when the call is about to be parked, and one that is not; both think again. */
const trip = (planted?: () => Planted): Program => ({
  app: DurableMcp.layerHttp({ name: "trips", version: "1.0.0", path: "/mcp", registrations: TripsLive }).pipe(
    Layer.provide(layerPlanted(planted))
  ),
  answer: Effect.fnUntraced(function*({ params, reply }: Client.Question) {
    const ok = params.message === "ann pays?"
    yield* Effect.sleep(ok ? "5500 millis" : 0)
    yield* reply({ action: "accept", content: { ok } })
    yield* Effect.sleep("1 second")
    yield* reply({ action: "accept", content: { ok: !ok } })
  }),
  script: (client) => Effect.forEach(travellers, (arguments_) => client.callTool("trip", arguments_)),
  expect: {
    exactlyOnce: [
      ...travellers.flatMap(({ who }) => ["seat A", "seat B", "quote 1", "quote 2"].map((what) => `${who}: ${what}`)),
      "bob: free seat A",
      "bob: free seat B"
    ],
    atMostOnce: ["ann: mail"],
    satisfies: ({ duration, schedule, value, world: { effects } }) => {
      const order = Array.from(effects.keys())
      const answers = `${JSON.stringify(value)}`
      return [
        ...order.indexOf("bob: free seat B") < order.indexOf("bob: free seat A") ? [] : ["seat A was freed first"],
        ...answers.includes(`"quotes":[2,3]`) ? [] : [`other attempts got through: ${answers}`],
        ...effects.has("ann: free seat A") ? ["a seat was freed that had been paid for"] : [],
        ...duration < 150_000 || !schedule.every(isCrash)
          ? []
          : [`it took ${duration} ms`]
      ]
    }
  }
})

// -----------------------------------------------------------------------------
// memos
// -----------------------------------------------------------------------------

const Memos = Toolkit.make(
  Tool.make("write", { parameters: Schema.Struct({ memo: Schema.String }), success: Schema.String }),
  Tool.make("wait", { parameters: Schema.Struct({ who: Schema.String }), success: Schema.String })
)

const Memo = McpServer.resource({ uri: "memo:a", name: "A memo", content: Effect.succeed("a") })

/** Logs, announcements that belong to no call, and a call that is not to come to its end. */
const MemosLive = DurableMcp.toolkit(Memos).pipe(Layer.provide(Memos.toLayer(Effect.gen(function*() {
  const { effect } = yield* World.World
  const server = yield* McpServer.McpServer
  return Memos.of({
    write: Effect.fnUntraced(function*({ memo }) {
      yield* Durable.log({ memo }, { level: "debug" })
      yield* Durable.step("write", ({ key }) => Effect.as(effect(`write ${memo}`, { key }), memo))
      yield* Durable.step(
        "announce",
        Effect.asVoid(server.notifications["notifications/resources/updated"]({ uri: `memo:${memo}` }))
      )
      return memo
    }),
    wait: Effect.fnUntraced(function*({ who }) {
      yield* Durable.progress({ progress: 1 })
      yield* Durable.sleep("a while", "10 seconds")
      return yield* Durable.step("waited", ({ key }) => Effect.as(effect(`waited: ${who}`, { key }), who))
    })
  })
}))))

/** The resources that were heard of so far. */
const updated = (client: Client.Client) =>
  Effect.map(client.heard, (messages) => new Set(messages.map(({ params }) => params?.uri)))

/** A session that listens and cancels, and one that ends with a call under way. */
const memos = (planted?: () => Planted): Program => ({
  app: DurableMcp.layerHttp({
    name: "memos",
    version: "1.0.0",
    path: "/mcp",
    registrations: Layer.merge(MemosLive, Memo)
  }).pipe(
    Layer.provide(layerPlanted(planted))
  ),
  // An announcement that cannot be stored is not made: the registry's notifications cannot fail.
  kinds: Schedule.kinds.filter((kind) => kind !== "FailedOperation"),
  script: Effect.fnUntraced(function*(client) {
    yield* client.request("logging/setLevel", { level: "debug" })
    yield* Effect.forEach(["a", "b", "c"], (memo) => client.request("resources/subscribe", { uri: `memo:${memo}` }))

    yield* client.listen
    // What comes before the client knows the id of its stream it may never hear of: it could not come back for it.
    yield* Effect.sleep("30 seconds")
    const written = yield* Effect.forEach(["a", "b", "c"], (memo) => client.callTool("write", { memo }))
    let heard = yield* updated(client)
    for (let seconds = 0; seconds < 60 && heard.size < 3; seconds++) {
      yield* Effect.sleep("1 second")
      heard = yield* updated(client)
    }

    const cancelled = yield* client.start("wait", { who: "cancelled" })
    yield* cancelled.received(1)
    yield* cancelled.cancel("no longer wanted")
    const other = yield* client.another()
    const left = yield* other.start("wait", { who: "left" })
    yield* left.received(1)
    yield* other.end
    const late = yield* other.request("tools/list")
    yield* Effect.sleep("20 seconds")
    return { written, heard: Array.from(heard), late, cancelled: yield* cancelled.answer, left: yield* left.answer }
  }),
  expect: {
    exactlyOnce: ["write a", "write b", "write c"],
    satisfies: ({ value, world: { effects } }) => [
      ...["cancelled", "left"].flatMap((who) => effects.has(`waited: ${who}`) ? [`the ${who} call went on`] : []),
      ...`${JSON.stringify(value)}`.includes(`"heard":["memo:a","memo:b","memo:c"]`)
        ? []
        : [`heard: ${JSON.stringify(value)}`]
    ]
  }
})

export type ProgramName = "trip" | "memos"

export const programs: Readonly<Record<ProgramName, (planted?: () => Planted) => Program>> = { trip, memos }
