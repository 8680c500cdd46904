/**
 * One tool, straight-line code. Everything named here survives `kill -9`.
 */
import { Effect, Layer, Schedule, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import { Airline, Flight, NoSeats, NotPaid, Receipt } from "./Airline.ts"

const BookTrip = Tool.make("book_trip", {
  description: "Reserves a flight, asks whether to pay, pays, and mails the receipt",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Receipt,
  failure: Schema.Union([NoSeats, NotPaid])
})

const Consent = Schema.Struct({ ok: Schema.Boolean })

const Trips = Toolkit.make(BookTrip)

export const TripsLive = DurableMcp.toolkit(Trips).pipe(Layer.provide(Trips.toLayer(Effect.gen(function*() {
  const airline = yield* Airline
  return Trips.of({
    book_trip: Effect.fn("book_trip")(function*({ city }) {
      const flight = yield* Durable.step("flight", ({ key }) => airline.reserve(city, key), {
        success: Flight,
        error: NoSeats,
        retry: Schedule.exponential("1 second"),
        compensate: (flight) => airline.release(flight)
      })
      yield* Durable.progress({ progress: 1, total: 3, message: "flight held" })

      const answer = yield* Durable.elicit("pay", {
        message: `Pay ${flight.price} for the flight to ${city}?`,
        schema: Consent,
        timeout: "10 minutes"
      })
      if (answer._tag !== "Accepted" || !answer.content.ok) {
        return yield* new NotPaid({ why: answer._tag })
      }

      const receipt = yield* Durable.step("charge", ({ key }) => airline.charge(flight, key), { error: NotPaid })
      yield* Durable.progress({ progress: 2, total: 3, message: "paid" })

      // better no mail than two
      yield* Durable.step("mail", () => airline.mail(receipt), { atMostOnce: true }).pipe(
        Effect.catchTag("StepInterrupted", () => Effect.void)
      )
      yield* Durable.progress({ progress: 3, total: 3, message: "done" })
      return receipt
    })
  })
}))))
