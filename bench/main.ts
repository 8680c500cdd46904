/**
 * `npm run bench`: ours (SQLite, `synchronous=FULL`) beside the official SDK v1
 * server with its in-memory event store and Effect's own `McpServer`. The
 * server at work has one core, the load the other.
 *
 * Absolute figures are those of the machine and of what else it does; compare
 * the ratios, and look at "others used" first.
 *
 *     npm run bench -- --store reboot
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem } from "effect"
import { Command, Flag } from "effect/cli"
import * as Machine from "./internal/Machine.ts"
import { memory } from "./internal/Memory.ts"
import * as OnReboot from "./internal/OnReboot.ts"
import { profile } from "./internal/Profile.ts"
import { replay } from "./internal/Replay.ts"
import { render, type Row } from "./internal/Report.ts"
import * as Servers from "./internal/Servers.ts"
import { start } from "./internal/Start.ts"
import { comparison, marginalStep } from "./internal/Throughput.ts"

const parts = ["echo", "progress", "step", "start", "replay", "memory"] as const

const bench = Command.make(
  "bench",
  {
    only: Flag.Literals("only", parts).pipe(
      Flag.withDescription("Measure only this; may be given more than once"),
      Flag.atLeast(0)
    ),
    long: Flag.Boolean("long").pipe(
      Flag.withDescription("More rounds and longer windows: about 15 minutes instead of 4"),
      Flag.withDefault(false)
    ),
    rounds: Flag.Int("rounds").pipe(
      Flag.withDescription("Rounds of each measurement; default 7, with --long 30"),
      Flag.optional
    ),
    store: Flag.Literals("store", ["sqlite", "reboot"]).pipe(
      Flag.withDescription("`reboot`: ours on Reboot beside ours on SQLite, and what a call asks of Reboot"),
      Flag.withDefault("sqlite")
    ),
    smoke: Flag.Boolean("smoke").pipe(
      Flag.withDescription("With `--store reboot`: in a minute; fails if a call costs more Reboot writes than it may"),
      Flag.withDefault(false)
    ),
    profile: Flag.Boolean("profile").pipe(
      Flag.withDescription("Instead: where the time of ours goes, under echo and under progress streams"),
      Flag.withDefault(false)
    ),
    json: Flag.String("json").pipe(
      Flag.withDescription("File for all rounds"),
      Flag.withDefault(".artifacts/bench.json")
    )
  },
  Effect.fnUntraced(function*({ json, long, only, profile: profiling, rounds: wanted, smoke, store }) {
    const fs = yield* FileSystem.FileSystem
    const asked = (part: typeof parts[number]) => only.length === 0 || only.includes(part)
    // many short windows: what else the machine does then hits all servers alike
    const rounds = wanted._tag === "Some" ? wanted.value : long ? 30 : 7
    const seconds = long ? 2 : 1
    const starts = Math.min(rounds, long ? 9 : 5)
    if (!Machine.available) {
      yield* Console.error("Not Linux: nothing is pinned to a core, and CPU times read 0.")
    }
    if (profiling) {
      return yield* profile({ seconds: long ? 20 : 8 })
    }
    const save = (rounds: number, seconds: number, rows: ReadonlyArray<Row>) =>
      fs.writeFileString(json, JSON.stringify({ at: new Date().toISOString(), rounds, seconds, rows }, undefined, 2))
    if (store === "reboot") {
      const found = yield* OnReboot.onReboot({
        rounds: wanted._tag === "Some" ? wanted.value : long ? 9 : 3,
        seconds: long ? 10 : 4,
        smoke
      })
      yield* Console.log(`\n${render(OnReboot.columns, found.rows)}\n\n${OnReboot.footnote}`)
      yield* save(found.rounds, found.seconds, found.rows)
      return smoke ? yield* OnReboot.judge(found.rows) : undefined
    }
    const rows: Array<Row> = []
    if (asked("echo") || asked("progress")) {
      rows.push(...yield* comparison({ rounds, seconds, echo: asked("echo"), progress: asked("progress") }))
    }
    if (asked("step")) {
      rows.push(...yield* marginalStep({ rounds, seconds }))
    }
    if (asked("start")) {
      rows.push(...yield* start({ rounds: starts }))
    }
    if (asked("replay")) {
      rows.push(...yield* replay({ rounds: starts }))
    }
    if (asked("memory")) {
      rows.push(...yield* memory({ sessions: long ? 8000 : 2000 }))
    }
    yield* Console.log(
      `\n${render(Servers.names, rows)}\n\nMedians of ${rounds} interleaved rounds. All rounds: ${json}`
    )
    yield* save(rounds, seconds, rows)
  })
)

bench.pipe(
  Command.withDescription("Measures the server beside the official SDK v1 and Effect's own"),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
