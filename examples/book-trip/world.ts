/**
 * The outside world: an airline, a bank and a mail server in a process of their
 * own, slow enough to be killed in front of.
 *
 * Each request counts as an attempt. Reservations and charges are deduplicated
 * by idempotency key, as a payment provider does; mail is not. What happened
 * more than once for a trip is a duplicate, whatever the keys say. Prints a
 * line for each thing that happens; `GET /ledger` has the counts.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

export const Ledger = Schema.Struct({ attempts: Schema.Int, effects: Schema.Int, duplicates: Schema.Int })

const Body = Schema.Struct({ city: Schema.String })

const Routes = Layer.unwrap(Effect.gen(function*() {
  const latency = yield* Config.Int("WORLD_LATENCY_MS").pipe(Config.withDefault(1500))

  let attempts = 0
  const turnedAway = new Set<string>()
  const answers = new Map<string, object>()
  const effects = new Map<string, number>()

  /** What happens is done half-way, whether or not the caller still listens. */
  const service = (options: {
    readonly path: `/${string}`
    readonly who: string
    readonly wish: string
    readonly done: string
    /** Refuse the first attempt under a key with this status. */
    readonly refuseFirst?: number | undefined
    readonly answer: (city: string) => object
  }) =>
    HttpRouter.add(
      "POST",
      options.path,
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const { city } = yield* HttpServerRequest.schemaBodyJson(Body)
        const key = request.headers["idempotency-key"] || undefined
        const say = (what: string) => Console.log(`${options.who.padEnd(7)} ${what}`)
        attempts++
        yield* say(`asked to ${options.wish} (${city}${key === undefined ? "" : `, key ${key.slice(0, 6)}`})`)
        yield* Effect.sleep(latency / 2)
        const known = key === undefined ? undefined : answers.get(key)
        if (known !== undefined) {
          yield* say("the same key again: nothing new, same answer")
          return HttpServerResponse.jsonUnsafe(known)
        }
        if (options.refuseFirst !== undefined && key !== undefined && !turnedAway.has(key)) {
          turnedAway.add(key)
          yield* say("not now, try again")
          return HttpServerResponse.empty({ status: options.refuseFirst })
        }
        const answer = options.answer(city)
        const effect = `${options.path} ${city}`
        effects.set(effect, (effects.get(effect) ?? 0) + 1)
        if (key !== undefined) {
          answers.set(key, answer)
        }
        yield* say(options.done)
        yield* Effect.sleep(latency / 2)
        return HttpServerResponse.jsonUnsafe(answer)
      }).pipe(Effect.uninterruptible)
    )

  return Layer.mergeAll(
    service({
      path: "/reserve",
      who: "airline",
      wish: "reserve a seat",
      done: "seat held",
      refuseFirst: 409,
      answer: (city) => ({ id: `flight-${city}`, city, price: 240 })
    }),
    service({
      path: "/release",
      who: "airline",
      wish: "release the seat",
      done: "seat released",
      answer: () => ({})
    }),
    service({
      path: "/charge",
      who: "bank",
      wish: "charge the card",
      done: "card charged",
      answer: (city) => ({ id: `receipt-${city}`, city })
    }),
    service({ path: "/mail", who: "mail", wish: "send the receipt", done: "mail sent", answer: () => ({}) }),
    HttpRouter.add(
      "GET",
      "/ledger",
      Effect.sync(() => {
        const counts = Array.from(effects.values())
        const ledger: typeof Ledger.Type = {
          attempts,
          effects: counts.reduce((sum, n) => sum + n, 0),
          duplicates: counts.reduce((sum, n) => sum + n - 1, 0)
        }
        return HttpServerResponse.jsonUnsafe(ledger)
      })
    )
  )
}))

const Listening = Layer.effectDiscard(HttpServer.addressFormattedWith((url) => Console.log(`listening ${url}`)))

const Main = Layer.unwrap(Effect.gen(function*() {
  const port = yield* Config.Int("PORT").pipe(Config.withDefault(0))
  return Layer.merge(HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true }), Listening).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" }))
  )
}))

if (import.meta.main) {
  NodeRuntime.runMain(Layer.launch(Main))
}
