/**
 * Random programs with random crashes, held to the reference interpreter, which
 * knows of neither.
 */
import { Arbitrary, Data, Effect, Layer } from "effect"
import { DurableMcp, Store } from "effect-durable-mcp"
import type * as Client from "../../src/testing/Client.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import type * as Disk from "../../src/testing/Disk.ts"
import type * as Schedule from "../../src/testing/Schedule.ts"
import { programs } from "./arbitrary.ts"
import * as Handler from "./handler.ts"
import { print } from "./print.ts"
import type { Outcome, Program } from "./program.ts"
import { meaning } from "./reference.ts"

/** A program came to something else than it means. */
export class Deviation extends Data.TaggedError("Deviation")<{
  readonly message: string
  readonly program: Program
  /** Of the schedule. */
  readonly token: string
  readonly violations: ReadonlyArray<string>
}> {}

export interface Report {
  readonly programs: number
  readonly crashes: number
  /** Effects that were attempted again, because their step was cut off. */
  readonly repeated: number
  /** How many programs had a node of this kind. */
  readonly nodes: ReadonlyMap<string, number>
  /** How the programs ended. */
  readonly outcomes: ReadonlyMap<string, number>
}

/** What the client of a program saw. */
interface Seen {
  readonly outcome: Outcome
  readonly said: ReadonlyArray<string>
}

export interface Server {
  /** Default: `Disk.memory`. */
  readonly disk?: Disk.Disk | undefined
  /** Plants a bug between the engine and its store. */
  readonly over?: ((store: Store.Store["Service"]) => Partial<Store.Store["Service"]>) | undefined
}

/** Runs a program under a schedule, and compares what came of it with what it means. */
export const run = (
  program: Program,
  crashes: Schedule.Schedule | string,
  { disk, over }: Server = {}
): Effect.Effect<CrashTest.Run<Seen>, Deviation> => {
  const app = DurableMcp.layerHttp({
    name: "model",
    version: "1.0.0",
    path: "/mcp",
    registrations: Handler.registrations
  })
  return CrashTest.run({
    app: over === undefined ? app : Layer.provide(
      app,
      Layer.effect(Store.Store)(Effect.map(Store.Store, (store) => ({ ...store, ...over(store) })))
    ),
    disk,
    answer: Handler.answer,
    script: (client: Client.Client) => Handler.call(client, program),
    crashes,
    expect: { satisfies: (run) => deviations(program, run) }
  }).pipe(
    Effect.mapError(({ message, token, violations }) =>
      new Deviation({ program, token, violations, message: `The program\n\n${print(program)}\n\n${message}` })
    )
  )
}

/** What came of a run and is not what the program means. */
const deviations = (program: Program, run: CrashTest.Run<Seen>): ReadonlyArray<string> => {
  const { value }: { readonly value: Seen | undefined } = run
  if (value === undefined) {
    return ["the client came to no end"]
  }
  const interrupted = new Set(
    run.excuses.filter((excuse) => excuse.startsWith(cutOff)).map((excuse) => excuse.slice(cutOff.length))
  )
  const expected = meaning(program, interrupted)
  const differs = (what: string, seen: unknown, meant: unknown) =>
    JSON.stringify(seen) === JSON.stringify(meant)
      ? []
      : [`${what}: ${JSON.stringify(seen)}, and the program means ${JSON.stringify(meant)}`]
  // Nobody knows whether what was cut off took place.
  const unknown = new Set(Array.from(interrupted, (path) => path.replace(/#.*/, "")))
  const counts = (effects: ReadonlyMap<string, number>) =>
    Array.from(effects).filter(([name]) => !unknown.has(name)).sort(([a], [b]) => a < b ? -1 : 1)
  const undone = run.timeline
    .filter(({ lane }) => lane === "world")
    .flatMap(({ text }) => /^undo (\w+)$/.exec(text)?.[1] ?? [])
  // Which of two steps beside each other was done last, time decides.
  const inOrder = (names: ReadonlyArray<string>) => has(program, "All") ? names.toSorted() : names
  return [
    ...differs("the outcome", value.outcome, expected.outcome),
    ...differs("the effects", counts(run.world.effects), counts(expected.effects)),
    ...differs("what was undone", inOrder(undone), inOrder(expected.undone)),
    ...differs("what the client was told", value.said, expected.said)
  ]
}

const cutOff = "StepInterrupted "

const has = (program: Program, tag: Program["_tag"]): boolean => JSON.stringify(program).includes(`"_tag":"${tag}"`)

/** As many random programs, each with a random schedule. A deviation is made smaller before it is reported. */
export const modelChecking = Effect.fnUntraced(function*(
  options: Server & {
    readonly programs: number
    readonly seed: number | string
    /** Most nodes of a program, about. Default 14. */
    readonly nodes?: number | undefined
    /** Most faults of a schedule. Default 4. */
    readonly faults?: number | undefined
    /** Default: all. */
    readonly kinds?: ReadonlyArray<Schedule.Kind> | undefined
    /** Default 400. */
    readonly maxShrinks?: number | undefined
  }
): Effect.fn.Return<Report, Deviation> {
  const nodes = new Map<string, number>()
  const outcomes = new Map<string, number>()
  const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
  let crashes = 0
  let repeated = 0

  const checked = yield* Arbitrary.checkEffect(
    Arbitrary.all({
      program: programs(options.nodes ?? 14),
      schedule: CrashTest.schedules({ max: options.faults ?? 4, kinds: options.kinds })
    }),
    Effect.fnUntraced(function*({ program, schedule }) {
      // A jump decides races.
      const fair = has(program, "Race") ? schedule.filter(({ _tag }) => _tag !== "ClockJump") : schedule
      const survived = yield* run(program, fair, options)
      crashes += survived.crashes
      repeated += survived.repeated
      count(outcomes, survived.value.outcome._tag)
      for (const tag of new Set(JSON.stringify(program).match(/(?<="_tag":")\w+/g))) {
        count(nodes, tag)
      }
      return true
    }),
    { runs: options.programs, seed: options.seed, size: options.nodes ?? 14, maxShrinks: options.maxShrinks ?? 400 }
  )
  if (checked._tag === "Falsified" && checked.failure._tag === "PropertyError") {
    return yield* checked.failure.error
  }
  return { programs: options.programs, crashes, repeated, nodes, outcomes }
})
