/** Says after a run which tests were skipped for want of Reboot, and what to type. */
import type { Reporter, TestModule } from "vitest/node"
import { find } from "../../src/reboot/internal/installation.ts"
import { StoreError } from "../../src/store/StoreError.ts"

export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const found = find()
    if (!StoreError.is(found)) return
    const skipped = modules.flatMap((module) =>
      [...module.children.allTests("skipped")].filter(({ fullName }) => fullName.includes(found.message))
    )
    if (skipped.length === 0) return
    const files = new Set(skipped.map(({ module }) => module.moduleId))
    console.warn(`Skipped ${skipped.length} tests in ${files.size} files. ${found.message}\n`)
  }
}
