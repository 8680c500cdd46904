/**
 * Programs as data: all that a handler can do durably, as a tree. What a
 * program means is said twice, by `handler.ts` on the engine and by
 * `reference.ts` without it.
 */
import { Schema } from "effect"

/** A value of an earlier node (0: the one before, 1: the one before that …), and something on top. */
export interface Term {
  readonly back: number | null
  readonly plus: number
}

export type Program =
  | { readonly _tag: "Give"; readonly value: Term }
  | { readonly _tag: "Fail"; readonly code: Term }
  | Step
  /** What comes after may use the value. */
  | { readonly _tag: "Bind"; readonly first: Program; readonly next: Program }
  | { readonly _tag: "If"; readonly odd: Term; readonly yes: Program; readonly no: Program }
  | { readonly _tag: "Repeat"; readonly times: number; readonly body: Program }
  | { readonly _tag: "Catch"; readonly body: Program; readonly next: Program }
  | { readonly _tag: "Ensure"; readonly body: Program; readonly last: Program }
  | { readonly _tag: "All"; readonly branches: ReadonlyArray<Program>; readonly atATime: number }
  | Race
  | { readonly _tag: "Abandon"; readonly name: string; readonly body: Step; readonly after: number }
  | Sleep
  | Question
  | { readonly _tag: "Say"; readonly as: "log" | "progress"; readonly value: Term }

export interface Step {
  readonly _tag: "Step"
  readonly name: string
  /** Milliseconds of every attempt. */
  readonly takes: number
  readonly inside: Program
  /** How many attempts do not succeed, and in which way. */
  readonly fails: number
  readonly how: "fail" | "die" | "hang"
  readonly retries: number
  /** Milliseconds between attempts. */
  readonly pause: number
  readonly once: boolean
  readonly undo: boolean
}

/** The one that is done first wins. */
export interface Race {
  readonly _tag: "Race"
  readonly name: string
  /** In a step of that name. */
  readonly inStep: boolean
  readonly left: Racer
  readonly right: Racer
}

export type Racer = Step | Sleep | Question

export interface Sleep {
  readonly _tag: "Sleep"
  readonly name: string
  readonly ms: number
}

export interface Question {
  readonly _tag: "Question"
  readonly name: string
  readonly of: "user" | "model"
  /** What the client says, after milliseconds; `nothing`: until the deadline. */
  readonly reply: "accept" | "refuse" | "nothing"
  readonly value: number
  readonly after: number
  /** There is no deadline. */
  readonly lasts: boolean
}

const Term = Schema.Struct({ back: Schema.NullOr(Schema.Int), plus: Schema.Int })

const Nested = Schema.suspend((): Schema.Codec<Program> => Program)

const Step = Schema.TaggedStruct("Step", {
  name: Schema.String,
  takes: Schema.Int,
  inside: Nested,
  fails: Schema.Int,
  how: Schema.Literals(["fail", "die", "hang"]),
  retries: Schema.Int,
  pause: Schema.Int,
  once: Schema.Boolean,
  undo: Schema.Boolean
})

const Sleep = Schema.TaggedStruct("Sleep", { name: Schema.String, ms: Schema.Int })

const Question = Schema.TaggedStruct("Question", {
  name: Schema.String,
  of: Schema.Literals(["user", "model"]),
  reply: Schema.Literals(["accept", "refuse", "nothing"]),
  value: Schema.Int,
  after: Schema.Int,
  lasts: Schema.Boolean
})

const Racer = Schema.Union([Step, Sleep, Question])

export const Program: Schema.Codec<Program> = Schema.Union([
  Schema.TaggedStruct("Give", { value: Term }),
  Schema.TaggedStruct("Fail", { code: Term }),
  Step,
  Schema.TaggedStruct("Bind", { first: Nested, next: Nested }),
  Schema.TaggedStruct("If", { odd: Term, yes: Nested, no: Nested }),
  Schema.TaggedStruct("Repeat", { times: Schema.Int, body: Nested }),
  Schema.TaggedStruct("Catch", { body: Nested, next: Nested }),
  Schema.TaggedStruct("Ensure", { body: Nested, last: Nested }),
  Schema.TaggedStruct("All", { branches: Schema.Array(Nested), atATime: Schema.Int }),
  Schema.TaggedStruct("Race", { name: Schema.String, inStep: Schema.Boolean, left: Racer, right: Racer }),
  Schema.TaggedStruct("Abandon", { name: Schema.String, body: Step, after: Schema.Int }),
  Sleep,
  Question,
  Schema.TaggedStruct("Say", { as: Schema.Literals(["log", "progress"]), value: Term })
])

/** What a program ends with. */
export type Outcome =
  | { readonly _tag: "Value"; readonly value: number }
  | { readonly _tag: "Failed"; readonly code: number }
  | { readonly _tag: "TimedOut" }
  | { readonly _tag: "Interrupted" }
  | { readonly _tag: "Died" }

/** Numbers in which programs see what is no number. */
export const codes = {
  timedOut: 901,
  interrupted: 902,
  refused: 903,
  unanswered: 904,
  died: 905,
  unexpected: 906,
  caught: 1000
}

/** Values stay below. */
export const modulus = 1009

/** Milliseconds after which an attempt that hangs is given up, and a question that nobody answers. */
export const timeout = 2_000
export const deadline = 60_000
