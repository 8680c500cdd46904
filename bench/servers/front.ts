/** In front of the application at `REBOOT_URL`. */
import { Config, Effect } from "effect"
import * as Remote from "../../src/reboot/internal/remote.ts"
import { serve } from "./counted.ts"

serve(Effect.gen(function*() {
  return yield* Remote.make({
    url: new URL(yield* Config.String("REBOOT_URL")),
    secret: yield* Config.Redacted("SECRET"),
    callTimeout: "10 seconds",
    outageTimeout: "30 seconds"
  })
}))
