/**
 * Reboot's methods over HTTP: JSON to Envoy, which finds the server process in
 * which the state lives.
 *
 * Reboot loads nothing into a process that calls it like this. For the Python
 * thread that bounds it, such a call is half as dear as one by its own client.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { StoreError } from "../../store/StoreError.ts"
import type { States, StateType } from "./Application.ts"
import { messageOf } from "./limits.ts"
import { machines } from "./machines.ts"
import { readers, writers } from "./methods.ts"

/** @internal */
export interface Options {
  /** Of Envoy's port. */
  readonly url: URL
  readonly secret: Redacted.Redacted<string>
  /** For one attempt. */
  readonly callTimeout: Duration.Input
  /** How long an application is tried again that is not there. */
  readonly outageTimeout: Duration.Input
}

/** @internal */
export interface Rpc {
  /**
   * Text of the request and of the response. `caller` travels as a cookie, the
   * one header that Reboot hands to a method: a servicer can tell whose write it is.
   */
  readonly write: (type: StateType, id: string, request: string, caller: string) => Effect.Effect<string, StoreError>
  readonly read: <T extends StateType>(type: T, id: string) => Effect.Effect<States[T]["state"], StoreError>
  /** One of the application's own routes, in a certain server process. */
  readonly post: (path: string, server: string) => Effect.Effect<void, StoreError>
}

/** First and longest wait before the next attempt, in milliseconds. */
const firstWait = 50
const longestWait = 1_000

/** @internal */
export const make = (options: Options): Rpc => {
  const headers = {
    "content-type": "application/json",
    authorization: `Bearer ${Redacted.value(options.secret)}`
  }
  const callTimeout = Duration.toMillis(Duration.fromInputUnsafe(options.callTimeout))
  const outageTimeout = Duration.toMillis(Duration.fromInputUnsafe(options.outageTimeout))

  const attempt = (what: string, path: string, init: RequestInit): Effect.Effect<Answer, Failure> =>
    Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(new URL(path, options.url), {
          ...init,
          method: "POST",
          signal: AbortSignal.any([signal, AbortSignal.timeout(callTimeout)])
        })
        return { status: response.status, text: await response.text() }
      },
      catch: (cause): Failure => ({ isTransient: true, error: unreachable(what, options.url, cause) })
    }).pipe(Effect.flatMap((answer) => {
      const failure = failureOf(what, options.url, answer)
      return failure === undefined ? Effect.succeed(answer) : Effect.fail(failure)
    }))

  /** Every method may be repeated: readers anyway, writers since the first write wins. */
  const send = (what: string, path: string, init: RequestInit): Effect.Effect<Answer, StoreError> =>
    Effect.suspend(() => {
      const started = performance.now()
      const next = (wait: number): Effect.Effect<Answer, StoreError> =>
        Effect.catch(
          attempt(what, path, init),
          (failure) =>
            failure.isTransient && performance.now() - started + wait < outageTimeout
              ? Effect.andThen(Effect.sleep(wait), next(Math.min(wait * 2, longestWait)))
              : Effect.fail(failure.error)
        )
      return next(firstWait)
    })

  return {
    write: (type, id, request, caller) =>
      send(`write ${type} ${id}`, pathOf(type, id, writers[type]), {
        headers: { ...headers, cookie: `${callerCookie}=${caller}` },
        body: JSON.stringify({ request })
      }).pipe(Effect.map(({ text }) => fieldOf(text, "response"))),

    read: <T extends StateType>(type: T, id: string) =>
      send(`read ${type} ${id}`, pathOf(type, id, readers[type]), { headers, body: "{}" }).pipe(
        Effect.map(({ status, text }): States[T]["state"] =>
          status === notConstructed ? machines[type].empty : JSON.parse(fieldOf(text, "state"))
        )
      ),

    post: (path, server) =>
      Effect.asVoid(send(`reach ${path}`, path, { headers: { ...headers, [serverHeader]: server } }))
  }
}

/**
 * Names the server process that is to answer; Envoy sends a request without it
 * to where the state lives, or to any.
 *
 * @internal
 */
export const serverHeader = "x-reboot-server-id"

const callerCookie = "effmcp"

/**
 * The `caller` of whoever made a call; "" for none.
 *
 * @internal
 */
export const callerOf = (cookie: string | null): string =>
  cookie?.startsWith(`${callerCookie}=`) === true ? cookie.slice(callerCookie.length + 1) : ""

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

interface Answer {
  readonly status: number
  readonly text: string
}

interface Failure {
  /** It may be another thing in a moment. */
  readonly isTransient: boolean
  readonly error: StoreError
}

const pathOf = (type: StateType, id: string, method: string): string =>
  `/__/reboot/rpc/${encodeURIComponent(`effmcp.v1.${type}:${id}`)}/effmcp.v1.${type}Methods/${method}`

/** A message of ours has one field, JSON text. */
const fieldOf = (text: string, field: string): string => JSON.parse(text)[field]

/** Envoy's word for gRPC's ABORTED: of the errors that our methods can have, a state that was never written. */
const notConstructed = 409

/** What Envoy answers in place of a server process that is not there. */
const gateway: ReadonlySet<number> = new Set([502, 503, 504])

/** What a server process says that is about to start more tasks than it may, and must end some before. */
const tooManyTasks = "Too many tasks"

const unreachable = (what: string, url: URL, cause: unknown): StoreError =>
  new StoreError({
    reason: "Io",
    message: `The Reboot application at ${url.origin} could not ${what}: ${reasonOf(cause)}. Is it running there? ` +
      "Nothing acknowledged is lost.",
    cause
  })

/** The word of the system, which `fetch` wraps. */
const reasonOf = (cause: unknown): string =>
  messageOf(cause instanceof Error && cause.cause !== undefined ? cause.cause : cause)

const failureOf = (what: string, url: URL, { status, text }: Answer): Failure | undefined => {
  if (status === 200) return undefined
  const fail = (isTransient: boolean, message: string): Failure => ({
    isTransient,
    error: new StoreError({
      reason: "Io",
      message: `The Reboot application at ${url.origin} could not ${what}: ${message}`
    })
  })
  if (status === notConstructed && text.includes("StateNotConstructed")) return undefined
  if (status === 401 || status === 403) return fail(false, "it refused the secret. Give both sides the same one.")
  if (status === 404) {
    return fail(false, "it has no such method. Run the same version of effect-durable-mcp on both sides.")
  }
  if (gateway.has(status)) return fail(true, `Envoy says "${text.trim()}" (${status}).`)
  if (text.includes(tooManyTasks)) return fail(true, "too many executions run at this time. Add server processes.")
  return fail(false, `${status} ${text.trim().replace(/\s+/g, " ").slice(0, 500)}`)
}
