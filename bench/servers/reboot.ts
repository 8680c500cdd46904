/** On Reboot in this process. */
import { Config, Effect } from "effect"
import * as Embedded from "../../src/reboot/internal/embedded.ts"
import { installation } from "../../src/reboot/internal/installation.ts"
import { serve } from "./counted.ts"

serve(Effect.gen(function*() {
  return yield* Embedded.make({
    name: "everything",
    stateDirectory: yield* Config.String("DATA_DIR"),
    installation: yield* installation()
  })
}))
