/** The matrix with a real SIGKILL; `npm run kills` runs all rows and every commit of a conversation. */
import { NodeServices } from "@effect/platform-node"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Nodes from "./Nodes.ts"
import { rows } from "./rows.ts"

const only = process.env.ROWS

describe("SIGKILL between", () => {
  it.live("rows", () =>
    Effect.gen(function*() {
      const nodes = yield* Nodes.make
      for (const [i, { between, run }] of rows.entries()) {
        if (only !== undefined && !new RegExp(only).test(between)) continue
        nodes.forgetEffects()
        const began = performance.now()
        const exit = yield* Effect.exit(Effect.timeout(Effect.scoped(run(nodes)), "15 seconds"))
        console.log(i, between, exit._tag, Math.round(performance.now() - began), nodes.kills(), exit._tag === "Failure" ? String(exit.cause).slice(0, 1500) : "")
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 300_000)
})
