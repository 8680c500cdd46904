/**
 * What a program means on the engine: one tool that runs any of them, and a
 * client that answers its questions.
 */
import { Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import type * as Client from "../../src/testing/Client.ts"
import { World } from "../../src/testing/World.ts"
import {
  codes,
  deadline,
  modulus,
  type Outcome,
  Program,
  type Question,
  type Step,
  type Term,
  timeout
} from "./program.ts"

class Failed extends Schema.TaggedError<Failed>("Failed")("Failed", { code: Schema.Int }) {}

type Failure = Failed | Durable.StepTimedOut | Durable.StepInterrupted

const Failure = Schema.Union([Failed, Durable.StepTimedOut, Durable.StepInterrupted])

const Success = Schema.Struct({ value: Schema.Int })

const Run = Tool.make("run", {
  parameters: Schema.Struct({ program: Program }),
  success: Success,
  failure: Failure
})

const Tools = Toolkit.make(Run)

type Running = Effect.Effect<number, Failure>

const interpreter = (world: World["Service"]) => {
  const evaluate = (program: Program, values: ReadonlyArray<number>): Running =>
    Effect.suspend(() => {
      const number = ({ back, plus }: Term) => (back === null ? 0 : values.at(-1 - back) ?? 0) + plus
      const run = (program: Program, ...more: ReadonlyArray<number>) => evaluate(program, [...values, ...more])
      switch (program._tag) {
        case "Give":
          return Effect.succeed(number(program.value) % modulus)
        case "Fail":
          return Effect.fail(new Failed({ code: number(program.code) }))
        case "Bind":
          return Effect.flatMap(run(program.first), (value) => run(program.next, value))
        case "If":
          return run(number(program.odd) % 2 === 1 ? program.yes : program.no)
        case "Repeat":
          return Effect.gen(function*() {
            let value = 0
            for (let i = 0; i < program.times; i++) {
              value = yield* run(program.body, value)
            }
            return value
          })
        case "Catch":
          return Effect.catch(run(program.body), (failure) => run(program.next, codeOf(failure)))
        case "Ensure":
          return Effect.ensuring(run(program.body), Effect.exit(run(program.last)))
        case "All":
          return Effect.map(
            Effect.forEach(program.branches, (branch) => caught(run(branch)), { concurrency: program.atATime }),
            (codes) => codes.reduce((sum, code) => sum * 3 + code, 0) % modulus
          )
        case "Sleep":
          return Effect.as(Durable.sleep(program.name, program.ms), program.ms / 1000)
        case "Say": {
          const value = number(program.value)
          return Effect.as(
            program.as === "log" ? Durable.log(value) : Durable.progress({ progress: value }),
            value % modulus
          )
        }
        case "Question":
          return program.of === "user" ? askUser(program) : askModel(program)
        case "Race": {
          const race = Effect.raceFirst(run(program.left), run(program.right))
          return program.inStep ? Durable.step(program.name, race, { error: Failure }) : race
        }
        case "Abandon":
          return Durable.step(
            program.name,
            Effect.gen(function*() {
              const fiber = yield* Effect.forkChild(step(program.body, values))
              yield* Effect.sleep(program.after)
              yield* Fiber.interrupt(fiber)
              return program.after % modulus
            })
          )
        case "Step":
          return step(program, values)
      }
    })

  const step = (program: Step, values: ReadonlyArray<number>): Running => {
    const { fails, how, inside, name, once, pause, retries, takes } = program
    return Durable.step(
      name,
      ({ attempt, key }) =>
        Effect.gen(function*() {
          yield* world.effect(name, once ? {} : { key })
          yield* Effect.sleep(takes)
          const value = yield* evaluate(inside, values)
          if (attempt > fails) {
            return value
          }
          return how === "fail"
            ? yield* new Failed({ code: attempt })
            : how === "die"
            ? yield* Effect.die(new Error(name))
            : yield* Effect.never
        }),
      {
        error: Failure,
        atMostOnce: once,
        ...retries === 0 ? {} : { retry: { times: retries, schedule: Schedule.spaced(pause) } },
        ...how === "hang" ? { timeout: takes + timeout } : {},
        ...program.undo
          ? { compensate: (_value, _cause, { key }) => Effect.asVoid(world.effect(`undo ${name}`, { key })) }
          : {}
      }
    )
  }
  return evaluate
}

const codeOf = (failure: Failure): number => {
  switch (failure._tag) {
    case "Failed":
      return codes.caught + failure.code
    case "StepTimedOut":
      return codes.timedOut
    case "StepInterrupted":
      return codes.interrupted
  }
}

/** A number whatever it ends with, also for what died. */
const caught = (running: Running): Effect.Effect<number> =>
  running.pipe(
    Effect.catch((failure) => Effect.succeed(codeOf(failure))),
    Effect.catchDefect(() => Effect.succeed(codes.died))
  )

// -----------------------------------------------------------------------------
// questions
// -----------------------------------------------------------------------------

/** What the client is to say goes with the question. */
const Plan = Schema.fromJsonString(Schema.Struct({
  name: Schema.String,
  reply: Schema.Literals(["accept", "refuse", "nothing"]),
  value: Schema.Int,
  after: Schema.Int
}))

const plan = ({ after, name, reply, value }: Question): string => Schema.encodeSync(Plan)({ name, reply, value, after })

const askUser = (question: Question): Effect.Effect<number> =>
  Effect.map(
    Durable.elicit(question.name, {
      message: plan(question),
      schema: Schema.Struct({ value: Schema.Int }),
      timeout: question.lasts ? undefined : deadline
    }),
    (answer) =>
      answer._tag === "Accepted"
        ? answer.content.value
        : answer._tag === "Declined"
        ? codes.refused
        : answer._tag === "TimedOut"
        ? codes.unanswered
        : codes.unexpected
  )

const askModel = (question: Question): Effect.Effect<number> =>
  Durable.sample(question.name, {
    messages: [{ role: "user", content: { type: "text", text: plan(question) } }],
    maxTokens: 1,
    timeout: question.lasts ? "23 hours" : deadline
  }).pipe(
    Effect.map(({ content }) => "text" in content ? Number(content.text) : codes.unexpected),
    Effect.catch(({ reason }) =>
      Effect.succeed(
        reason === "Refused" ? codes.refused : reason === "TimedOut" ? codes.unanswered : codes.unexpected
      )
    )
  )

/** The plan that came with a question. */
export const planOf = (message: Pick<Client.Question, "method" | "params">): typeof Plan["Type"] =>
  Schema.decodeUnknownSync(Plan)(
    message.method === "elicitation/create"
      ? message.params.message
      : (message.params.messages as ReadonlyArray<{ readonly content: { readonly text: string } }>)[0]?.content.text
  )

/** A client that says what the question tells it to say. */
export const answer = Effect.fnUntraced(function*(question: Client.Question) {
  const { after, reply, value } = planOf(question)
  if (reply === "nothing") {
    return
  }
  yield* Effect.sleep(after)
  if (question.method === "elicitation/create") {
    return reply === "accept" ? { action: "accept", content: { value } } : { action: "decline" }
  }
  return reply === "accept"
    ? { role: "assistant", model: "model", content: { type: "text", text: String(value) } }
    : yield* question.fail({ code: -1, message: "The user refused" })
})

/** Calls the tool, and says in the words of the reference what came of it. */
export const call = Effect.fnUntraced(function*(client: Client.Client, program: Program) {
  const call = yield* client.start("run", { program: yield* Effect.orDie(encodeProgram(program)) })
  const outcome = yield* Effect.orDie(Effect.flatMap(call.answer, decodeAnswer))
  const messages = yield* call.messages
  const said: ReadonlyArray<string> = messages.flatMap((message) => saidBy(message))
  return { outcome, said }
})

const saidBy = ({ method, params = {} }: Client.Message): ReadonlyArray<string> => {
  switch (method) {
    case "notifications/message":
      return [`log ${params.data}`]
    case "notifications/progress":
      // The heartbeat adds a fraction.
      return Number.isInteger(params.progress) ? [`progress ${params.progress}`] : []
    case "notifications/cancelled":
      return ["withdraw"]
    default:
      return method === undefined ? [] : [`ask ${planOf({ method, params }).name}`]
  }
}

const encodeProgram = Schema.encodeEffect(Schema.toCodecJson(Program))

const decodeAnswer = (answer: unknown): Effect.Effect<Outcome, Schema.SchemaError> =>
  Effect.map(Schema.decodeUnknownEffect(Answer)(answer), ({ result: { content: [{ text }], isError } }): Outcome => {
    if (!isError) {
      return { _tag: "Value", value: Schema.decodeSync(Schema.fromJsonString(Success))(text).value }
    }
    return text.endsWith("timed out")
      ? { _tag: "TimedOut" }
      : text.endsWith("was cut off and may not run again")
      ? { _tag: "Interrupted" }
      : text === "Tool execution failed due to an internal server error."
      ? { _tag: "Died" }
      : { _tag: "Failed", code: Schema.decodeSync(Schema.fromJsonString(Failed))(text).code }
  })

const Answer = Schema.Struct({
  result: Schema.Struct({
    isError: Schema.Boolean,
    content: Schema.Tuple([Schema.Struct({ text: Schema.String })])
  })
})

// -----------------------------------------------------------------------------
// server
// -----------------------------------------------------------------------------

/** Runs any program: `run({ program })`. */
export const registrations = DurableMcp.toolkit(Tools).pipe(
  Layer.provide(Tools.toLayer(Effect.map(World, (world) => {
    const evaluate = interpreter(world)
    return Tools.of({
      run: ({ program }) => Effect.map(evaluate(program, []), (value) => ({ value }))
    })
  })))
)
