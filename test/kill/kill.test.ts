/**
 * A few of the kills of `npm run crash`.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { campaign } from "./campaign.ts"

describe("a server under SIGKILL", () => {
  it.live("loses nothing with retryingFetch", () =>
    Effect.gen(function*() {
      const report = yield* campaign({ kills: 4, fetch: "retrying" })
      assert.deepStrictEqual(report.violations, [])
      assert.strictEqual(report.lostCalls + report.lostAnswers, 0)
    }).pipe(Effect.provide(NodeServices.layer)), 120_000)

  it.live("loses no more than it says with the client's own fetch", () =>
    Effect.gen(function*() {
      const report = yield* campaign({ kills: 4, fetch: "plain" })
      assert.deepStrictEqual(report.violations, [])
    }).pipe(Effect.provide(NodeServices.layer)), 120_000)
})
