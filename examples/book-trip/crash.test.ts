/**
 * The test to copy: the tool of `trips.ts`, as it is, killed wherever a process
 * can die. Only the airline is another one, over a world that counts.
 *
 * `CrashTest` compares each run with one in which nothing goes wrong: the same
 * answer, the same messages, the same effects. Where that cannot be, since a
 * deadline passed or a mail was cut off, this test says what must hold even so.
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

type Seen = Pick<CrashTest.Run<unknown>, "world">

/** A clock that jumps can pass the ten minutes in which to answer, so not every trip is paid for. */
const booked = {
  exactlyOnce: ["seat"],
  atMostOnce: ["charge", "release", "mail"],
  satisfies: ({ world }: Seen) =>
    world.effects.has("charge") === world.effects.has("release")
      ? ["the seat was paid for and given back, or neither"]
      : []
}

const givenBack = {
  exactlyOnce: ["seat", "release"],
  satisfies: ({ world }: Seen) => world.effects.has("charge") ? ["a trip was paid for"] : []
}

/** Hundreds of runs, of 25 ms or so on an idle machine. */
const timeout = 180_000

describe("book_trip", () => {
  it.effect.prop(
    "survives any crash",
    { crashes: CrashTest.schedules({ max: 6 }) },
    ({ crashes }) => CrashTest.run({ ...booking, crashes }).pipe(Effect.flatMap((run) => run.assert(booked))),
    { timeout }
  )

  it.effect("survives whatever goes wrong, at every point", () =>
    Effect.gen(function*() {
      const report = yield* CrashTest.exhaustive({ ...booking, expect: booked })
      assert.isAbove(report.crashes, 100)
    }), timeout)

  it.effect(
    "survives on a file",
    () => CrashTest.random({ ...booking, expect: booked, disk: Disk.sqlite(), runs: 20 }),
    timeout
  )

  it.effect("gives the seat back when the user says no", () =>
    CrashTest.exhaustive({
      ...booking,
      answer: () => Effect.succeed({ action: "decline" }),
      kinds: ["Crash", "CrashInStep"],
      expect: givenBack
    }), timeout)

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
      kinds: ["Crash", "CrashInStep"],
      expect: givenBack
    }), timeout)
})
