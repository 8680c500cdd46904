/**
 * Tests that need Reboot: where it is not set up they are skipped, and say what
 * to type; with `REBOOT_REQUIRED=1` they fail instead.
 */
import { describe, it } from "@effect/vitest"
import { find } from "../../src/reboot/internal/installation.ts"
import { StoreError } from "../../src/store/StoreError.ts"

const found = find()

/** Whether Reboot is set up here. */
export const isInstalled: boolean = !StoreError.is(found)

/** Like `describe`, of what needs Reboot. */
export const describeWithReboot = (name: string, tests: () => void): void => {
  if (!StoreError.is(found)) {
    describe(name, tests)
    return
  }
  const title = `${name} (${found.message})`
  if (process.env["REBOOT_REQUIRED"] === "1") {
    describe(title, () => {
      it("has Reboot, as REBOOT_REQUIRED=1 says", () => {
        throw found
      })
    })
    return
  }
  describe.skip(title, tests)
}
