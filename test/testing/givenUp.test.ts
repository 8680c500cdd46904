/**
 * Calls that a script gives up: what they excuse, and what they do not.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { Tool, Toolkit } from "effect/ai"
import type { Client } from "../../src/testing/Client.ts"
import * as CrashTest from "../../src/testing/CrashTest.ts"
import { ask, found, program, step } from "./program.ts"

const Tools = Toolkit.make(
  Tool.make("pay", { success: Schema.String }),
  Tool.make("wait", { success: Schema.String })
)

/** A tool that is called beside one that the script gives up. */
const beside = (pay: Effect.Effect<string>) => ({
  registrations: DurableMcp.toolkit(Tools).pipe(Layer.provide(Tools.toLayer({
    pay: () => pay,
    wait: () => Effect.as(Durable.sleep("wait", "1 hour"), "waited")
  }))),
  script: Effect.fnUntraced(function*(client: Client) {
    const waiting = yield* client.start("wait")
    const answer = yield* client.callTool("pay")
    yield* waiting.cancel()
    return answer
  })
})

describe("a call that is given up", () => {
  it.live("does not excuse a wrong answer to another", () =>
    Effect.gen(function*() {
      const forgetful = Effect.suspend(() => {
        let receipt = "none"
        return Durable.step("charge", () => Effect.sync(() => void (receipt = "paid"))).pipe(
          Effect.andThen(Effect.sync(() => receipt))
        )
      })
      const error = yield* found(CrashTest.exhaustive({ ...beside(forgetful), kinds: ["Crash"] }))
      assert.include(error.message, "the result is")
      assert.include(error.message, "none")
      yield* CrashTest.exhaustive({ ...beside(Durable.step("charge", () => Effect.succeed("paid"))), kinds: ["Crash"] })
    }), 60_000)

  it.live("goes on without its client where the script interrupts it", () =>
    Effect.gen(function*() {
      const asking = program((world) => Effect.andThen(ask("1 minute"), Effect.as(step(world, "late"), "done")))
      const run = yield* CrashTest.run({
        ...asking,
        answer: () => Effect.void,
        script: (client: Client) => Effect.timeoutOption(client.callTool("run"), "10 seconds"),
        crashes: "crash@14/0"
      })
      assert.deepStrictEqual(run.excuses, ["Abandoned 1"])
      assert.strictEqual(run.world.effects.get("late"), 1)
    }))
})

describe("a result", () => {
  it.live("may hold the key of a step, which another session gives", () =>
    CrashTest.run({
      ...program(() => Durable.step("charge", ({ key }) => Effect.succeed(`receipt ${key}`))),
      crashes: "crash@1/0"
    }))
})
