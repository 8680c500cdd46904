/**
 * A request of a client, from its first POST to its answer.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Answer, Id, Params } from "../../session/JsonRpc.ts"
import type { Call, Message, Question as Asked, Source } from "../Client.ts"
import type { Event } from "./events.ts"
import * as Question from "./question.ts"
import { answerOf, type Session } from "./session.ts"
import * as Wire from "./wire.ts"

/** @internal */
export interface Begun extends Call {
  /** Cuts the connection and does not come back: there is nobody who wants the answer. */
  readonly abandon: Effect.Effect<void>
}

const gone: Answer = { error: { code: 499, message: "The client has gone" } }

/**
 * Begins a request: returns when it has been sent for the first time.
 *
 * @param leave Takes the questions that nobody answers by itself.
 *
 * @internal
 */
export const start = Effect.fnUntraced(function*(
  session: Session,
  request: { readonly id: Id; readonly method: string; readonly params: Params },
  leave: (question: Asked) => void
): Effect.fn.Return<Begun> {
  const { id } = request
  const { options } = session
  const message = { jsonrpc: "2.0", ...request }
  const name = `call ${JSON.stringify(id)}`
  const source: Source = { client: session.client, call: id }
  const messages: Array<Message> = []
  /** By event id, whatever connection it came on. */
  const texts = new Map<string, string>()
  const answer = Deferred.makeUnsafe<Answer>()
  const sent = Deferred.makeUnsafe<void>()
  const accepted = Deferred.makeUnsafe<void>()
  const abandoned = Deferred.makeUnsafe<void>()
  let news = Deferred.makeUnsafe<void>()
  let connection: Deferred.Deferred<Duration.Input | undefined> | undefined

  // Another request under the id of an earlier one is a mistake, or means to be one.
  const body = JSON.stringify(message)
  const isOther = (session.requests.get(id) ?? body) !== body
  session.requests.set(id, session.requests.get(id) ?? body)

  const tell = () => {
    Deferred.doneUnsafe(news, Effect.void)
    news = Deferred.makeUnsafe()
  }

  const answerWith = (value: Answer) => {
    Deferred.doneUnsafe(answer, Effect.succeed(value))
    tell()
  }

  const finish = (response: Message) => {
    if (response.id !== id) {
      session.violation(`${name}: the answer has the id ${JSON.stringify(response.id)}`)
    }
    answerWith(answerOf(response))
  }

  /** An event has one text, on each connection. */
  const compare = (event: Event) => {
    if (event.id === undefined || event.data === "") {
      return
    }
    const before = texts.get(event.id)
    texts.set(event.id, event.data)
    if (before !== undefined && before !== event.data) {
      session.violation(`${name}: event ${event.id} is ${event.data}, and was ${before}`)
    }
  }

  const receive = (event: Event) => {
    if (event.id !== undefined) {
      options.onEventId(source, event.id)
    }
    if (event.data === "") {
      return
    }
    compare(event)
    const received: Message = JSON.parse(event.data)
    options.onReceived({ ...source, eventId: event.id, message: received, text: event.data })
    if (received.method === undefined) {
      finish(received)
      return
    }
    // what has no id is the transport's own, and comes when it comes
    if (event.id !== undefined) {
      messages.push(received)
      tell()
    }
    if (received.id !== undefined) {
      session.fork.answer(
        Question.put(session, Question.make(session, id, received, () => !Deferred.isDoneUnsafe(answer)), leave)
      )
    }
  }

  /** What an answer that is no stream comes to. */
  const conclude = ({ isRepeat, resumedFrom, status, text }: Extract<Wire.Followed, { readonly _tag: "Plain" }>) => {
    if (status === 200) {
      finish(JSON.parse(text))
      return
    }
    if (status === 204 && resumedFrom !== undefined) {
      answerWith({ error: { code: 204, message: "The call ended without an answer" } })
      return
    }
    refused({ isRepeat, resumedFrom, status, text })
    answerWith({ error: { code: status, message: text } })
  }

  /** What has once been accepted must be accepted again; so must what leads to an open session. */
  const refused = (
    { isRepeat, resumedFrom, status, text }: Omit<
      Extract<Wire.Followed, { readonly _tag: "Plain" }>,
      "_tag" | "headers"
    >
  ) => {
    const isDue = resumedFrom !== undefined || (isRepeat && !isOther) || status === 404 || status >= 500
    if (isDue && !session.isOver(status)) {
      const what = resumedFrom === undefined ? request.method : `to resume ${name} from ${resumedFrom}`
      session.violation(`the server refused ${what}: ${status} ${text}`)
    }
  }

  const follow = (
    verb: string,
    following: Pick<Wire.Following, "onSend" | "onBegun" | "onEvent" | "isComplete" | "onConnection">
  ) =>
    Wire.follow({
      ...following,
      send: session.send,
      open: session.post(message),
      resume: (lastEventId) => session.get(lastEventId)(),
      onSend: (lastEventId, isRepeat) => {
        session.act(
          lastEventId === undefined
            ? `${isRepeat ? "repeats" : verb} ${name}, ${request.method}`
            : `resumes ${name} after event ${lastEventId}`
        )
        following.onSend?.(lastEventId, isRepeat)
      }
    })

  const main = follow("sends", {
    onSend: () => Deferred.doneUnsafe(sent, Effect.void),
    onBegun: () => Deferred.doneUnsafe(accepted, Effect.void),
    onEvent: receive,
    isComplete: () => Deferred.isDoneUnsafe(answer),
    onConnection: (cut) => {
      connection = cut
    }
  }).pipe(
    Effect.map((followed) => {
      if (followed._tag === "Plain") {
        conclude(followed)
      }
    }),
    Effect.raceFirst(Deferred.await(abandoned)),
    Effect.onExit((exit) =>
      Effect.sync(() => {
        Deferred.doneUnsafe(answer, isDefect(exit) ? exit : Effect.succeed(gone))
        Deferred.doneUnsafe(sent, Effect.void)
        Deferred.doneUnsafe(accepted, Effect.void)
        tell()
      })
    )
  )

  const repeat = Effect.gen(function*() {
    yield* Deferred.await(sent)
    let isComplete = false
    const followed = yield* follow("repeats", {
      onEvent: (event) => {
        compare(event)
        isComplete ||= event.data !== "" && (JSON.parse(event.data) as Message).method === undefined
      },
      isComplete: () => isComplete
    })
    if (followed._tag === "Plain" && followed.status !== 200 && followed.status !== 204) {
      refused({ ...followed, isRepeat: true })
    }
  })

  const abandon = Effect.sync(() => {
    if (!Deferred.isDoneUnsafe(answer)) {
      session.act(`gives up ${name}`)
      session.givesUp(`Abandoned ${JSON.stringify(id)}`, id)
    }
    Deferred.doneUnsafe(abandoned, Effect.void)
  })

  if (session.state() === "gone") {
    Deferred.doneUnsafe(answer, Effect.succeed(gone))
  } else {
    session.fork.call(main)
    yield* Effect.onInterrupt(Deferred.await(sent), () => abandon)
  }

  return {
    id,
    answer: Deferred.await(answer),
    messages: Effect.sync(() => messages.slice()),
    received: (count) =>
      Effect.whileLoop({
        while: () => messages.length < count && !Deferred.isDoneUnsafe(answer),
        body: () => Deferred.await(news),
        step: () => {}
      }),
    cancel: (reason) =>
      // one that overtakes the request means nothing to the server
      Effect.andThen(
        session.unlessGone(Deferred.await(accepted), undefined),
        Effect.suspend(() => {
          session.act(`cancels ${name}`)
          session.givesUp(`Cancelled ${JSON.stringify(id)}`, id)
          return session.deliver(
            {
              jsonrpc: "2.0",
              method: "notifications/cancelled",
              params: { requestId: id, ...reason === undefined ? {} : { reason } }
            },
            `to cancel ${name}`
          )
        })
      ),
    drop: (pause) =>
      Effect.suspend(() => {
        if (connection === undefined) {
          return Effect.void
        }
        session.act(`drops the connection of ${name}`)
        Deferred.doneUnsafe(connection, Effect.succeed(pause))
        return Effect.yieldNow
      }),
    repeat: session.unlessGone(repeat, undefined),
    abandon
  }
})

const isDefect = (exit: Exit.Exit<unknown>): exit is Exit.Failure<never, never> =>
  Exit.isFailure(exit) && Cause.hasDies(exit.cause)
