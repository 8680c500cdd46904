/**
 * What clients get: each event once and in order, nothing after the answer,
 * each question once, progress that grows, and the same again in a replay.
 *
 * @internal
 */
import type { Received, Source } from "../Client.ts"

/** @internal */
export interface ClientChecks {
  readonly eventId: (source: Source, eventId: string) => void
  readonly received: (received: Received) => void
  /** A stream as it is replayed from its first event. */
  readonly replayed: (stream: string, messages: ReadonlyArray<string>) => void
  /** First event ids, by stream: one of each call, any number of a client's own. */
  readonly streams: () => ReadonlyMap<string, string>
  /** By call, and of the client's own streams together. */
  readonly messages: () => ReadonlyMap<string, ReadonlyArray<string>>
  /** The script wants nothing any more of a call, or of all that a client has; `isAbandoned`: without a word. */
  readonly gaveUp: (whose: Source, isAbandoned: boolean) => void
  /** Names, as of `messages`, of what was given up. */
  readonly givenUp: () => ReadonlySet<string>
}

interface Stream {
  /** Whose it is, for a reader. */
  readonly name: string
  readonly client: number
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
export const make = (options: {
  readonly say: (text: string) => void
  /** The clock of the processes has been set back. */
  readonly isSetBack: () => boolean
  readonly violation: (text: string) => void
}): ClientChecks => {
  const { isSetBack, say, violation } = options
  const streams = new Map<string, Stream>()
  /** Wire ids. */
  const questions = new Set<string>()
  const given: Array<Source> = []
  /** Names of calls that nobody listens to any more. */
  const abandoned = new Set<string>()

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
      client: source.client,
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

  const asked = ({ message, ...source }: Received) => {
    const where = nameOf(source)
    const wireId = JSON.stringify(message.id)
    // a handler may ask the same again, under another id; how often is compared with the run without faults
    if (questions.has(wireId)) {
      violation(`${where}: question ${wireId} was asked twice`)
    }
    questions.add(wireId)
  }

  return {
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
    received: (received) => {
      const { eventId, message, text } = received
      const stream = streamOf(received, eventId)
      const where = stream.name
      say(`${where} gets ${eventId ?? "no id"} ${text}`)
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
        // between two values of the handler's, the heartbeat has only the clock to go by
        const isHeartbeat = eventId === undefined
        if (progress <= stream.lastProgress && !(isHeartbeat && isSetBack())) {
          violation(`${where}: progress fell from ${stream.lastProgress} to ${progress}`)
        }
        stream.lastProgress = isHeartbeat ? Math.max(progress, stream.lastProgress) : progress
      } else if (message.method !== undefined && message.id !== undefined) {
        asked(received)
      } else if (message.method === undefined) {
        stream.final = true
      }
    },
    replayed: (key, messages) => {
      const stream = streams.get(key)
      if (stream === undefined) {
        return
      }
      const primed = stream.firstEventId !== undefined && !stream.eventIds.has(stream.firstEventId)
      const expected = primed ? stream.messages : stream.messages.slice(1)
      // of a call that went on without its client, that has heard the beginning only
      const heard = !stream.final && abandoned.has(stream.name) ? messages.slice(0, expected.length) : messages
      if (JSON.stringify(expected) !== JSON.stringify(heard)) {
        violation(`${stream.name}: a replay gives\n  ${messages.join("\n  ")}\nand not\n  ${expected.join("\n  ")}`)
      }
    },
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
    gaveUp: (whose, isAbandoned) => {
      given.push(whose)
      if (isAbandoned) {
        abandoned.add(nameOf(whose))
      }
    },
    givenUp: () =>
      new Set(given.flatMap((whose) =>
        whose.call === undefined
          ? Array.from(streams.values()).filter(({ client }) => client === whose.client).map(({ name }) => name)
          : [nameOf(whose)]
      ))
  }
}
