import { Effect, Layer } from "effect"
import * as store from "../../src/reboot/internal/store.ts"
import { StatesInMemory, SubmitDelay } from "../../src/reboot/RebootLimits.ts"
import { EventsInMemory } from "../../src/store/StoreLimits.ts"
import { storeContract } from "../store/contract.ts"
import * as Simulated from "./SimulatedApplication.ts"

/** Little is remembered, so that some reads are answered from memory and some by Reboot. */
const littleMemory = Layer.mergeAll(
  Layer.succeed(EventsInMemory, 1_000),
  Layer.succeed(StatesInMemory, 4_000),
  Layer.succeed(SubmitDelay, 0)
)

storeContract(
  "Reboot, simulated",
  Effect.sync(() => {
    const disk = new Simulated.Disk()
    return {
      open: Simulated.open(disk).pipe(
        Effect.flatMap(({ application }) => store.make(application)),
        Effect.provide(littleMemory),
        Effect.map((store) => ({ store, backend: undefined }))
      )
    }
  }),
  { atomic: false, drops: true }
)
