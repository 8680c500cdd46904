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
}

/** What the script gave up in a run. @internal */
export interface GivenUp {
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
 * How the run differs where the script gave up some of its calls: in what the
 * others were told, and in the result where also those calls came to what they
 * came to without faults.
 *
 * @internal
 */
export const unexcused = (run: Outward & GivenUp, expected: Outward & GivenUp): ReadonlyArray<string> => {
  const givenUp = new Set([...run.givenUp, ...expected.givenUp])
  const cameTo = (of: Outward) => conversation(of, (call) => givenUp.has(call), true)
  const areAlike = isSame(run.excuses, expected.excuses) && run.excuses.every(isOfCall) &&
    cameTo(run) === cameTo(expected)
  return [
    ...areAlike ? resultOf(run, expected) : [],
    ...toldOtherwise(run, expected, (call) => !givenUp.has(call))
  ]
}

const isOfCall = (excuse: string): boolean => /^(Cancelled|Abandoned) /.test(excuse)

const isSame = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())

const toldOtherwise = (run: Outward, expected: Outward, isMeant: (call: string) => boolean = () => true) => {
  const [seen, wanted] = [conversation(run, isMeant), conversation(expected, isMeant)]
  return seen === wanted ? [] : [`the client got\n${seen}\nand not\n${wanted}`]
}

const resultOf = (run: Outward, expected: Outward): ReadonlyArray<string> => {
  const valueOf = ({ exit, keys }: Outward) =>
    exit !== undefined && Exit.isSuccess(exit) ? withoutKeys(JSON.stringify(exit.value), keys) : undefined
  const value = valueOf(run)
  const wanted = valueOf(expected)
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
const withoutKeys = (text: string | undefined, keys: Outward["keys"]): string | undefined =>
  Array.from(keys).reduce((text, [step, key]) => text?.replaceAll(key, `<key of ${step.split(" ")[1]}>`), text)

/**
 * What the server said: where the script returns their content, without answers;
 * without the ids of its questions and their pages, which hang on a secret of
 * the store.
 */
const conversation = (of: Outward, isMeant: (call: string) => boolean, withAnswers = false): string | undefined =>
  withoutKeys(
    Array.from(of.messages).filter(([call]) => isMeant(call)).map(([call, messages]) => {
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
    of.keys
  )
