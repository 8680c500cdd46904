/**
 * Whether the server still keeps what `initialize` promised a session.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Session } from "../../session/Sessions.ts"
import type { Stock } from "../stock.ts"

/**
 * False when a deploy took away the session's version or a capability that it
 * was shown: such a session has to end (7.2), not to break silently.
 *
 * @internal
 */
export const areKept = (stock: Stock["Service"], session: Session): Effect.Effect<boolean> =>
  stock.versions.includes(session.negotiated.version)
    ? Effect.map(stock.capabilities, (offered) => covers(offered, session.negotiated.serverCapabilities))
    : Effect.succeed(false)

/** Whether each capability of `promised`, with its flags, is in `offered`. */
const covers = (offered: object, promised: object): boolean =>
  Object.entries(promised).every(([name, value]) => {
    if (value === false) return true
    const now = Object.hasOwn(offered, name) ? offered[name as keyof typeof offered] : undefined
    if (now === undefined || now === false) return false
    return !Predicate.isObject(now) || !Predicate.isObject(value) || covers(now, value)
  })
