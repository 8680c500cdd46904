/**
 * What a program means, said in one breath: no store, no replay, no time, no
 * crash. The engine must come to the same, whatever happens to it.
 */
import { codes, modulus, type Outcome, type Program, type Question, type Racer, type Term } from "./program.ts"

export interface Meaning {
  readonly outcome: Outcome
  /** How often each effect takes place. */
  readonly effects: ReadonlyMap<string, number>
  /** What the client hears, in order. */
  readonly said: ReadonlyArray<string>
  /** Steps that are undone, in order. */
  readonly undone: ReadonlyArray<string>
}

/** Names within one attempt of a step, or of the body. */
interface Frame {
  readonly path: string
  readonly uses: Map<string, number>
}

/** `interrupted`: paths of at-most-once steps that a crash has cut off, which nobody can foresee. */
export const meaning = (program: Program, interrupted: ReadonlySet<string> = new Set()): Meaning => {
  const done = new Map<string, number>()
  const happened = new Map<string, string>()
  const asked = new Set<string>()
  const said: Array<string> = []
  /** Questions that nobody has answered in the end. */
  const withdrawn: Array<string> = []
  const undo: Array<string> = []
  let progress = -Infinity

  const ask = ({ lasts, name, reply }: Question, frame: Frame) => {
    const path = enter(frame, name)
    if (!asked.has(path)) said.push(`ask ${name}`)
    if (!asked.has(path) && reply === "nothing") (lasts ? withdrawn : said).push("withdraw")
    asked.add(path)
  }

  const evaluate = (program: Program, frame: Frame, values: ReadonlyArray<number>): Outcome => {
    const number = ({ back, plus }: Term) => (back === null ? 0 : values.at(-1 - back) ?? 0) + plus
    const run = (program: Program, ...more: ReadonlyArray<number>) => evaluate(program, frame, [...values, ...more])
    switch (program._tag) {
      case "Give":
        return value(number(program.value))
      case "Fail":
        return { _tag: "Failed", code: number(program.code) }
      case "Bind": {
        const first = run(program.first)
        return first._tag === "Value" ? run(program.next, first.value) : first
      }
      case "If":
        return run(number(program.odd) % 2 === 1 ? program.yes : program.no)
      case "Repeat": {
        let outcome = value(0)
        for (let i = 0; i < program.times && outcome._tag === "Value"; i++) outcome = run(program.body, outcome.value)
        return outcome
      }
      case "Catch": {
        const outcome = run(program.body)
        return outcome._tag === "Value" || outcome._tag === "Died" ? outcome : run(program.next, code(outcome))
      }
      case "Ensure": {
        const outcome = run(program.body)
        run(program.last)
        return outcome
      }
      case "All":
        return value(program.branches.reduce((sum, branch) => sum * 3 + code(run(branch)), 0) % modulus)
      case "Sleep":
        return value(program.ms / 1000)
      case "Say": {
        const n = number(program.value)
        if (program.as === "log" || n > progress) said.push(`${program.as} ${n}`)
        if (program.as === "progress") progress = Math.max(progress, n)
        return value(n)
      }
      case "Question":
        ask(program, frame)
        return value({ accept: program.value, refuse: codes.refused, nothing: codes.unanswered }[program.reply])
      case "Race": {
        const inner = program.inStep ? { path: `${enter(frame, program.name)}/`, uses: new Map() } : frame
        const leftWins = length(program.left) < length(program.right)
        const [winner, loser] = leftWins ? [program.left, program.right] : [program.right, program.left]
        if (loser._tag === "Step") happened.set(enter(inner, loser.name), loser.name)
        if (loser._tag === "Question") ask(loser, inner)
        return evaluate(winner, inner, values)
      }
      case "Abandon": {
        const inner = { path: `${enter(frame, program.name)}/`, uses: new Map() }
        if (program.body.takes < program.after) evaluate(program.body, inner, values)
        else happened.set(enter(inner, program.body.name), program.body.name)
        return value(program.after)
      }
      case "Step": {
        const { fails, how, inside, name, once, retries } = program
        const path = enter(frame, name)
        if (interrupted.has(path)) return { _tag: "Interrupted" }
        const before = done.get(path)
        if (before !== undefined) return value(before)
        for (let attempt = 1;; attempt++) {
          happened.set(once ? `${path}@${attempt}` : path, name)
          const inner = evaluate(inside, { path: `${path}/`, uses: new Map() }, values)
          const outcome: Outcome = inner._tag !== "Value" || attempt > fails
            ? inner
            : { fail: { _tag: "Failed" as const, code: attempt }, die: died, hang: timedOut }[how]
          if (outcome._tag === "Value") {
            done.set(path, outcome.value)
            if (program.undo) undo.push(name)
          }
          if (outcome._tag === "Value" || outcome._tag === "Died" || attempt > retries) return outcome
        }
      }
    }
  }

  const outcome = evaluate(program, { path: "", uses: new Map() }, [])
  const undone = outcome._tag === "Value" || outcome._tag === "Interrupted" ? [] : undo.toReversed()
  const effects = new Map<string, number>()
  for (const name of [...happened.values(), ...undone.map((name) => `undo ${name}`)]) {
    effects.set(name, (effects.get(name) ?? 0) + 1)
  }
  return { outcome, effects, said: [...said, ...withdrawn], undone }
}

const value = (value: number): Outcome => ({ _tag: "Value", value: value % modulus })
const died: Outcome = { _tag: "Died" }
const timedOut: Outcome = { _tag: "TimedOut" }

const code = (outcome: Outcome): number => {
  switch (outcome._tag) {
    case "Value":
      return outcome.value
    case "Failed":
      return codes.caught + outcome.code
    default:
      return { TimedOut: codes.timedOut, Interrupted: codes.interrupted, Died: codes.died }[outcome._tag]
  }
}

/** How long it takes; the winner of a race is far ahead. */
const length = (racer: Racer): number =>
  racer._tag === "Step"
    ? racer.takes
    : racer._tag === "Sleep"
    ? racer.ms
    : racer.reply === "nothing"
    ? Infinity
    : racer.after

/** `charge`, `charge#2`, `outer/charge`. */
const enter = ({ path, uses }: Frame, name: string): string => {
  const use = (uses.get(name) ?? 0) + 1
  uses.set(name, use)
  return path + (use === 1 ? name : `${name}#${use}`)
}
