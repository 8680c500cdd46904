/**
 * What `npm run crash` does, mostly on threads: one area on one store, at every
 * point and at random ones; or random programs, held to what they mean.
 */
import { Effect, Schema } from "effect"
import { CrashTest, Disk, Schedule } from "effect-durable-mcp/testing"
import { Rpc, RpcGroup } from "effect/rpc"
import { areas, type Name, names } from "../../test/crash/areas/index.ts"
import { modelChecking } from "../../test/model/modelChecking.ts"
import * as RebootDisk from "../../test/reboot/disk.ts"

export const Area = Schema.Literals(names)

/** Stores that every thread can have its own of. */
export const Store = Schema.Literals(["memory", "sqlite", "reboot-simulated"])
export type Store = typeof Store.Type

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

const disks: Readonly<Record<Store, () => Disk.Disk>> = {
  "memory": () => Disk.memory,
  "sqlite": () => Disk.sqlite(),
  "reboot-simulated": () => RebootDisk.simulated()
}

/** The program of an area on a store. */
export const programOf = ({ area, store }: { readonly area: Name; readonly store: Store }) => ({
  ...areas[area],
  disk: disks[store]()
})

/** At every point only what the store can answer differently; and nothing that it cannot show. */
const kindsOf: Readonly<Record<Store, ReadonlyArray<Schedule.Kind>>> = {
  "memory": Schedule.kinds.filter((kind) => kind !== "TornCommit"),
  "sqlite": ["Crash", "TornCommit"],
  "reboot-simulated": ["Crash", "TornCommit"]
}

/** On a simulated Reboot the areas that go to every state type and task of it; there also a death at each of its writes. */
const closely: ReadonlySet<Name> = new Set<Name>(["steps", "questions", "primitives", "sessions", "cancellation"])

/** At every point of an area, and at random ones. */
const prove = Effect.fnUntraced(function*(
  { area, schedules, seed, store }: { readonly area: Name; readonly store: Store } & Random
) {
  const program = programOf({ area, store })
  const atRandom = random(area, store, program.disk, { schedules, seed })
  if (store === "reboot-simulated" && !closely.has(area)) {
    return [yield* atRandom]
  }
  return [
    yield* CrashTest.exhaustive({ ...program, kinds: kindsOf[store] }),
    ...store === "reboot-simulated" ? [yield* RebootDisk.atEveryWrite(areas[area])] : [],
    yield* atRandom
  ]
})

/** Random schedules. */
export interface Random {
  readonly schedules: number
  readonly seed: number
}

/** Random schedules of an area on a disk; `store` is part of the seed. */
export const random = (area: Name, store: string, disk: Disk.Disk, { schedules, seed }: Random) =>
  CrashTest.random({ ...areas[area], disk, runs: schedules, seed: `${area} ${store} ${seed}` })

/** What the reports of an area say together; a violation is told with its token. */
export const proofOf = <R>(
  reports: Effect.Effect<ReadonlyArray<CrashTest.Report>, CrashTest.CrashTestError, R>
): Effect.Effect<Proof, Violation, R> =>
  Effect.suspend(() => {
    const began = performance.now()
    return reports.pipe(
      Effect.map((reports) => summary(reports, performance.now() - began)),
      Effect.mapError(({ message, token }) => new Violation({ message, token }))
    )
  })

const summary = (reports: ReadonlyArray<CrashTest.Report>, milliseconds: number): Proof => {
  const total = (count: (report: CrashTest.Report) => number) => reports.reduce((sum, report) => sum + count(report), 0)
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
    milliseconds
  })
}

export const handlers = Prover.toLayer({
  prove: (job) => proofOf(prove(job)),

  check: ({ programs, seed, store }) =>
    modelChecking({ programs, seed, disk: disks[store]() }).pipe(
      Effect.map((report) => new Checked(report)),
      Effect.mapError(({ message, token }) => new Violation({ message, token }))
    )
})
