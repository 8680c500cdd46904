/**
 * Random programs. A program is drawn as a tape of instructions for a stack:
 * leaves are put on it, and what combines takes from it; what is left runs one
 * after the other. Any part of a tape is a tape, so a program shrinks by leaving
 * instructions out.
 */
import { Arbitrary, Schema } from "effect"
import type { Program, Race, Racer, Step, Term } from "./program.ts"

const digit = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))

interface Instruction {
  readonly op: number
  readonly a: number
  readonly b: number
  readonly c: number
}

/** How often of 100 instructions; what comes first is the simplest. */
const shares: ReadonlyArray<readonly [count: number, instruct: (stack: Array<Program>, i: Instruction) => Program]> = [
  [4, (_, i) => ({ _tag: "Give", value: term(i) })],
  [12, (_, i) => step(i, {})],
  [9, (_, i) => step(i, { undo: true })],
  [7, (_, i) => step(i, failing(i))],
  [5, (_, i) => step(i, { ...failing(i), once: true })],
  [1, (_, i) => step(i, { fails: 1, how: "die" })],
  [3, (_, i) => step(i, { ...failing(i), how: "hang" })],
  [5, (_, i) => ({ _tag: "Sleep", name: "", ms: sleeps[i.a % 4] ?? 0 })],
  [8, (_, i) => ({
    _tag: "Question",
    name: "",
    of: i.a % 3 === 0 ? "model" : "user",
    reply: i.b < 6 ? "accept" : i.b < 8 ? "refuse" : "nothing",
    value: i.c,
    after: sleeps[i.a % 4] ?? 0,
    lasts: i.b < 8
  })],
  [6, (_, i) => ({ _tag: "Say", as: i.a % 2 === 0 ? "log" : "progress", value: term(i) })],
  [3, (_, i) => ({ _tag: "Fail", code: term(i) })],
  [3, (_, i) => race(i)],
  // What has lost comes after all, and must not matter to a replay.
  [4, (_, i) =>
    sequence(
      race(i),
      { _tag: "Sleep", name: "", ms: 90_000 },
      { _tag: "If", odd: { back: 1, plus: 0 }, yes: step(i, {}), no: { _tag: "Give", value: { back: 1, plus: 0 } } }
    )],
  // There is something to undo, in order.
  [
    4,
    (stack, i) =>
      sequence(step(i, { undo: true }), step(i, { undo: true }), pop(stack), { _tag: "Fail", code: term(i) })
  ],
  [2, (_, i) => ({ _tag: "Abandon", name: "", body: racer(i, 100 * (1 + i.b)), after: 50 + 100 * i.c })],
  [8, (stack, i) => step(i, { ...failing(i), inside: pop(stack) })],
  [6, (stack, i) => ({ _tag: "All", branches: popAll(stack, 2 + i.a % 2), atATime: 1 + i.b % 3 })],
  [5, (stack) => ({ _tag: "Catch", next: pop(stack), body: pop(stack) })],
  [4, (stack) => ({ _tag: "Ensure", last: pop(stack), body: pop(stack) })],
  [4, (stack, i) => ({ _tag: "If", odd: term(i), no: pop(stack), yes: pop(stack) })],
  [4, (stack, i) => ({ _tag: "Repeat", times: 1 + i.a % 3, body: pop(stack) })],
  [4, (stack) => ({ _tag: "Bind", next: pop(stack), first: pop(stack) })]
]

const instructions = shares.flatMap(([count, instruct]) => Array.from({ length: count }, () => instruct))

/** Shorter and longer than what a handler waits for in memory. */
const sleeps = [1_000, 3_000, 7_000, 20_000]
const pauses = [100, 1_000, 7_000]

const term = ({ a, b, c }: Instruction): Term => ({ back: a % 3 === 0 ? null : b % 3, plus: c })

const step = (i: Instruction, options: Partial<Step>): Step => ({
  _tag: "Step",
  name: "",
  takes: 100 * (i.b % 4),
  inside: { _tag: "Give", value: term(i) },
  fails: 0,
  how: "fail",
  retries: 0,
  pause: 0,
  once: false,
  undo: false,
  ...options
})

/** Mostly there are as many retries as it takes. */
const failing = ({ a, b, c }: Instruction) => ({
  fails: a % 4,
  retries: b < 8 ? a % 4 : 0,
  pause: pauses[c % 3] ?? 0
})

/** The loser is so far behind that no crash makes it the winner. */
const race = (i: Instruction): Race => {
  const question = { _tag: "Question", name: "", of: "user", value: i.c, lasts: true } as const
  const winner: Racer = i.b % 3 === 0
    ? racer(i, 250)
    : i.b % 3 === 1
    ? { _tag: "Sleep", name: "", ms: sleeps[i.c % 3] ?? 0 }
    : { ...question, reply: "accept", after: sleeps[i.c % 3] ?? 0 }
  const loser: Racer = i.c % 3 === 0
    ? racer(i, 60_000)
    : i.c % 3 === 1 || winner._tag === "Question"
    ? { _tag: "Sleep", name: "", ms: 60_000 }
    : { ...question, reply: "nothing", after: 0 }
  const [left, right] = i.a % 2 === 0 ? [winner, loser] : [loser, winner]
  return { _tag: "Race", name: "", inStep: i.a > 6, left, right }
}

const racer = (i: Instruction, takes: number): Step =>
  step(i, { takes, fails: i.c === 9 ? 1 : 0, how: i.b < 8 ? "fail" : "die" })

const sequence = (...programs: ReadonlyArray<Program>): Program =>
  programs.reduceRight((next, first) => ({ _tag: "Bind", first, next }))

const pop = (stack: Array<Program>): Program => stack.pop() ?? { _tag: "Give", value: { back: 0, plus: 1 } }

const popAll = (stack: Array<Program>, count: number): ReadonlyArray<Program> =>
  Array.from({ length: count }, () => pop(stack)).reverse()

const assemble = (tape: ReadonlyArray<Instruction>): Program => {
  const stack: Array<Program> = []
  for (const instruction of tape) {
    const instruct = instructions[instruction.op]
    if (instruct !== undefined) {
      stack.push(instruct(stack, instruction))
    }
  }
  return sequence(...stack)
}

/** Where a node is. */
interface Place {
  readonly inStep: boolean
  readonly beside: boolean
  readonly repeated: boolean
}

/**
 * Gives everything a name of its own, and leaves out what has no one meaning:
 *
 * - a compensation of a step inside a step, which the engine refuses;
 * - an at-most-once step inside a step: once for all attempts of that, so that a crash is not the last word of it;
 * - what is told or asked beside something else, whose order time decides;
 * - a race in a loop that is not in a step: who comes too late gets no number, and the next round gets it;
 * - the same question twice, which is what the crash kit takes for a question that is asked again.
 */
const lawful = (program: Program): Program => {
  let names = 0
  const name = (what: string) => `${what}${++names}`

  const stepAt = (step: Step, place: Place, what = "step"): Step => {
    const once = step.once && !place.inStep
    const inside: Program = once || step.how === "hang"
      ? { _tag: "Give", value: { back: 0, plus: 1 } }
      : at(step.inside, { ...place, inStep: true })
    return { ...step, name: name(what), once, undo: step.undo && !place.inStep, inside }
  }

  const racerAt = (racer: Racer, place: Place): Racer => {
    switch (racer._tag) {
      case "Step":
        return stepAt(racer, place)
      case "Sleep":
        return { ...racer, name: name("sleep") }
      case "Question":
        return place.beside || place.repeated
          ? { _tag: "Sleep", name: name("sleep"), ms: racer.reply === "nothing" ? 60_000 : racer.after }
          : { ...racer, name: name("ask") }
    }
  }

  const at = (program: Program, place: Place): Program => {
    switch (program._tag) {
      case "Give":
      case "Fail":
        return program
      case "Step":
        return stepAt(program, place, program.once ? "mail" : "step")
      case "Bind":
        return { ...program, first: at(program.first, place), next: at(program.next, place) }
      case "If":
        return { ...program, yes: at(program.yes, place), no: at(program.no, place) }
      case "Repeat":
        return { ...program, body: at(program.body, { ...place, repeated: true }) }
      case "Catch":
        return { ...program, body: at(program.body, place), next: at(program.next, place) }
      case "Ensure":
        return { ...program, body: at(program.body, place), last: at(program.last, place) }
      case "All":
        return { ...program, branches: program.branches.map((branch) => at(branch, { ...place, beside: true })) }
      case "Race": {
        const { left, right } = program
        const inStep = program.inStep || place.repeated
        const inRace = { ...place, inStep: place.inStep || inStep }
        const called = inStep ? name("race") : ""
        return { ...program, name: called, inStep, left: racerAt(left, inRace), right: racerAt(right, inRace) }
      }
      case "Abandon": {
        const called = name("abandon")
        return { ...program, name: called, body: stepAt(program.body, { ...place, inStep: true }) }
      }
      case "Sleep":
        return { ...program, name: name("sleep") }
      case "Question":
        return place.beside || place.repeated
          ? { _tag: "Give", value: { back: null, plus: program.value } }
          : { ...program, name: name(program.of === "user" ? "ask" : "sample") }
      case "Say":
        return place.beside ? { _tag: "Give", value: program.value } : program
    }
  }

  return at(program, { inStep: false, beside: false, repeated: false })
}

/** Random programs of at most so many nodes, or little more. */
export const programs = (max: number): Arbitrary.Arbitrary<Program> =>
  Arbitrary.array(
    Arbitrary.schema(Schema.Struct({
      op: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: instructions.length - 1 })),
      a: digit,
      b: digit,
      c: digit
    })),
    { minLength: 1, maxLength: max }
  ).pipe(Arbitrary.map((tape) => lawful(assemble(tape))))
