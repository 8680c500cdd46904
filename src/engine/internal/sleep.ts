/**
 * Sleeping until an absolute time.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Frame } from "./Frame.ts"

/** @internal */
export const sleep = (
  frame: Frame,
  fiber: Fiber.Fiber<unknown, unknown>,
  name: string,
  duration: Duration.Input
): Effect.Effect<void> => {
  const { run } = frame
  const numbered = frame.number(name)
  const path = frame.path + numbered
  const root = run.isRoot(fiber)
  const kind = "sleep"
  return Effect.flatMap(run.enter({ path, attempt: path, kind, root, inside: !frame.isBody }), (record) => {
    const due = record === undefined ? run.now + Duration.toMillis(duration) : Number(record.exit)
    const armed = run.waits.get(`due/${path}`) === undefined ? run.arm(path, due) : []
    // The timer is sent again with each run, since it may not have been stored with the record.
    const stored = record === undefined
      ? Effect.asVoid(run.journal.record({ path, kind, root, exit: String(due) }, armed))
      : armed.length === 0 || run.isDecided
      ? Effect.void
      : Effect.asVoid(run.journal.commit(armed))
    return run.unlessAbandoned(
      frame.attempt + numbered,
      Effect.andThen(Effect.orDie(stored), run.until(path, due, armed))
    )
  })
}
