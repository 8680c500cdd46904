/**
 * The client's roots: asked once per session and change of the list (S-O1).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Facts from "../../session/Facts.ts"
import type * as Questions from "../Questions.ts"
import { Frame } from "./Frame.ts"
import * as Question from "./question.ts"
import type { Run } from "./Run.ts"

/** What a session knows of its client's roots. */
interface Known {
  readonly generation: number
  readonly roots: Schema.Json
}

/**
 * Recorded under one name for the whole execution, so that it is fixed for the
 * rest of it, whatever the client says meanwhile.
 *
 * @internal
 */
export const roots = (frame: Frame, fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<Questions.Outcome> => {
  const { run } = frame
  const session = run.peer?.request.profile.session
  const path = "%roots"
  const root = run.isRoot(fiber)
  return Effect.flatMap(
    run.enter({ path, attempt: path, kind: "roots", root, inside: !frame.isBody, often: true }),
    (record) => {
      if (record !== undefined) {
        return Effect.succeed(JSON.parse(record.exit) as Questions.Outcome)
      }
      return Effect.gen(function*() {
        const before = yield* read(run, session)
        const outcome = before.known?.generation === before.generation
          ? { _tag: "Result", result: before.known.roots } as const
          // Inside of the record: a replay that finds it never gets to the question.
          : yield* Question.ask(new Frame(run, `${path}/`, `${path}/`), fiber, "roots", () => ({ _tag: "Roots" }), {
            timeout: "10 minutes"
          })
        if (session !== undefined && outcome._tag === "Result" && before.known?.generation !== before.generation) {
          const known: Known = { generation: before.generation, roots: outcome.result }
          const value = JSON.stringify(known)
          const writeKey = run.env.ids.derive("fact", Facts.roots, value)
          yield* Effect.orDie(
            run.journal.commit([{ _tag: "SetSession", id: session, name: Facts.roots, writeKey, value }])
          )
        }
        const exit = yield* Effect.orDie(
          run.journal.record({ path, kind: "roots", root, exit: JSON.stringify(outcome) })
        )
        return JSON.parse(exit) as Questions.Outcome
      })
    }
  )
}

const read = (run: Run, session: string | undefined): Effect.Effect<{
  readonly generation: number
  readonly known: Known | undefined
}> =>
  session === undefined ? Effect.succeed({ generation: 0, known: undefined }) : Effect.map(
    run.reading(run.env.store.session(session)),
    (found) => {
      const facts = Option.getOrUndefined(found)?.facts
      const known = facts?.get(Facts.roots)
      return {
        generation: Number(facts?.get(Facts.rootsGeneration) ?? 0),
        known: known === undefined ? undefined : JSON.parse(known) as Known
      }
    }
  )
