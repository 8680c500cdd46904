/**
 * Watches a simulation from outside: what the processes write, what they do to
 * the world, what the client gets; and says what must not be.
 */
import * as Effect from "effect/Effect"
import type { Outcome } from "../../store/Store.ts"
import type { Question, Received, Source } from "../Client.ts"
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
  readonly eventId: (source: Source, eventId: string) => void
  readonly received: (received: Received) => void
  readonly answered: (question: Question) => void
  /** A stream as it is replayed from its first event. */
  readonly replayed: (stream: string, messages: ReadonlyArray<string>) => void
  /** When something last came of it all, in virtual time. */
  readonly movedAt: () => number
  readonly operations: () => ReadonlyArray<ReadonlyArray<Operation>>
  /** How often each effect was attempted, by key. */
  readonly attempts: () => ReadonlyMap<string, number>
  /** How often each effect took place, by name. */
  readonly effects: () => ReadonlyMap<string, number>
  /** Runs of step bodies. */
  readonly steps: () => number
  /** First event ids, by stream: one of each call, any number of a client's own. */
  readonly streams: () => ReadonlyMap<string, string>
  /** By call, and of the client's own streams together. */
  readonly messages: () => ReadonlyMap<string, ReadonlyArray<string>>
  readonly excuses: () => ReadonlyArray<string>
  readonly violations: () => ReadonlyArray<string>
  readonly timeline: () => Timeline
}

interface Stream {
  /** Whose it is, for a reader. */
  readonly name: string
  readonly firstEventId: string | undefined
  readonly eventIds: Set<string>
  readonly messages: Array<string>
  lastSeq: number
  lastProgress: number
  final: boolean
}

/** `1` and `"1"` are two ids. */
const nameOf = ({ call, client }: Source): string =>
  `${client === 1 ? "" : `client ${client}, `}${call === undefined ? "own stream" : `call ${JSON.stringify(call)}`}`

/** @internal */
export const make = (options: { readonly now: () => number; readonly onActivity: () => void }): Observer => {
  const started = options.now()
  const timeline: Array<Entry> = []
  const violations: Array<string> = []
  const operations: Array<Array<Operation>> = []
  const streams = new Map<string, Stream>()
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

  const streamOf = (source: Source, eventId?: string): Stream => {
    const name = nameOf(source)
    // a client opens another stream of its own where it got no id of the one that broke
    const key = source.call === undefined ? `${name} ${eventId?.slice(0, eventId.lastIndexOf(":"))}` : name
    const known = streams.get(key)
    if (known !== undefined) {
      return known
    }
    const stream: Stream = {
      name,
      firstEventId: eventId,
      eventIds: new Set(),
      messages: [],
      lastSeq: -1,
      lastProgress: -Infinity,
      final: false
    }
    streams.set(key, stream)
    return stream
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
    eventId: (source, eventId) => {
      const stream = streamOf(source, eventId)
      const seq = Number(eventId.slice(eventId.lastIndexOf(":") + 1))
      // a priming event repeats the id from which the stream goes on
      if (seq === stream.lastSeq) {
        return
      }
      if (seq < stream.lastSeq) {
        violation(`${stream.name}: event ${eventId} came after event ${stream.lastSeq}`)
      }
      stream.lastSeq = seq
    },
    received: ({ eventId, message, text, ...source }) => {
      moved()
      const stream = streamOf(source, eventId)
      const where = stream.name
      say("client", `${where} gets ${eventId ?? "no id"} ${text}`)
      if (stream.final) {
        violation(`${where}: ${text} came after the answer`)
      }
      if (eventId === undefined) {
        // only the heartbeat is not in the log
        if (message.method !== "notifications/progress") {
          violation(`${where}: ${text} came without an event id`)
        }
      } else {
        if (stream.eventIds.has(eventId)) {
          violation(`${where}: event ${eventId} came twice`)
        }
        stream.eventIds.add(eventId)
        stream.messages.push(text)
      }
      if (message.method === "notifications/progress") {
        const progress = Number(message.params?.progress)
        if (progress <= stream.lastProgress) {
          violation(`${where}: progress fell from ${stream.lastProgress} to ${progress}`)
        }
        stream.lastProgress = progress
      } else if (message.method !== undefined && message.id !== undefined) {
        const wireId = JSON.stringify(message.id)
        const asked = JSON.stringify([where, message.method, message.params ?? null])
        if (questions.has(wireId)) {
          violation(`${where}: question ${wireId} was asked twice`)
        } else if (Array.from(questions.values()).includes(asked)) {
          violation(`${where}: ${text} had been asked under another id`)
        }
        questions.set(wireId, asked)
      } else if (message.method === undefined) {
        stream.final = true
      }
    },
    answered: (question) => {
      moved()
      say("client", `the answer to ${question.method} was accepted`)
    },
    replayed: (key, messages) => {
      const stream = streams.get(key)
      if (stream === undefined) {
        return
      }
      const primed = stream.firstEventId !== undefined && !stream.eventIds.has(stream.firstEventId)
      const expected = primed ? stream.messages : stream.messages.slice(1)
      if (JSON.stringify(expected) !== JSON.stringify(messages)) {
        violation(`${stream.name}: a replay gives\n  ${messages.join("\n  ")}\nand not\n  ${expected.join("\n  ")}`)
      }
    },
    movedAt: () => movedAt,
    operations: () => operations,
    attempts: () => attempts,
    effects: () => effects,
    steps: () => 0,
    streams: () => {
      const first = new Map<string, string>()
      for (const [key, { firstEventId }] of streams) {
        if (firstEventId !== undefined) {
          first.set(key, firstEventId)
        }
      }
      return first
    },
    messages: () => {
      const messages = new Map<string, Array<string>>()
      for (const stream of streams.values()) {
        messages.set(stream.name, [...messages.get(stream.name) ?? [], ...stream.messages])
      }
      return messages
    },
    excuses: () => excuses,
    violations: () => violations,
    timeline: () => timeline
  }
}
