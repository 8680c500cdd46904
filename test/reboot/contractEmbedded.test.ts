import { Effect, Exit, Layer, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"
import * as store from "../../src/reboot/internal/store.ts"
import { StatesInMemory, SubmitDelay } from "../../src/reboot/RebootLimits.ts"
import { EventsInMemory } from "../../src/store/StoreLimits.ts"
import { storeContract } from "../store/contract.ts"
import { describeWithReboot } from "./installed.ts"
import * as Openings from "./Openings.ts"
import * as Started from "./Started.ts"

/** Little is remembered, so that some reads are answered from memory and some by Reboot. */
const littleMemory = Layer.mergeAll(
  Layer.succeed(EventsInMemory, 1_000),
  Layer.succeed(StatesInMemory, 4_000),
  Layer.succeed(SubmitDelay, 0)
)

describeWithReboot("one Reboot, a namespace for each store", () => {
  const scope = Scope.makeUnsafe()
  let namespaces: Openings.Namespaces
  let disks = 0

  beforeAll(async () => {
    namespaces = await Effect.runPromise(Scope.provide(Effect.flatMap(Started.make, Openings.make), scope))
  }, 60_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)), 60_000)

  storeContract(
    "Reboot",
    Effect.suspend(() =>
      Effect.map(namespaces(`contract-${++disks}`), (namespace) => ({
        open: namespace.open.pipe(
          Effect.flatMap((application) => store.make(application)),
          Effect.provide(littleMemory),
          Effect.map((store) => ({ store, backend: undefined }))
        )
      }))
    ),
    { atomic: false, drops: true, runs: 60 }
  )
})
