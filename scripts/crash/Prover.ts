/**
 * What the threads of `npm run crash` do: one area on one store, at every point
 * and at random ones; or random programs, held to what they mean.
 */
import { Effect, Schema } from "effect"
import { CrashTest, Disk, Schedule } from "effect-durable-mcp/testing"
import { Rpc, RpcGroup } from "effect/rpc"
import { areas, type Name, names } from "../../test/crash/areas/index.ts"
import { modelChecking } from "../../test/model/modelChecking.ts"

export const Area = Schema.Literals(names)
export const Store = Schema.Literals(["memory", "sqlite"])

export class Proof extends Schema.Class<Proof>("Proof")({
  /** On the store, in the run without faults. */
  operations: Schema.Int,
  runs: Schema.Int,
  /** Processes that died and were survived. */
  crashes: Schema.Int,
  /** Whatever else went wrong. */
  otherFaults: Schema.Int,
  /** Effects that were attempted again, because their step was cut off. */
  repeated: Schema.Int,
  slowest: Schema.Struct({ token: Schema.String, milliseconds: Schema.Finite }),
  milliseconds: Schema.Finite
}) {}

/** Something was lost, or done twice. */
export class Violation extends Schema.TaggedError<Violation>("Violation")("Violation", {
  message: Schema.String,
  /** For `--replay`. */
  token: Schema.String
}) {}

/** Random programs that came to what they mean. */
export class Checked extends Schema.Class<Checked>("Checked")({
  programs: Schema.Int,
  crashes: Schema.Int,
  repeated: Schema.Int
}) {}

export class Prover extends RpcGroup.make(
  Rpc.make("prove", {
    payload: { area: Area, store: Store, schedules: Schema.Int, seed: Schema.Int },
    success: Proof,
    error: Violation
  }),
  Rpc.make("check", {
    payload: { programs: Schema.Int, store: Store, seed: Schema.String },
    success: Checked,
    error: Violation
  })
) {}

const diskOf = (store: typeof Store.Type): Disk.Disk => store === "memory" ? Disk.memory : Disk.sqlite()

/** The program of an area on a store. */
export const programOf = ({ area, store }: { readonly area: Name; readonly store: typeof Store.Type }) => ({
  ...areas[area],
  disk: diskOf(store)
})

/** At every point on SQLite only what it can answer differently; and nothing on memory that it cannot show. */
const kindsOf: Readonly<Record<typeof Store.Type, ReadonlyArray<Schedule.Kind>>> = {
  memory: Schedule.kinds.filter((kind) => kind !== "TornCommit"),
  sqlite: ["Crash", "TornCommit"]
}

export const handlers = Prover.toLayer({
  prove: ({ area, schedules, seed, store }) =>
    Effect.gen(function*() {
      const began = performance.now()
      const program = programOf({ area, store })
      const reports = [
        yield* CrashTest.exhaustive({ ...program, kinds: kindsOf[store] }),
        yield* CrashTest.random({ ...program, runs: schedules, seed: `${area} ${store} ${seed}` })
      ]
      const total = (count: (report: CrashTest.Report) => number) =>
        reports.reduce((sum, report) => sum + count(report), 0)
      const [slowest] = reports.map((report) => report.slowest).sort((a, b) => b.milliseconds - a.milliseconds)
      return new Proof({
        operations: Math.max(...reports.map((report) => report.operations)),
        runs: total(({ runs }) => runs),
        crashes: total(({ crashes }) => crashes),
        otherFaults: total(({ faults }) =>
          Array.from(faults).reduce((sum, [kind, count]) => Schedule.deaths.includes(kind) ? sum : sum + count, 0)
        ),
        repeated: total(({ repeated }) => repeated),
        slowest: slowest ?? { token: "none", milliseconds: 0 },
        milliseconds: performance.now() - began
      })
    }).pipe(Effect.mapError(({ message, token }) => new Violation({ message, token }))),

  check: ({ programs, seed, store }) =>
    modelChecking({ programs, seed, disk: diskOf(store) }).pipe(
      Effect.map((report) => new Checked(report)),
      Effect.mapError(({ message, token }) => new Violation({ message, token }))
    )
})
