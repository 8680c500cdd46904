/**
 * Watches a simulation from outside: what the processes write, what they do to
 * the world, what the client gets; and says what must not be.
 */
import * as Effect from "effect/Effect"
import type { Id } from "../../session/JsonRpc.ts"
import type { Outcome } from "../../store/Store.ts"
import type { Question, Received } from "../Client.ts"
import type { Operation, Settled } from "../FaultStore.ts"
import * as Schedule from "../Schedule.ts"
import type { Entry, Timeline } from "../Timeline.ts"

/** @internal */
export interface Observer {
  readonly say: (lane: Entry["lane"], text: string) => void
  readonly violation: (text: string) => void
  readonly boot: (boot: number) => void
  /** The script has ended: from now on nothing may be left to do. */
  readonly ended: () => void
  readonly operation: (operation: Operation) => void
  readonly fault: (fault: Schedule.Fault) => void
  readonly settled: (operation: Operation, settled: Settled) => void
  readonly effect: (name: string, key: string | undefined, isDead: () => boolean) => Effect.Effect<number>
  readonly eventId: (call: Id, eventId: string) => void
  readonly received: (received: Received) => void
  readonly answered: (question: Question) => void
  /** The stream of a call as it is replayed from its first event. */
  readonly replayed: (call: string, messages: ReadonlyArray<string>) => void
  /** When something last came of it all, in virtual time. */
  readonly movedAt: () => number
  readonly operations: () => ReadonlyArray<ReadonlyArray<Operation>>
  /** How often each effect was attempted, by key. */
  readonly attempts: () => ReadonlyMap<string, number>
  /** How often each effect took place, by name. */
  readonly effects: () => ReadonlyMap<string, number>
  /** Runs of step bodies. */
  readonly steps: () => number
  /** First event ids, by call. */
  readonly streams: () => ReadonlyMap<string, string>
  readonly messages: () => ReadonlyMap<string, ReadonlyArray<string>>
  readonly excuses: () => ReadonlyArray<string>
  readonly violations: () => ReadonlyArray<string>
  readonly timeline: () => Timeline
}

interface Call {
  readonly firstEventId: string | undefined
  readonly eventIds: Set<string>
  readonly messages: Array<string>
  lastSeq: number
  lastProgress: number
  final: boolean
}

/** `1` and `"1"` are two ids. */
const callName = (id: Id): string => JSON.stringify(id)

/** @internal */
export const make = (options: { readonly now: () => number; readonly onActivity: () => void }): Observer => {
  const started = options.now()
  const timeline: Array<Entry> = []
  const violations: Array<string> = []
  const operations: Array<Array<Operation>> = []
  const calls = new Map<string, Call>()
  const attempts = new Map<string, number>()
  const effects = new Map<string, number>()
  const excuses: Array<string> = []
  /** Keys of steps whose exit stands. */
  const recorded = new Set<string>()
  /** Wire ids of questions, and what was asked. */
  const questions = new Map<string, string>()
  let movedAt = started
  let boot = 0
  let hasEnded = false

  const say = (lane: Entry["lane"], text: string) => {
    options.onActivity()
    timeline.push({ at: options.now() - started, process: boot + 1, lane, text })
  }

  const moved = () => {
    movedAt = options.now()
  }

  const violation = (text: string) => {
    violations.push(text)
    say("violation", text)
  }

  const callOf = (id: Id, firstEventId?: string): Call => {
    const name = callName(id)
    const known = calls.get(name)
    if (known !== undefined) {
      return known
    }
    const call: Call = {
      firstEventId,
      eventIds: new Set(),
      messages: [],
      lastSeq: -1,
      lastProgress: -Infinity,
      final: false
    }
    calls.set(name, call)
    return call
  }

  const isFresh = (outcome: Outcome | undefined) => outcome !== undefined && "fresh" in outcome && outcome.fresh

  return {
    say,
    violation,
    boot: (n) => {
      boot = n
      operations.push([])
      say("process", "starts")
    },
    ended: () => {
      hasEnded = true
      say("client", "the script has ended")
    },
    operation: (operation) => {
      operations.at(-1)?.push(operation)
      say("store", `${operation.index} ${operation.kind} ${operation.what}`)
    },
    fault: (fault) => say("fault", Schedule.encode([fault])),
    settled: ({ writes }, settled) => {
      writes.forEach((write, i) => {
        if (settled._tag === "Queued" || !isFresh(settled.outcomes[i])) {
          return
        }
        moved()
        if (write._tag === "RecordStep") {
          // attempts that failed are recorded too, and are no exit
          if (JSON.parse(write.exit)?._tag === "Interrupted") {
            excuses.push(`StepInterrupted ${write.name}`)
          } else if (write.kind === "step" || write.kind === "compensation") {
            recorded.add(write.key)
          }
          if (hasEnded) {
            violation(`step ${write.name} was recorded after the call had ended`)
          }
        } else if (write._tag === "Append" && hasEnded) {
          violation(`event ${write.key} was added after the call had ended`)
        }
      })
    },
    effect: (name, key, isDead) =>
      Effect.suspend(() => {
        if (isDead()) {
          return Effect.die(new Error("This process has died"))
        }
        const under = key ?? name
        const count = (attempts.get(under) ?? 0) + 1
        attempts.set(under, count)
        moved()
        const takesPlace = key === undefined || count === 1
        if (takesPlace) {
          effects.set(name, (effects.get(name) ?? 0) + 1)
        }
        say("world", takesPlace ? name : `${name}, time ${count} under this key`)
        if (key !== undefined && recorded.has(key)) {
          violation(`${name} was done again after its exit had been recorded`)
        }
        if (hasEnded) {
          violation(`${name} was done after the call had ended`)
        }
        return Effect.succeed(count)
      }),
    eventId: (id, eventId) => {
      const call = callOf(id, eventId)
      const seq = Number(eventId.slice(eventId.lastIndexOf(":") + 1))
      // a priming event repeats the id from which the stream goes on
      if (seq === call.lastSeq) {
        return
      }
      if (seq < call.lastSeq) {
        violation(`call ${callName(id)}: event ${eventId} came after event ${call.lastSeq}`)
      }
      call.lastSeq = seq
    },
    received: ({ call: id, eventId, message, text }) => {
      moved()
      const call = callOf(id, eventId)
      const where = `call ${callName(id)}`
      say("client", `${where} gets ${eventId ?? "no id"} ${text}`)
      if (call.final) {
        violation(`${where}: ${text} came after the answer`)
      }
      if (eventId === undefined) {
        // only the heartbeat is not in the log
        if (message.method !== "notifications/progress") {
          violation(`${where}: ${text} came without an event id`)
        }
      } else {
        if (call.eventIds.has(eventId)) {
          violation(`${where}: event ${eventId} came twice`)
        }
        call.eventIds.add(eventId)
        call.messages.push(text)
      }
      if (message.method === "notifications/progress") {
        const progress = Number(message.params?.progress)
        if (progress <= call.lastProgress) {
          violation(`${where}: progress fell from ${call.lastProgress} to ${progress}`)
        }
        call.lastProgress = progress
      } else if (message.method !== undefined && message.id !== undefined) {
        const wireId = callName(message.id)
        const asked = JSON.stringify([callName(id), message.method, message.params ?? null])
        if (questions.has(wireId)) {
          violation(`${where}: question ${wireId} was asked twice`)
        } else if (Array.from(questions.values()).includes(asked)) {
          violation(`${where}: ${text} had been asked under another id`)
        }
        questions.set(wireId, asked)
      } else if (message.method === undefined) {
        call.final = true
      }
    },
    answered: (question) => {
      moved()
      say("client", `the answer to ${question.method} was accepted`)
    },
    replayed: (name, messages) => {
      const call = calls.get(name)
      if (call === undefined) {
        return
      }
      const primed = call.firstEventId !== undefined && !call.eventIds.has(call.firstEventId)
      const expected = primed ? call.messages : call.messages.slice(1)
      if (JSON.stringify(expected) !== JSON.stringify(messages)) {
        violation(`call ${name}: a replay gives\n  ${messages.join("\n  ")}\nand not\n  ${expected.join("\n  ")}`)
      }
    },
    movedAt: () => movedAt,
    operations: () => operations,
    attempts: () => attempts,
    effects: () => effects,
    steps: () => 0,
    streams: () => {
      const streams = new Map<string, string>()
      for (const [name, { firstEventId }] of calls) {
        if (firstEventId !== undefined) {
          streams.set(name, firstEventId)
        }
      }
      return streams
    },
    messages: () => new Map(Array.from(calls, ([name, call]) => [name, call.messages])),
    excuses: () => excuses,
    violations: () => violations,
    timeline: () => timeline
  }
}
