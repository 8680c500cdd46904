/**
 * Hosts tell fronts, and each other, which states have changed: a response that
 * never ends, a line for each change. It carries no data: who hears of a change
 * reads.
 *
 * The lines of a connection, JSON: first `Hello`, then a `Note` each, and empty
 * ones so that a connection which has died in silence is noticed.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { StoreError } from "../../store/StoreError.ts"
import type { StateType } from "./Application.ts"
import { messageOf } from "./limits.ts"
import { serverHeader } from "./rpc.ts"

/** @internal */
export const path = "/effmcp/wake"

/** Who answers, in the first line. */
export interface Hello {
  /** Of the server process, as Envoy knows it. */
  readonly server: string
  /** How many server processes there are. */
  readonly servers: number
  /** Names this start of the process. */
  readonly boot: string
}

/** A change that can be read: of which state, and who wrote it. */
export type Note = readonly [type: StateType, id: string, by: string]

// -----------------------------------------------------------------------------
// hosts
// -----------------------------------------------------------------------------

/** As much of Node's response as is used. */
export interface Connection {
  readonly write: (chunk: string) => boolean
  readonly writableLength: number
  readonly destroy: () => unknown
  readonly on: (event: "close", listener: () => void) => unknown
}

/** @internal */
export interface Hub {
  readonly attach: (connection: Connection, hello: Hello) => void
  readonly publish: (note: Note) => void
  readonly close: () => void
}

const heartbeatMillis = 5_000

/** Who does not read what it is told is told nothing any more: it comes again, and reads all. In UTF-16 units. */
const maxUnread = 1024 * 1024

/** @internal */
export const hub = (): Hub => {
  const connections = new Set<Connection>()
  const say = (line: string): void => {
    for (const connection of connections) {
      if (connection.writableLength > maxUnread) {
        connection.destroy()
      } else {
        connection.write(line)
      }
    }
  }
  const heartbeat = setInterval(() => say("\n"), heartbeatMillis)
  return {
    attach: (connection, hello) => {
      connection.on("close", () => connections.delete(connection))
      connection.write(`${JSON.stringify(hello)}\n`)
      connections.add(connection)
    },
    publish: (note) => say(`${JSON.stringify(note)}\n`),
    close: () => {
      clearInterval(heartbeat)
      for (const connection of connections) connection.destroy()
    }
  }
}

// -----------------------------------------------------------------------------
// those who are told
// -----------------------------------------------------------------------------

/** @internal */
export interface Options {
  readonly url: URL
  readonly secret: Redacted.Redacted<string>
  /** The start of this process, where it is a host: it need not hear itself. */
  readonly boot?: string | undefined
  readonly onNote: (note: Note) => void
  /** A host may have said something that nobody heard. */
  readonly onGap: () => void
}

/** @internal */
export interface Following {
  /** Returns while all hosts are heard; fails when a host refuses the secret. */
  readonly connected: Effect.Effect<void, StoreError>
  /** The server processes that are heard, this one included. */
  readonly servers: () => ReadonlyArray<string>
}

/** Waits between attempts to hear a host, in milliseconds. */
const firstWait = 50
const longestWait = 1_000

/** Longest silence of a host that is there. */
const longestSilence = 3 * heartbeatMillis

/**
 * Hears all hosts, and comes again when a connection ends, until the scope
 * closes. Envoy sends a request that names no server process to any, so a
 * follower asks until it has met as many as there are; then it knows their names.
 *
 * @internal
 */
export const follow: (options: Options) => Effect.Effect<Following, never, Scope.Scope> = Effect.fnUntraced(
  function*(options: Options) {
    const scope = yield* Effect.scope
    const heard = new Map<string, "now" | "again">()
    const all = Latch.makeUnsafe(false)
    const changed = Latch.makeUnsafe(false)
    let expected = 1
    let refused: StoreError | undefined

    const update = (): void => {
      const now = Array.from(heard.values()).filter((state) => state === "now").length
      if (now >= expected) all.openUnsafe()
      else all.closeUnsafe()
      changed.openUnsafe()
    }

    /** Reads a connection to its end; returns early with a host that is heard already. */
    const hear = (server: string | undefined, met: (hello: Hello) => boolean): Effect.Effect<void, Ended> =>
      Effect.tryPromise({
        try: (signal) => listen(options, server, signal, met, options.onNote),
        catch: (cause) => isEnded(cause) ? cause : { _tag: "Ended", status: undefined, message: messageOf(cause) }
      })

    /** One host, for as long as there is one of its name. */
    const stay = (server: string, wait: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        let isMet = false
        const met = (hello: Hello): boolean => {
          isMet = true
          expected = hello.servers
          heard.set(server, "now")
          update()
          options.onGap()
          return hello.boot !== options.boot
        }
        return Effect.matchEffect(hear(server, met), {
          onSuccess: () => Effect.never, // ourselves
          onFailure: ({ status }) => {
            heard.set(server, "again")
            if (isMet) options.onGap()
            // Envoy knows no server process of this name: there are fewer than before
            if (status === 502) heard.delete(server)
            update()
            return status === 502
              ? Effect.void
              : Effect.andThen(Effect.sleep(wait), stay(server, isMet ? firstWait : Math.min(wait * 2, longestWait)))
          }
        })
      })

    const seek = (wait: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        changed.closeUnsafe()
        if (heard.size >= expected) {
          return Effect.andThen(changed.await, seek(firstWait))
        }
        let found: string | undefined
        const met = (hello: Hello): boolean => {
          expected = hello.servers
          if (!heard.has(hello.server)) found = hello.server
          return false
        }
        return Effect.flatMap(Effect.result(hear(undefined, met)), (result) => {
          refused = result._tag === "Failure" && isRefusal(result.failure)
            ? new StoreError({
              reason: "Io",
              message:
                `The Reboot application at ${options.url.origin} refused the secret. Give both sides the same one.`
            })
            : undefined
          if (refused !== undefined) all.openUnsafe()
          if (found !== undefined) {
            heard.set(found, "again")
            return Effect.andThen(Effect.forkIn(stay(found, firstWait), scope), seek(firstWait))
          }
          // met one that is known: the next attempt may meet another one
          return Effect.andThen(
            Effect.sleep(result._tag === "Success" ? 1 : wait),
            seek(result._tag === "Success" ? firstWait : Math.min(wait * 2, longestWait))
          )
        })
      })

    yield* Effect.forkIn(seek(firstWait), scope)
    return {
      connected: Effect.andThen(
        all.await,
        Effect.suspend(() => refused === undefined ? Effect.void : Effect.fail(refused))
      ),
      servers: () => Array.from(heard.keys())
    }
  }
)

/** Why a connection was not made, or is over. */
interface Ended {
  readonly _tag: "Ended"
  readonly status: number | undefined
  readonly message: string
}

const isEnded = (cause: unknown): cause is Ended =>
  typeof cause === "object" && cause !== null && "_tag" in cause && cause._tag === "Ended"

const isRefusal = ({ status }: Ended): boolean => status === 401 || status === 403

const ended = (status: number, message: string): Ended => ({ _tag: "Ended", status, message })

/** Resolves when `met` wants to hear no more; rejects when the host does not speak any more. */
const listen = async (
  options: Options,
  server: string | undefined,
  signal: AbortSignal,
  met: (hello: Hello) => boolean,
  onNote: (note: Note) => void
): Promise<void> => {
  const silence = new AbortController()
  const silent = (): void => silence.abort(new Error("The host is silent"))
  let timer = setTimeout(silent, longestSilence)
  try {
    const response = await fetch(new URL(path, options.url), {
      headers: {
        authorization: `Bearer ${Redacted.value(options.secret)}`,
        ...(server === undefined ? {} : { [serverHeader]: server })
      },
      signal: AbortSignal.any([signal, silence.signal])
    })
    if (response.status !== 200 || response.body === null) {
      throw ended(response.status, (await response.text()).trim())
    }
    const decoder = new TextDecoder()
    let rest = ""
    let hello: Hello | undefined
    for await (const chunk of response.body) {
      clearTimeout(timer)
      timer = setTimeout(silent, longestSilence)
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
      rest = lines.pop()!
      for (const line of lines) {
        if (line === "") continue
        if (hello !== undefined) {
          onNote(JSON.parse(line))
        } else {
          hello = JSON.parse(line) as Hello
          if (!met(hello)) return
        }
      }
    }
    throw ended(response.status, "The connection ended")
  } finally {
    clearTimeout(timer)
    silence.abort()
  }
}
