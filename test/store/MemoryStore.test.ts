import { Effect } from "effect"
import * as memoryBackend from "../../src/store/internal/memoryBackend.ts"
import { storeContract } from "./contract.ts"

storeContract(
  "MemoryStore",
  Effect.sync(() => {
    const disk = new memoryBackend.Disk()
    return { open: Effect.sync(() => memoryBackend.make(disk)) }
  })
)
