/**
 * `npm run check`: everything that needs no running server. All parts run, also
 * after one has failed, so that one run shows all there is to fix.
 */
import { run } from "./tools.ts"

const parts: ReadonlyArray<readonly [name: string, tool: string, ...args: ReadonlyArray<string>]> = [
  ["types", "tsc", "--project", "tsconfig.json"],
  ["lint", "oxlint", "--deny-warnings"],
  ["format", "dprint", "check"],
  ["layering", "vitest", "run", "test/layering.test.ts"],
  ["api report", "node", "scripts/api.ts"],
  ["docs", "node", "scripts/docs.ts"]
]

const failed: Array<string> = []
for (const [name, tool, ...args] of parts) {
  console.log(`\n> ${name}`)
  if (await run(tool, args) !== 0) failed.push(name)
}

console.log(
  `\ncheck: ${parts.length - failed.length} passed, ${failed.length} failed${
    failed.length === 0 ? "" : ` (${failed.join(", ")})`
  }`
)
process.exitCode = failed.length === 0 ? 0 : 1
