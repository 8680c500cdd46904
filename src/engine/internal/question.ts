/**
 * Questions to the client, as facts of the execution.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Facts from "../../session/Facts.ts"
import type { Append, ArmTimer } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type * as Questions from "../Questions.ts"
import type { Question } from "../Wire.ts"
import {
  type Answered,
  answerSignal,
  type Asked,
  completionSignal,
  encodeAnswered,
  kind,
  parseAsked,
  wireIdOf
} from "./asked.ts"
import type { Frame } from "./Frame.ts"
import type { Peer, Run } from "./Run.ts"

const unsupported: Questions.Outcome = { _tag: "Unsupported" }
const timedOut: Questions.Outcome = { _tag: "TimedOut" }
const completed: Questions.Outcome = { _tag: "Result", result: { action: "accept" } }

/** @internal */
export interface Options extends Questions.AskOptions {
  /** Of a URL elicitation: consent is not the end, it waits for `Completed`. */
  readonly untilCompleted?: boolean | undefined
}

/** The question is given its own wire id. @internal */
export const ask = (
  frame: Frame,
  fiber: Fiber.Fiber<unknown, unknown>,
  name: string,
  question: (wireId: string) => Question,
  options?: Options
): Effect.Effect<Questions.Outcome> => {
  const { peer } = frame.run
  const numbered = frame.number(name)
  if (peer === undefined || peer.request.canAsk === false) {
    return Effect.succeed(unsupported)
  }
  const { run } = frame
  const path = frame.path + numbered
  const root = run.isRoot(fiber)
  const key = run.env.ids.derive("step", run.id, path)
  const wireId = wireIdOf(run.id, key)
  const posed: Pose = { run, peer, path, key, wireId, root }
  const lifetime = Math.min(
    options?.timeout === undefined ? Infinity : Duration.toMillis(options.timeout),
    run.env.questionLifetime
  )
  return run.enter({ path, attempt: path, kind, root, inside: !frame.isBody }).pipe(
    Effect.flatMap((record) =>
      run.unlessAbandoned(
        frame.attempt + numbered,
        Effect.flatMap(
          record === undefined
            ? pose(posed, question(wireId), run.now + lifetime)
            : repose(run, parseAsked(record.exit), path),
          (asked) =>
            asked.text === undefined
              ? Effect.succeed(asked.tooLate === true ? timedOut : unsupported)
              : hear(posed, asked, options?.untilCompleted === true)
        )
      )
    )
  )
}

interface Pose {
  readonly run: Run
  readonly peer: Peer
  readonly path: string
  readonly key: string
  readonly wireId: string
  readonly root: boolean
}

/** Asks for the first time. */
const pose = (
  { key, path, peer, root, run, wireId }: Pose,
  question: Question,
  deadline: number
): Effect.Effect<Asked> =>
  Effect.flatMap(peer.wire.question(peer.request, wireId, question), (text) => {
    // What an answer is checked against comes before what the client can see.
    const record = (asked: Asked) =>
      run.journal.record({ path, kind, key, root, exit: JSON.stringify(asked) }, announce(run, path, asked)).pipe(
        Effect.tapError(() => Effect.sync(() => run.openQuestions.delete(path))),
        Effect.orDie,
        Effect.map(parseAsked)
      )
    return text === undefined ? record({ question, deadline }) : Effect.flatMap(
      initialized(run, peer, deadline),
      (isInitialized) => {
        if (!isInitialized) {
          return record({ question, deadline, tooLate: true })
        }
        // From here on the client may see it, also where nobody waits for it any more.
        run.openQuestions.set(path, wireId)
        return record({ question, text, deadline })
      }
    )
  })

/**
 * Asked by an earlier run. What came after the record is sent again, since that
 * commit may have been torn.
 */
const repose = (run: Run, asked: Asked, path: string): Effect.Effect<Asked> => {
  const writes = run.isDecided || run.waits.get(answerSignal(path)) !== undefined ? [] : announce(run, path, asked)
  return Effect.as(Effect.orDie(run.journal.commit(writes)), asked)
}

const announce = (run: Run, path: string, asked: Asked): ReadonlyArray<ArmTimer | Append> => {
  if (asked.text === undefined) {
    return []
  }
  const exit = encodeAnswered({ _tag: "TimedOut" })
  const arm = (name: string): ArmTimer => ({ _tag: "ArmTimer", id: run.id, name, at: asked.deadline, exit })
  return [
    arm(answerSignal(path)),
    ...(asked.question._tag === "ElicitUrl" ? [arm(completionSignal(path))] : []),
    { _tag: "Append", stream: run.id, key: `question/${path}`, data: asked.text }
  ]
}

/** A client that has not said `initialized` is asked nothing (S-L5). False where it did not until the deadline. */
const initialized = (run: Run, peer: Peer, deadline: number): Effect.Effect<boolean> => {
  const { session } = peer.request.profile
  return session === undefined || run.sessionInitialized ? Effect.succeed(true) : Effect.suspend(() => {
    const { store } = run.env
    const watch = store.watch({ _tag: "Session", id: session })
    const check: Effect.Effect<void, StoreError> = Effect.flatMap(
      store.session(session),
      (found) =>
        Option.isNone(found) || found.value.ended || found.value.facts.has(Facts.initialized)
          ? Effect.void
          : Effect.flatMap(watch.next, () => check)
    )
    return run.reading(Effect.timeoutOption(check, Math.max(0, deadline - run.now))).pipe(
      Effect.map((heard) => run.sessionInitialized = Option.isSome(heard)),
      Effect.ensuring(Effect.sync(watch.close)),
      // Memory alone knows of this wait, so it is not parked.
      (effect) => run.waits.hold(effect)
    )
  })
}

/** Waits for what becomes of the question. */
const hear = (
  { path, peer, run, wireId }: Pose,
  asked: Asked,
  untilCompleted: boolean
): Effect.Effect<Questions.Outcome> =>
  Effect.flatMap(run.await(answerSignal(path)), (exit): Effect.Effect<Questions.Outcome> => {
    run.openQuestions.delete(path)
    const answered = JSON.parse(exit) as Answered
    switch (answered._tag) {
      case "TimedOut":
        return Effect.as(withdraw(run, path, wireId), timedOut)
      case "Completed":
        return Effect.as(withdraw(run, path, wireId), completed)
      case "Answer":
        return Effect.flatMap(
          peer.wire.reply(peer.request, asked.question, answered.answer),
          (reply) => untilCompleted && isConsent(reply) ? hearCompletion(run, path) : Effect.succeed(reply)
        )
    }
  })

const hearCompletion = (run: Run, path: string): Effect.Effect<Questions.Outcome> =>
  Effect.map(
    run.await(completionSignal(path)),
    (exit) => (JSON.parse(exit) as Answered)._tag === "TimedOut" ? timedOut : completed
  )

const isConsent = (reply: Questions.Outcome): boolean =>
  reply._tag === "Result" && (reply.result as { readonly action?: unknown } | null)?.action === "accept"

/** Tells the client that nobody waits for its answer any more. */
const withdraw = (run: Run, path: string, wireId: string): Effect.Effect<void> =>
  Effect.flatMap(
    run.withdraw(path, wireId),
    (appends) => Effect.orDie(Effect.forEach(appends, (append) => run.journal.submit(append), { discard: true }))
  )
