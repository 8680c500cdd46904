/**
 * The test to copy: the tool of `trips.ts`, as it is, killed wherever a process
 * can die. Only the airline is another one, over a world that counts.
 *
 * `CrashTest.run` compares each run with one without crashes: the same answer,
 * the same messages, each once; no finished step again. What it cannot know is
 * said here: which effects must be exactly one.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { type Client, CrashTest, Disk, World } from "effect-durable-mcp/testing"
import { Airline, Flight, NoSeats } from "./Airline.ts"
import { TripsLive } from "./trips.ts"

/** Seats and money go by key, as in the real world; mail does not. The first wish for a seat is always refused. */
const FakeAirline = Layer.effect(
  Airline,
  Effect.map(World.World, (world) =>
    Airline.of({
      reserve: Effect.fnUntraced(function*(city, key) {
        if ((yield* world.effect("wish", { key: `wish ${key}` })) === 1) {
          return yield* new NoSeats()
        }
        yield* world.effect("seat", { key })
        return new Flight({ id: `flight-${city}`, city, price: 240 })
      }),
      release: (flight) => Effect.asVoid(world.effect("release", { key: flight.id })),
      charge: (flight, key) =>
        Effect.as(world.effect("charge", { key }), { id: `receipt-${flight.city}`, city: flight.city }),
      mail: () => Effect.asVoid(world.effect("mail"))
    }))
)

const registrations = TripsLive.pipe(Layer.provide(FakeAirline))

/** Books a trip; to the question what it costs, the user says yes. */
const booking = {
  registrations,
  script: (client: Client.Client) => client.callTool("book_trip", { city: "Lisbon" }),
  answer: () => Effect.succeed({ action: "accept", content: { ok: true } })
}

/** Better no mail than two: it is an at-most-once step. */
const booked = { exactlyOnce: ["seat", "charge"], atMostOnce: ["mail"] }

describe("book_trip", () => {
  it.effect.prop(
    "survives any crash",
    { crashes: CrashTest.schedules({ max: 6 }) },
    ({ crashes }) => CrashTest.run({ ...booking, crashes }).pipe(Effect.flatMap((run) => run.assert(booked))),
    { timeout: 60_000 }
  )

  it.effect("survives a crash at every point", () =>
    Effect.gen(function*() {
      const report = yield* CrashTest.exhaustive({ ...booking, expect: booked })
      assert.isAbove(report.crashes, 50)
    }), 60_000)

  it.effect(
    "survives on a file",
    () => CrashTest.random({ ...booking, expect: booked, disk: Disk.sqlite(), runs: 20 }),
    60_000
  )

  it.effect("gives the seat back when the user says no", () =>
    CrashTest.exhaustive({
      ...booking,
      answer: () => Effect.succeed({ action: "decline" }),
      expect: { exactlyOnce: ["seat", "release"], satisfies: nothingPaid }
    }), 60_000)

  it.effect("gives the seat back when the call is cancelled", () =>
    CrashTest.exhaustive({
      registrations,
      script: Effect.fnUntraced(function*(client: Client.Client) {
        const call = yield* client.start("book_trip", { city: "Lisbon" })
        yield* client.question
        yield* call.cancel()
        return yield* call.answer
      }),
      answer: () => Effect.void,
      expect: { exactlyOnce: ["seat", "release"], satisfies: nothingPaid }
    }), 60_000)
})

const nothingPaid = ({ world }: Pick<CrashTest.Run<unknown>, "world">) =>
  world.effects.has("charge") ? ["a trip was paid for"] : []
