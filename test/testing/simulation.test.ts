/** Runs that do not end by themselves. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import type * as Client from "../../src/testing/Client.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"

const Spin = Toolkit.make(Tool.make("spin", { success: Schema.Void }))

const spinning = (body: Effect.Effect<void>) => ({
  registrations: DurableMcp.toolkit(Spin).pipe(Layer.provide(Spin.toLayer({ spin: () => body }))),
  script: (client: Client.Client) => client.callTool("spin")
})

describe("a run", () => {
  it.live("that never comes to rest is ended, and said to be one", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(CrashTest.run(spinning(Effect.forever(Durable.log("again")))))
      assert.include(error.violations, "everything moves, and no time passes, and the script has not ended")
    }), 120_000)
})
