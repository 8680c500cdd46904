/**
 * The streams of a client that belong to none of its calls (GET).
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Message, Source } from "../Client.ts"
import type { Session } from "./session.ts"
import * as Wire from "./wire.ts"

/** @internal */
export interface OwnStreams {
  /** Returns when it is open for the first time. */
  readonly open: Effect.Effect<void>
  readonly heard: Effect.Effect<ReadonlyArray<Message>>
  readonly hears: (count: number) => Effect.Effect<void>
}

/** @internal */
export const make = (session: Session): OwnStreams => {
  const source: Source = { client: session.client, call: undefined }
  const heard: Array<Message> = []
  let news = Deferred.makeUnsafe<void>()

  /** One stream after the other: a new one where the server says that the last one has ended. */
  const keepOpen = Effect.fnUntraced(function*(begun: Deferred.Deferred<void>) {
    for (;;) {
      const followed = yield* Wire.follow({
        send: session.send,
        open: session.get(),
        resume: (lastEventId) => session.get(lastEventId)(),
        onSend: (lastEventId) =>
          session.act(lastEventId === undefined ? "listens" : `resumes its own stream after event ${lastEventId}`),
        onBegun: () => Deferred.doneUnsafe(begun, Effect.void),
        onEvent: (event) => {
          if (event.id !== undefined) {
            session.options.onEventId(source, event.id)
          }
          if (event.data !== "") {
            const message: Message = JSON.parse(event.data)
            session.options.onReceived({ ...source, eventId: event.id, message, text: event.data })
            heard.push(message)
            Deferred.doneUnsafe(news, Effect.void)
            news = Deferred.makeUnsafe()
          }
        },
        isComplete: () => false
      })
      if (followed._tag === "Complete" || session.isOver(followed.status)) {
        return
      }
      if (followed.status !== 204) {
        session.violation(`the server refused a stream of the client's own: ${followed.status} ${followed.text}`)
        return
      }
    }
  })

  return {
    open: session.unlessGone(
      Effect.suspend(() => {
        const begun = Deferred.makeUnsafe<void>()
        session.fork.stream(
          Effect.ensuring(keepOpen(begun), Effect.sync(() => Deferred.doneUnsafe(begun, Effect.void)))
        )
        return Deferred.await(begun)
      }),
      undefined
    ),
    heard: Effect.sync(() => heard.slice()),
    hears: (count) =>
      Effect.whileLoop({
        while: () => heard.length < count,
        body: () => Deferred.await(news),
        step: () => {}
      })
  }
}
