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
  const value = JSON.stringify(run.exit.value)
  const wanted = JSON.stringify(expected.exit.value)
  return [
    ...value === wanted ? [] : [`the result is ${value} and not ${wanted}`],
    ...toldOtherwise(run, expected),
    ...effectsOf(run, expected)
  ]
}

/**
 * How differs what the clients were told, without the calls that are left out:
 * what excuses one call excuses no other.
 *
 * @internal
 */
export const toldOtherwise = (
  run: Pick<Outward, "messages">,
  expected: Pick<Outward, "messages">,
  leftOut: ReadonlySet<string> = new Set()
): ReadonlyArray<string> => {
  const told = ({ messages }: Pick<Outward, "messages">) =>
    conversation(new Map(Array.from(messages).filter(([call]) => !leftOut.has(call))))
  const [seen, wanted] = [told(run), told(expected)]
  return seen === wanted ? [] : [`the client got\n${seen}\nand not\n${wanted}`]
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

/**
 * What the server said: without answers, whose content the script returns, and
 * without the ids of its questions and their pages, which hang on a secret of
 * the store.
 */
const conversation = (calls: ReadonlyMap<string, ReadonlyArray<string>>): string =>
  Array.from(calls, ([call, messages]) => {
    const said = messages.map((text) => JSON.parse(text)).filter(({ method }) => method !== undefined)
    const told = said.map(({ method, params }) => `    ${method} ${JSON.stringify(params)}\n`)
    // What belongs to no call, a step that was cut off raises again: which messages there are counts, not how often.
    const lines = (call.endsWith("own stream") ? Array.from(new Set(told)).sort() : told).join("")
    const secrets = said.flatMap(({ id, params }) => [id, params?.elicitationId]).filter((id) => typeof id === "string")
    return secrets.reduce(
      (text, secret, i) => text.replaceAll(secret, `<question ${i + 1} of the call>`),
      `  ${call}:\n${lines}`
    )
  }).sort().join("")
