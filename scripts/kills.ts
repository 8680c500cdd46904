/**
 * `npm run kills`: a real SIGKILL at each point of the kill-point matrix, and at
 * every operation that a whole conversation does on its store: before it, within
 * it and after it; also while the next process recovers from the one before.
 * `npm run kills -- --store reboot`: on another store.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Option, Runtime, type Scope } from "effect"
import { Command, Flag } from "effect/cli"
import { conversation } from "../test/matrix/conversation.ts"
import * as KillPoint from "../test/matrix/KillPoint.ts"
import * as Nodes from "../test/matrix/Nodes.ts"
import { officialConversation } from "../test/matrix/official.ts"
import { rows } from "../test/matrix/rows.ts"

/** How many servers at a time. */
const lanes = 2

/** In every so many rounds the process after a kill is killed too, */
const recoveryEvery = 3

/** at one of its first so many operations. */
const recovery = 12

/** A server on Reboot takes seconds to start. */
const mostPoints: Readonly<Record<Nodes.Store, number>> = { sqlite: 240, reboot: 24 }

interface Line {
  kills: number
  failures: number
}

/** What came of the kills, by where they fell. A failure is told at once. */
class Table {
  readonly #lines = new Map<string, Line>()

  add(name: string, kills: number, failure?: string): Effect.Effect<void> {
    const line = this.#lines.get(name) ?? { kills: 0, failures: 0 }
    this.#lines.set(name, line)
    line.kills += kills
    line.failures += failure === undefined ? 0 : 1
    return failure === undefined ? Effect.void : Console.error(`${name}: ${failure}\n`)
  }

  get kills(): number {
    return this.#sum("kills")
  }

  get failures(): number {
    return this.#sum("failures")
  }

  get text(): string {
    const width = Math.max(...Array.from(this.#lines.keys(), (name) => name.length))
    return Array.from(
      this.#lines,
      ([name, { failures, kills }]) =>
        `${name.padEnd(width)}  ${String(kills).padStart(5)}  ${failures === 0 ? "ok" : `${failures} FAILED`}`
    ).join("\n")
  }

  #sum(what: keyof Line): number {
    return Array.from(this.#lines.values()).reduce((sum, line) => sum + line[what], 0)
  }
}

/** Runs the work in lanes of one server each. */
const inLanes = <A>(
  store: Nodes.Store,
  work: ReadonlyArray<A>,
  f: (nodes: Nodes.Nodes["Service"], item: A) => Effect.Effect<void>
) =>
  Effect.forEach(
    Array.from({ length: lanes }, (_, lane) => work.filter((_, i) => i % lanes === lane)),
    (items) =>
      Effect.provide(
        Effect.flatMap(Nodes.Nodes, (nodes) => Effect.forEach(items, (item) => f(nodes, item), { discard: true })),
        Nodes.layerOn(store),
        { local: true }
      ),
    { concurrency: lanes, discard: true }
  )

/** What is wrong, if anything. */
const failureOf = (run: Effect.Effect<void, never, Scope.Scope>): Effect.Effect<string | undefined> =>
  Effect.map(
    Effect.exit(Effect.timeout(Effect.scoped(run), "60 seconds")),
    (exit) => Exit.isSuccess(exit) ? undefined : Cause.pretty(exit.cause)
  )

const matrix = (store: Nodes.Store, table: Table) =>
  inLanes(
    store,
    rows,
    Effect.fnUntraced(function*(nodes, { between, run }) {
      const before = nodes.kills()
      nodes.forgetEffects()
      const failure = yield* failureOf(run(nodes))
      yield* table.add(between, nodes.kills() - before, failure)
    })
  )

/** By a client that writes down what it sees, and by the official SDK's. */
const conversations = { raw: conversation, official: officialConversation }

type Client = keyof typeof conversations

/** Every point of a conversation. */
const pointsOf = Effect.fnUntraced(function*(client: Client) {
  const nodes = yield* Nodes.Nodes
  nodes.forgetEffects()
  yield* nodes.arm(KillPoint.nth(Number.MAX_SAFE_INTEGER, 0))
  yield* Effect.scoped(conversations[client](nodes))
  return (yield* nodes.operations).flatMap(({ writes }, i) =>
    Array.from({ length: writes + 1 }, (_, applied) => ({ client, point: KillPoint.nth(i + 1, applied) }))
  )
})

const sweep = Effect.fnUntraced(function*(store: Nodes.Store, table: Table, most: number) {
  const points = yield* Effect.all([pointsOf("raw"), pointsOf("official")]).pipe(
    Effect.map((points) => points.flat()),
    Effect.provide(Nodes.layerOn(store), { local: true })
  )
  const every = Math.max(1, points.length / most)
  const chosen = points.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every))
  yield* Console.log(
    `Two conversations have ${points.length} points to die at; ${chosen.length} of them are killed at.\n`
  )
  yield* inLanes(
    store,
    chosen.map((at, round) => ({ ...at, round })),
    Effect.fnUntraced(function*(nodes, { client, point, round }) {
      nodes.forgetEffects()
      const deaths = nodes.deaths().length
      yield* nodes.arm(point)
      if (round % recoveryEvery === 0) {
        nodes.next({ dieAt: KillPoint.nth(1 + round / recoveryEvery % recovery, round % 2 === 0 ? 0 : "all") })
      }
      const failure = yield* failureOf(conversations[client](nodes))
      nodes.next({})
      const [at, ...inRecovery] = nodes.deaths().slice(deaths)
      yield* table.add(
        at === undefined ? "nowhere: fewer operations this time" : `at ${at}`,
        at === undefined ? 0 : 1,
        failure === undefined ? undefined : `${client}, ${KillPoint.text(point)}: ${failure}`
      )
      yield* Effect.forEach(inRecovery, (at) => table.add(`in recovery, at ${at}`, 1), { discard: true })
    })
  )
})

const kills = Command.make(
  "kills",
  {
    points: Flag.Int("points").pipe(
      Flag.withDescription("Points of the conversations to kill at, at most; default: 240, on Reboot 24"),
      Flag.optional
    ),
    store: Flag.Literals("store", Nodes.stores).pipe(
      Flag.withDescription("Where the servers keep their state; Reboot is to be set up first: npm run reboot:setup"),
      Flag.withDefault("sqlite")
    )
  },
  Effect.fnUntraced(function*({ points, store }) {
    const began = performance.now()
    const table = new Table()
    yield* matrix(store, table)
    yield* sweep(store, table, Option.getOrElse(points, () => mostPoints[store]))
    yield* Console.log(table.text)
    const seconds = Math.round((performance.now() - began) / 1000)
    yield* Console.log(`\n${table.kills} kills, ${table.failures} failures, ${seconds} s`)
    if (table.failures > 0) {
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
