/**
 * What writes do to a session: the rules of the contract, for every backend
 * that holds sessions as objects.
 *
 * @internal
 */
import type { EndSession, Outcome, SetSession } from "../Store.ts"
import { type Entries, made, missing } from "./callFacts.ts"

/** @internal */
export interface Session {
  ended: boolean
  writtenAt: number
  readonly facts: Pick<
    Entries<{ readonly writeKey: string }, { readonly writeKey: string; readonly value: string }>,
    "get" | "set"
  >
}

/** @internal */
export const apply = (session: Session | undefined, write: SetSession | EndSession, now: number): Outcome => {
  if (session === undefined) {
    return missing
  }
  if (write._tag === "EndSession") {
    const fresh = !session.ended
    session.ended = true
    return made(fresh)
  }
  if (session.ended) {
    return missing
  }
  if (session.facts.get(write.name)?.writeKey === write.writeKey) {
    return made(false)
  }
  session.facts.set(write.name, { writeKey: write.writeKey, value: write.value })
  session.writtenAt = now
  return made(true)
}
