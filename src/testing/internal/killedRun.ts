/**
 * One run of a script against a real process that is killed meanwhile.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Client from "../Client.ts"
import type { Options } from "../KillProcess.ts"
import type { CrashAfter } from "../Schedule.ts"
import * as Schedule from "../Schedule.ts"
import type { Entry, Timeline } from "../Timeline.ts"
import * as AuditSqlite from "./auditSqlite.ts"
import * as ClientChecks from "./checksClient.ts"
import type { Outward } from "./checksResult.ts"
import type { ServerProcess } from "./serverProcess.ts"

/** @internal */
export interface Result<A, E> extends Outward {
  /** Undefined when the script did not end. */
  readonly exit: Exit.Exit<A, E> | undefined
  readonly kills: ReadonlyArray<CrashAfter>
  readonly calls: number
  readonly questions: number
  /** Milliseconds from when the server listened. */
  readonly duration: number
  /** The script gave answers up. */
  readonly givenUp: boolean
  readonly violations: ReadonlyArray<string>
  readonly timeline: Timeline
}

/** How long a user may think about an answer that no call needs any more. */
const thinkingTime = "1 second"

/** How long a process lives before it is killed, in milliseconds from when it is started or listens. @internal */
export interface Lifetime {
  readonly from: "start" | "listening"
  readonly ms: number
}

/**
 * @param lifetimes Of all processes but the last one, which lives on.
 *
 * @internal
 */
export const play = Effect.fnUntraced(function*<A, E, R>(
  server: ServerProcess,
  options: Options<A, E, R>,
  lifetimes: ReadonlyArray<Lifetime>
): Effect.fn.Return<Result<A, E>, never, R> {
  const clock = yield* Clock.Clock
  const began = clock.currentTimeMillisUnsafe()
  const timeline: Array<Entry> = []
  const violations: Array<string> = []
  const kills: Array<CrashAfter> = []
  let process = 1
  let calls = 0
  let questions = 0
  let givenUp = false
  let isStarting = false
  let duration = 0
  let movedAt = began

  const say = (lane: Entry["lane"], text: string) => {
    timeline.push({ at: clock.currentTimeMillisUnsafe() - began, process, lane, text })
  }
  const violation = (text: string) => {
    violations.push(text)
    say("violation", text)
  }
  const moved = () => {
    movedAt = clock.currentTimeMillisUnsafe()
  }
  const checks = ClientChecks.make({ say: (text) => say("client", text), isSetBack: () => false, violation })

  const start = Effect.gen(function*() {
    if (server.isListening()) {
      return
    }
    say("process", "starts")
    isStarting = true
    yield* server.start
    isStarting = false
    say("process", "listens")
  })

  const kill = Effect.fnUntraced(function*(ms: number) {
    const fault: CrashAfter = { _tag: "CrashAfter", ms }
    kills.push(fault)
    say("fault", Schedule.encode([fault]))
    yield* server.kill
    if (options.database !== undefined) {
      AuditSqlite.check(options.database).forEach(violation)
    }
    process++
  }, Effect.uninterruptible)

  const killing = Effect.gen(function*() {
    for (const { from, ms } of lifetimes) {
      yield* from === "listening"
        ? Effect.andThen(start, Effect.sleep(ms))
        : Effect.raceFirst(Effect.andThen(start, Effect.never), Effect.sleep(ms))
      yield* kill(ms)
    }
    yield* start
  })

  const conversation = Effect.gen(function*() {
    yield* start
    const listening = clock.currentTimeMillisUnsafe()
    const killer = yield* Effect.forkScoped(killing)
    const client = yield* Client.make({
      url: options.url,
      connect: server.connect,
      answer: options.answer,
      capabilities: options.capabilities ?? { elicitation: {}, sampling: {}, roots: {} },
      thinkingTime,
      onEventId: checks.eventId,
      onReceived: (received) => {
        const { eventId, message } = received
        // a heartbeat is no news
        if (eventId !== undefined) {
          moved()
        }
        calls += message.method === undefined ? 1 : 0
        questions += message.method !== undefined && message.id !== undefined ? 1 : 0
        checks.received(received)
      },
      onAnswered: ({ method }) => {
        moved()
        say("client", `the answer to ${method} was accepted`)
      },
      onAct: (text) => say("client", text),
      onGivenUp: () => {
        givenUp = true
      },
      onViolation: violation
    })
    const exit = yield* Effect.exit(options.script(client))
    yield* client.settled
    yield* Fiber.interrupt(killer)
    say("client", "the script has ended")
    duration = clock.currentTimeMillisUnsafe() - listening
    yield* start
    for (const [stream, firstEventId] of checks.streams()) {
      const messages = yield* client.replay(firstEventId)
      if (messages !== undefined) {
        checks.replayed(stream, messages)
      }
    }
    return exit
  })

  const patience = Duration.toMillis(options.patience ?? "1 minute")
  const stuck = Effect.gen(function*() {
    for (;;) {
      if (isStarting) {
        moved() // it has a limit of its own
      }
      const left = movedAt + patience - clock.currentTimeMillisUnsafe()
      if (left <= 0) {
        return `nothing has come of anything for ${
          Duration.format(Duration.millis(patience))
        }, and the script has not ended`
      }
      yield* Effect.sleep(left)
    }
  })

  const exit = yield* Effect.scoped(conversation).pipe(
    Effect.catchCause((cause) => Effect.as(Effect.sync(() => violation(Cause.pretty(cause))), undefined)),
    Effect.raceFirst(Effect.map(Effect.raceFirst(stuck, server.failed), (why) => {
      violation(why)
      return undefined
    }))
  )
  return {
    exit,
    kills,
    calls,
    questions,
    duration,
    givenUp,
    messages: checks.messages(),
    effects: new Map(),
    keyless: new Set(),
    keys: new Map(),
    violations,
    timeline
  }
})
