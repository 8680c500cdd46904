/**
 * `npm run kills`: a real SIGKILL at each point of the kill-point matrix, and at
 * every operation that a whole conversation does on its store: before it, within
 * it and after it; also while the next process recovers from the one before.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Runtime } from "effect"
import { Command, Flag } from "effect/cli"
import { conversation } from "../test/matrix/conversation.ts"
import * as KillPoint from "../test/matrix/KillPoint.ts"
import * as Nodes from "../test/matrix/Nodes.ts"
import { rows } from "../test/matrix/rows.ts"

/** How many servers at a time. */
const lanes = 2

/** Operations after its start at which the process after a kill is killed too, in some of the rounds. */
const recovery = 12

interface Line {
  kills: number
  readonly failures: Array<string>
}

/** What came of the kills, by where they fell. */
class Table {
  readonly #lines = new Map<string, Line>()

  add(name: string, kills: number, failure?: string): void {
    const line = this.#lines.get(name) ?? { kills: 0, failures: [] }
    this.#lines.set(name, line)
    line.kills += kills
    if (failure !== undefined) {
      line.failures.push(failure)
    }
  }

  get kills(): number {
    return Array.from(this.#lines.values()).reduce((sum, { kills }) => sum + kills, 0)
  }

  get failures(): ReadonlyArray<string> {
    return Array.from(this.#lines).flatMap(([name, { failures }]) => failures.map((failure) => `${name}: ${failure}`))
  }

  get text(): string {
    const names = Array.from(this.#lines.keys())
    const width = Math.max(...names.map((name) => name.length))
    return Array.from(
      this.#lines,
      ([name, { failures, kills }]) =>
        `${name.padEnd(width)}  ${String(kills).padStart(5)}  ${
          failures.length === 0 ? "ok" : `${failures.length} FAILED`
        }`
    ).join("\n")
  }
}

/** Runs the work in lanes of one server each. */
const inLanes = <A>(
  work: ReadonlyArray<A>,
  f: (nodes: Nodes.Nodes["Service"], item: A) => Effect.Effect<void>
) =>
  Effect.forEach(
    Array.from({ length: lanes }, (_, lane) => work.filter((_, i) => i % lanes === lane)),
    (items) =>
      Effect.provide(
        Effect.flatMap(Nodes.Nodes, (nodes) => Effect.forEach(items, (item) => f(nodes, item), { discard: true })),
        Nodes.layer,
        { local: true }
      ),
    { concurrency: lanes, discard: true }
  )

/** What is wrong, if anything. */
const failureOf = (run: ReturnType<typeof conversation>): Effect.Effect<string | undefined> =>
  Effect.map(
    Effect.exit(Effect.timeout(Effect.scoped(run), "60 seconds")),
    (exit) => Exit.isSuccess(exit) ? undefined : Cause.pretty(exit.cause)
  )

const matrix = (table: Table) =>
  inLanes(
    rows,
    Effect.fnUntraced(function*(nodes, { between, run }) {
      const before = nodes.kills()
      nodes.forgetEffects()
      const failure = yield* failureOf(run(nodes))
      table.add(between, nodes.kills() - before, failure)
    })
  )

/** Every point of a conversation. */
const pointsOf = Effect.gen(function*() {
  const nodes = yield* Nodes.Nodes
  yield* nodes.arm(KillPoint.nth(Number.MAX_SAFE_INTEGER, 0))
  yield* Effect.scoped(conversation(nodes))
  return (yield* nodes.operations).flatMap(({ writes }, i) =>
    Array.from({ length: writes + 1 }, (_, applied) => KillPoint.nth(i + 1, applied))
  )
}).pipe(Effect.provide(Nodes.layer, { local: true }))

const sweep = Effect.fnUntraced(function*(table: Table, most: number) {
  const points = yield* pointsOf
  const every = Math.max(1, points.length / most)
  const chosen = points.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every))
  yield* Console.log(`A conversation has ${points.length} points to die at; ${chosen.length} of them are killed at.\n`)
  yield* inLanes(
    chosen.map((point, round) => ({ point, round })),
    Effect.fnUntraced(function*(nodes, { point, round }) {
      nodes.forgetEffects()
      const deaths = nodes.deaths().length
      if (round % 3 === 0) {
        nodes.next({ dieAt: KillPoint.nth(1 + round / 3 % recovery, round % 2 === 0 ? 0 : "all") })
      }
      yield* nodes.arm(point)
      const failure = yield* failureOf(conversation(nodes))
      const [at, ...inRecovery] = nodes.deaths().slice(deaths)
      table.add(at === undefined ? "nowhere: it had fewer operations" : `at ${at}`, at === undefined ? 0 : 1, failure)
      inRecovery.forEach((at) => table.add(`in recovery, at ${at}`, 1))
    })
  )
})

const kills = Command.make(
  "kills",
  {
    points: Flag.Int("points").pipe(
      Flag.withDescription("Points of the conversation to kill at, at most"),
      Flag.withDefault(260)
    )
  },
  Effect.fnUntraced(function*({ points }) {
    const began = performance.now()
    const table = new Table()
    yield* matrix(table)
    yield* sweep(table, points)
    yield* Console.log(table.text)
    yield* Effect.forEach(table.failures, (failure) => Console.error(`\n${failure}`))
    const seconds = Math.round((performance.now() - began) / 1000)
    yield* Console.log(`\n${table.kills} kills, ${table.failures.length} failures, ${seconds} s`)
    if (table.failures.length > 0) {
      return yield* Effect.die(new Error("Something was lost, or done twice"))
    }
  })
)

kills.pipe(
  Command.withDescription(
    "Kills a server at every point of a conversation; nothing may be lost, and nothing done twice"
  ),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ teardown: (exit) => Runtime.defaultTeardown(exit, (code) => process.exit(code)) })
)
