/**
 * To which state each write of the contract goes.
 *
 * @internal
 */
import { defaultMaxPayloadBytes, measure } from "../../store/internal/validate.ts"
import type * as Store from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { CallWrite } from "./callState.ts"
import type { Group } from "./lanes.ts"
import type { SessionWrite } from "./sessionState.ts"

/** What lanes carry: the writes of the contract, and those that the store makes of them. */
export type LaneWrite = Store.Write | CallWrite | SessionWrite

/**
 * Most writes and UTF-16 units of one list in one Reboot write. A list may be cut
 * anywhere: a prefix of it may stand.
 */
const maxWrites = 256
const maxSize = 512 * 1024

/**
 * Largest value of a session or a key, in bytes of UTF-8: they are never in
 * chunks, and a session is written whole. Those of calls may be as large as the
 * store takes any.
 *
 * @internal
 */
export const maxInStateBytes = 512 * 1024

interface Route {
  readonly type: "Call" | "Session" | "Chunk"
  readonly id: string
}

/**
 * Writes of a session and of a key go to states of their own, all others to the
 * call of their execution or stream.
 *
 * @internal
 */
export const routeOf = (write: Store.Write): Route => {
  switch (write._tag) {
    case "OpenSession":
    case "SetSession":
    case "EndSession":
    case "ForgetSession": {
      return { type: "Session", id: write.id }
    }
    case "PutKey": {
      return { type: "Chunk", id: keyId(write.name) }
    }
    case "OpenStream":
    case "Append":
    case "Trim": {
      return { type: "Call", id: write.stream }
    }
    default: {
      return { type: "Call", id: write.id }
    }
  }
}

/**
 * Where a key of the server is.
 *
 * @internal
 */
export const keyId = (name: string): string => `key.${name}`

/**
 * The list in groups: writes that follow one another and go to the same state.
 * What of it cannot be stored makes it fail as a whole.
 *
 * @internal
 */
export const groupsOf = (
  writes: ReadonlyArray<Store.Write>,
  maxPayloadBytes: number = defaultMaxPayloadBytes
): ReadonlyArray<Group<LaneWrite>> | StoreError => {
  const groups: Array<{ readonly route: Route; writes: Array<Store.Write>; size: number; readonly alone: boolean }> = []
  for (const write of writes) {
    const route = routeOf(write)
    const size = measure([write], route.type === "Call" ? maxPayloadBytes : Math.min(maxPayloadBytes, maxInStateBytes))
    if (typeof size !== "number") {
      return size
    }
    // a result that is forgotten in the write that brings it would never reach the parent
    const alone = write._tag === "ForgetSession" || write._tag === "Forget" || route.type === "Chunk"
    const last = groups.at(-1)
    if (
      last !== undefined && !last.alone && !alone && last.route.type === route.type && last.route.id === route.id &&
      last.writes.length < maxWrites && last.size + size <= maxSize
    ) {
      last.writes.push(write)
      last.size += size
    } else {
      groups.push({ route, writes: [write], size, alone })
    }
  }
  return groups.map(({ alone, route, size, writes }) => ({ ...route, writes, size, alone }))
}
