/**
 * The outside world as the handler sees it. What moves money or seats takes an
 * idempotency key, as such services do; mail does not.
 */
import { Config, Context, Effect, flow, Layer, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

export class Flight extends Schema.Class<Flight>("Flight")({
  id: Schema.String,
  city: Schema.String,
  price: Schema.Number
}) {}

export const Receipt = Schema.Struct({ id: Schema.String, city: Schema.String })

export class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", {}) {}

export class NotPaid extends Schema.TaggedError<NotPaid>("NotPaid")("NotPaid", { why: Schema.String }) {}

export class Airline extends Context.Service<Airline, {
  readonly reserve: (city: string, key: string) => Effect.Effect<Flight, NoSeats>
  readonly release: (flight: Flight) => Effect.Effect<void>
  readonly charge: (flight: Flight, key: string) => Effect.Effect<typeof Receipt.Type, NotPaid>
  readonly mail: (receipt: typeof Receipt.Type) => Effect.Effect<void>
}>()("book-trip/Airline") {
  /** The world behind `WORLD_URL`. */
  static readonly layer = Layer.effect(
    Airline,
    Effect.gen(function*() {
      const url = yield* Config.String("WORLD_URL")
      const client = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequest(flow(HttpClientRequest.prependUrl(url), HttpClientRequest.acceptJson))
      )
      const post = (path: string, body: unknown, key = "") =>
        HttpClientRequest.post(path).pipe(
          HttpClientRequest.setHeader("idempotency-key", key),
          HttpClientRequest.bodyJsonUnsafe(body),
          client.execute
        )

      return Airline.of({
        reserve: Effect.fn("Airline.reserve")(function*(city, key) {
          const response = yield* Effect.orDie(post("/reserve", { city }, key))
          if (response.status === 409) {
            return yield* new NoSeats()
          }
          return yield* Effect.orDie(HttpClientResponse.schemaBodyJson(Flight)(response))
        }),
        release: Effect.fn("Airline.release")(function*(flight) {
          yield* Effect.orDie(post("/release", { city: flight.city }))
        }),
        charge: Effect.fn("Airline.charge")(function*(flight, key) {
          const response = yield* Effect.orDie(post("/charge", { city: flight.city }, key))
          if (response.status === 402) {
            return yield* new NotPaid({ why: "Refused" })
          }
          return yield* Effect.orDie(HttpClientResponse.schemaBodyJson(Receipt)(response))
        }),
        mail: Effect.fn("Airline.mail")(function*(receipt) {
          yield* Effect.orDie(post("/mail", { city: receipt.city }))
        })
      })
    })
  ).pipe(Layer.provide(FetchHttpClient.layer))
}
