/**
 * The state of a session.
 *
 * @internal
 */
import { made } from "../../store/internal/callFacts.ts"
import * as sessionFacts from "../../store/internal/sessionFacts.ts"
import type * as Store from "../../store/Store.ts"
import type { Machine, Versioned } from "./Application.ts"

/** `Erase`: the session and what belonged to it have never been; `ForgetSession` ends with it. */
export type SessionWrite = Store.OpenSession | Store.SetSession | Store.EndSession | { readonly _tag: "Erase" }

/** @internal */
export interface SessionRequest {
  readonly writes: ReadonlyArray<SessionWrite>
  readonly now: number
}

/** @internal */
export interface SessionResponse {
  readonly version: number
  readonly outcomes: ReadonlyArray<Store.Outcome>
}

/** @internal */
export interface SessionState extends Versioned {
  /** JSON: id, principal, data, createdAt, writtenAt, ended; "" for none. */
  readonly session: string
  /** JSON of each fact: name, writeKey, value. */
  readonly facts: ReadonlyArray<string>
}

interface Head {
  readonly id: string
  readonly principal: string
  readonly data: string
  readonly createdAt: number
  readonly writtenAt: number
  readonly ended: boolean
}

interface Fact {
  readonly name: string
  readonly writeKey: string
  readonly value: string
}

const headOf = (state: SessionState): Head | undefined => state.session === "" ? undefined : JSON.parse(state.session)

const factOf = (text: string): Fact => JSON.parse(text)

/**
 * The session as the contract shows it; undefined for none.
 *
 * @internal
 */
export const record = (state: SessionState): Store.SessionRecord | undefined => {
  const head = headOf(state)
  return head && {
    id: head.id,
    principal: head.principal,
    data: head.data,
    createdAt: head.createdAt,
    ended: head.ended,
    facts: new Map(state.facts.map(factOf).map(({ name, value }) => [name, value]))
  }
}

/**
 * Time of the last fresh `OpenSession` or `SetSession`.
 *
 * @internal
 */
export const writtenAt = (state: SessionState): number | undefined => headOf(state)?.writtenAt

/** A session as the writes of one request change it. */
class Draft implements sessionFacts.Session {
  private readonly head: Head
  private readonly entries: Map<string, Fact>
  ended: boolean
  writtenAt: number

  constructor(head: Head, facts: ReadonlyArray<string>) {
    this.head = head
    this.ended = head.ended
    this.writtenAt = head.writtenAt
    this.entries = new Map(facts.map(factOf).map((fact) => [fact.name, fact]))
  }

  readonly facts: sessionFacts.Session["facts"] = {
    get: (name) => this.entries.get(name),
    set: (name, { value, writeKey }) => this.entries.set(name, { name, writeKey, value })
  }

  encode(): Pick<SessionState, "session" | "facts"> {
    return {
      session: JSON.stringify({ ...this.head, writtenAt: this.writtenAt, ended: this.ended } satisfies Head),
      facts: Array.from(this.entries.values(), (fact) => JSON.stringify(fact))
    }
  }
}

/**
 * A task is due when listings have to learn of the session: it is new, or it has
 * ended.
 *
 * @internal
 */
export const machine: Machine<"Session"> = {
  empty: { version: 0, session: "", facts: [] },
  apply: (state, { now, writes }) => {
    const before = headOf(state)
    let draft = before && new Draft(before, state.facts)
    let isNew = false
    const outcomes = writes.map((write): Store.Outcome => {
      switch (write._tag) {
        case "OpenSession": {
          const fresh = draft === undefined
          const { data, id, principal } = write
          draft ??= new Draft({ id, principal, data, createdAt: now, writtenAt: now, ended: false }, [])
          isNew ||= fresh
          return made(fresh)
        }
        case "Erase": {
          const fresh = draft !== undefined
          draft = undefined
          return made(fresh)
        }
        default: {
          return sessionFacts.apply(draft, write, now)
        }
      }
    })
    if (!outcomes.some((outcome) => "fresh" in outcome && outcome.fresh)) {
      return { state, response: { version: state.version, outcomes }, task: false }
    }
    const version = state.version + 1
    return {
      state: { version, ...(draft?.encode() ?? { session: "", facts: [] }) },
      response: { version, outcomes },
      task: draft !== undefined && (isNew || (draft.ended && before?.ended === false))
    }
  }
}
