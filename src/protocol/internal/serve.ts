/**
 * One message of a session, whether it came alone or in a batch.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { hash } from "node:crypto"
import { type Accepted, CallRejected, Calls } from "../../engine/Calls.ts"
import { Dispatch, type Request, type RequestProfile } from "../../engine/Dispatch.ts"
import * as Facts from "../../session/Facts.ts"
import { Ids } from "../../session/Ids.ts"
import * as JsonRpc from "../../session/JsonRpc.ts"
import * as Limits from "../../session/Limits.ts"
import { type Session, Sessions } from "../../session/Sessions.ts"
import { Store } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import { Stock } from "../stock.ts"
import type { Message } from "./messages.ts"

type Of<Tag extends Message["_tag"]> = Extract<Message, { readonly _tag: Tag }>

/**
 * What became of a request.
 *
 * - `Answered`: it was quick; nothing of it needs to be kept but what its answer says.
 * - `Accepted`: a call; its answer will be the last event of a stream.
 * - `Ended`: the session ended meanwhile.
 */
export type Served =
  | { readonly _tag: "Answered"; readonly answer: JsonRpc.Answer }
  | { readonly _tag: "Accepted"; readonly accepted: Accepted }
  | { readonly _tag: "Rejected"; readonly rejection: CallRejected }
  | { readonly _tag: "Ended" }

/** @internal */
export interface Serve {
  readonly request: (options: {
    readonly session: Session
    readonly profile: RequestProfile
    readonly message: Of<"Request">
    /** False in a batch, which has no stream for questions (S-B3). */
    readonly canAsk: boolean
  }) => Effect.Effect<Served, StoreError>
  /** Durable when it returns (7.2). What makes no sense is ignored (S-C2). */
  readonly notification: (session: Session, message: Of<"Notification">) => Effect.Effect<void, StoreError>
  /** Durable when it returns true. False when nobody asked (S-P6). */
  readonly response: (session: Session, message: Of<"Response">) => Effect.Effect<boolean, StoreError>
}

/** Methods whose handlers are users' code that may take its time. */
const calledMethods = new Set(["tools/call", "prompts/get", "resources/read"])

const empty: Served = { _tag: "Answered", answer: { result: {} } }
const failed = (error: JsonRpc.ErrorObject): Served => ({ _tag: "Answered", answer: { error } })

/** @internal */
export const make: Effect.Effect<Serve, never, Store | Ids | Sessions | Stock | Dispatch | Calls> = Effect.gen(
  function*() {
    const store = yield* Store
    const ids = yield* Ids
    const sessions = yield* Sessions
    const stock = yield* Stock
    const { dispatch } = yield* Dispatch
    const calls = yield* Calls
    const inFlightLimit = yield* Limits.CallsInFlight
    const subscriptionLimit = yield* Limits.Subscriptions

    const callId = (session: Session, id: JsonRpc.Id): string => ids.derive("call", session.principal, session.id, id)

    const call = Effect.fnUntraced(function*(session: Session, request: Request) {
      const id = callId(session, request.requestId)
      // A repeat only joins what runs already.
      if (calls.inFlight(session.id) >= inFlightLimit && (yield* store.stream({ id }))._tag === "None") {
        return yield* new CallRejected({
          reason: "Busy",
          message: `${inFlightLimit} calls of this session are running`
        })
      }
      const digest = hash("sha256", `${request.method}\n${JSON.stringify(request.params)}`, "base64url")
      const accepted = yield* calls.start({ id, request, digest })
      // A DELETE that came in between did not see this call.
      if ((yield* sessions.get(session.id)) !== undefined) return { _tag: "Accepted", accepted } as const
      yield* calls.cancel(id, "The session has ended")
      return { _tag: "Ended" } as const
    }, Effect.catchTag("CallRejected", (rejection) => Effect.succeed<Served>({ _tag: "Rejected", rejection })))

    /** Decodes the params of a request that changes the session, in its version's shape. */
    const change = (
      session: Session,
      message: Of<"Request">,
      f: (params: JsonRpc.Params) => Effect.Effect<Served, StoreError>
    ): Effect.Effect<Served, StoreError> =>
      Effect.matchEffect(stock.at(session.negotiated.version).decode(message.method, message.params), {
        onFailure: (error) => Effect.succeed(failed(error)),
        onSuccess: () => f(message.params)
      })

    const set = (session: Session, name: string, f: (value: string | undefined) => string | undefined) =>
      Effect.map(sessions.update(session.id, name, f), (open): Served => open ? empty : { _tag: "Ended" })

    const subscribe = (session: Session, uri: Schema.Json | undefined, on: boolean) =>
      Effect.suspend(() => {
        let full = false
        return Effect.map(
          set(session, Facts.subscriptions, (value) => {
            const uris = new Set(value === undefined ? [] : JSON.parse(value) as ReadonlyArray<Schema.Json>)
            full = on && uris.size >= subscriptionLimit && !uris.has(uri!)
            if (full) return undefined
            if (on) uris.add(uri!)
            else uris.delete(uri!)
            return JSON.stringify([...uris])
          }),
          (served) =>
            full
              ? failed({
                code: JsonRpc.ErrorCode.InvalidParams,
                message: `A session can have ${subscriptionLimit} subscriptions`
              })
              : served
        )
      })

    const canSubscribe = (session: Session): boolean => {
      const capability = session.negotiated.serverCapabilities.resources
      return typeof capability === "object" && capability !== null && "subscribe" in capability
    }

    return {
      request: ({ canAsk, message, profile, session }) => {
        const request: Request = {
          version: session.negotiated.version,
          method: message.method,
          params: message.params,
          requestId: message.id,
          profile,
          canAsk
        }
        if (calledMethods.has(message.method)) return call(session, request)
        switch (message.method) {
          case "logging/setLevel":
            return change(session, message, ({ level }) => set(session, Facts.logLevel, () => JSON.stringify(level)))
          case "resources/subscribe":
          case "resources/unsubscribe":
            return canSubscribe(session)
              ? change(session, message, ({ uri }) => subscribe(session, uri, message.method === "resources/subscribe"))
              : Effect.succeed(failed({
                code: JsonRpc.ErrorCode.MethodNotFound,
                message: `Method not found: ${message.method}`
              }))
          default:
            return Effect.map(dispatch(request), (answer): Served => ({ _tag: "Answered", answer }))
        }
      },

      notification: (session, { method, params }) => {
        switch (method) {
          case "notifications/initialized":
            return sessions.update(session.id, Facts.initialized, () => "true")
          case "notifications/roots/list_changed":
            return sessions.update(session.id, Facts.rootsGeneration, (value) => String(Number(value ?? 0) + 1))
          case "notifications/cancelled": {
            const { reason, requestId } = params
            return typeof requestId === "string" || typeof requestId === "number"
              ? calls.cancel(callId(session, requestId), typeof reason === "string" ? reason : undefined)
              : Effect.void
          }
          default:
            return Effect.void
        }
      },

      response: (session, { answer, id }) =>
        typeof id === "string"
          ? Effect.map(
            calls.answer({ wireId: id, session: session.id, principal: session.principal, answer }),
            (outcome) => outcome === "Accepted"
          )
          : Effect.succeed(false) // ours are strings
    }
  }
)
