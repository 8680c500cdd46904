/**
 * Holds a run to the run without faults: its result, what its clients were
 * told, and what it did to the world.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"

/** What two runs are compared by. @internal */
export interface Outward {
  readonly exit: Exit.Exit<unknown, unknown> | undefined
  /** Messages of the server, per call, in order. */
  readonly messages: ReadonlyMap<string, ReadonlyArray<string>>
  /** How often each effect took place, by name. */
  readonly effects: ReadonlyMap<string, number>
  /** Effects that took place again because they have no key. */
  readonly keyless: ReadonlySet<string>
  /** Keys of steps: by execution and path. */
  readonly keys: ReadonlyMap<string, string>
  /** Names of calls of which the script wanted nothing any more. */
  readonly givenUp: ReadonlySet<string>
  /** What the script gave up: `Cancelled 2`. */
  readonly excuses: ReadonlyArray<string>
}

/**
 * How the run differs from the one without faults; to be asked where nothing
 * excuses that.
 *
 * @internal
 */
export const differences = (run: Outward, expected: Outward): ReadonlyArray<string> => {
  if (run.exit === undefined || expected.exit === undefined || Exit.isFailure(expected.exit)) {
    return []
  }
  if (Exit.isFailure(run.exit)) {
    return [scriptFails(run.exit.cause)]
  }
  return [
    ...resultOf(run, expected),
    ...toldOtherwise(run, expected),
    ...effectsOf(run, expected)
  ]
}

/**
 * How the run differs in what none of the calls that the script gave up may
 * change: what the others were told, how often effects without a key were
 * repeated; and the result, where also those calls ended as they did without
 * faults.
 *
 * @internal
 */
export const unexcused = (run: Outward, expected: Outward): ReadonlyArray<string> => {
  const leftOut = new Set([...run.givenUp, ...expected.givenUp])
  const areAlike = isSame(run.excuses, expected.excuses) && [...run.excuses].every(isOfCall) &&
    conversation(run, true) === conversation(expected, true)
  return [
    ...areAlike ? resultOf(run, expected) : [],
    ...toldOtherwise(run, expected, leftOut)
  ]
}

const isOfCall = (excuse: string): boolean => /^(Cancelled|Abandoned) /.test(excuse)

const isSame = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())

const toldOtherwise = (run: Outward, expected: Outward, leftOut: ReadonlySet<string> = new Set()) => {
  const told = (of: Outward) =>
    conversation({ ...of, messages: new Map(Array.from(of.messages).filter(([call]) => !leftOut.has(call))) })
  const [seen, wanted] = [told(run), told(expected)]
  return seen === wanted ? [] : [`the client got\n${seen}\nand not\n${wanted}`]
}

const resultOf = (run: Outward, expected: Outward): ReadonlyArray<string> => {
  if (run.exit === undefined || expected.exit === undefined || Exit.isFailure(expected.exit)) {
    return []
  }
  if (Exit.isFailure(run.exit)) {
    return [scriptFails(run.exit.cause)]
  }
  const value = withoutKeys(JSON.stringify(run.exit.value), run)
  const wanted = withoutKeys(JSON.stringify(expected.exit.value), expected)
  return value === wanted ? [] : [`the result is ${value} and not ${wanted}`]
}

/** @internal */
export const scriptFails = (cause: Cause.Cause<unknown>): string => `the script fails: ${Cause.pretty(cause)}`

const effectsOf = ({ effects, keyless }: Outward, expected: Outward): ReadonlyArray<string> =>
  Array.from(new Set([...expected.effects.keys(), ...effects.keys()])).flatMap((name) => {
    const count = effects.get(name) ?? 0
    const wanted = expected.effects.get(name) ?? 0
    if (count === wanted) {
      return []
    }
    const why = count <= wanted
      ? ""
      : keyless.has(name)
      ? ". It has no key, and what did it ran again: give the outside service the step's `key`, or make the step `atMostOnce`"
      : count > 1
      ? ". Each time under another key: is it the `key` of a step?"
      : ""
    return [`${name} took place ${times(count)}, and ${times(wanted)} without faults${why}`]
  })

const times = (count: number): string => count === 0 ? "never" : count === 1 ? "once" : `${count} times`

/** Keys of steps hang on a secret of the store and on the session, which another process may have made. */
const withoutKeys = (text: string | undefined, { keys }: Outward): string | undefined =>
  Array.from(keys).reduce((text, [step, key]) => text?.replaceAll(key, `<key of ${step.split(" ")[1]}>`), text)

/**
 * What the server said: without answers, whose content the script returns, and
 * without the ids of its questions and their pages, which hang on a secret of
 * the store.
 */
const conversation = (of: Outward, withAnswers = false): string | undefined =>
  withoutKeys(
    Array.from(of.messages, ([call, messages]) => {
      const said = messages.map((text) => JSON.parse(text)).filter(({ method }) => withAnswers || method !== undefined)
      const told = said.map(({ error, method, params, result }) =>
        `    ${method ?? "answer"} ${JSON.stringify(params ?? error ?? result)}\n`
      )
      // What belongs to no call, a step that was cut off raises again: which messages there are counts, not how often.
      const lines = (call.endsWith("own stream") ? Array.from(new Set(told)).sort() : told).join("")
      const secrets = said.flatMap(({ id, method, params }) => method === undefined ? [] : [id, params?.elicitationId])
        .filter((id) => typeof id === "string")
      return secrets.reduce(
        (text, secret, i) => text.replaceAll(secret, `<question ${i + 1} of the call>`),
        `  ${call}:\n${lines}`
      )
    }).sort().join(""),
    of
  )
