/** What the threads of `npm run crash` do: one area on one store, at every point and at random ones. */
import { Effect, Schema } from "effect"
import { CrashTest, Disk, Schedule } from "effect-durable-mcp/testing"
import { Rpc, RpcGroup } from "effect/rpc"
import { areas, type Name, names } from "../../test/crash/areas/index.ts"

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

export class Prover extends RpcGroup.make(
  Rpc.make("prove", {
    payload: { area: Area, store: Store, schedules: Schema.Int, seed: Schema.Int },
    success: Proof,
    error: Violation
  })
) {}

/** The program of an area on a store. */
export const programOf = ({ area, store }: { readonly area: Name; readonly store: typeof Store.Type }) => ({
  ...areas[area],
  disk: store === "memory" ? Disk.memory : Disk.sqlite()
})

/** What another disk can answer differently: a connection that is cut is the same on all of them. */
const ofTheDisk: ReadonlyArray<Schedule.Kind> = ["Crash", "CrashInStep", "TornCommit", "FailedOperation"]

export const handlers = Prover.toLayer({
  prove: ({ area, schedules, seed, store }) =>
    Effect.gen(function*() {
      const began = performance.now()
      const program = programOf({ area, store })
      const reports = [
        yield* CrashTest.exhaustive({ ...program, kinds: store === "memory" ? Schedule.kinds : ofTheDisk }),
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
    }).pipe(Effect.mapError(({ message, token }) => new Violation({ message, token })))
})
