import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Option } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as RebootStore from "../../src/reboot/RebootStore.ts"
import { type RunCause, Store } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { startProgram } from "../store/sqlite/StoreProcess.ts"
import * as StateDirectory from "./embedded/StateDirectory.ts"
import { describeWithReboot } from "./installed.ts"

interface Line {
  readonly id?: string
  readonly cutOff?: boolean
}

const slow = 60_000

/** Uses a store in a scope of its own. */
const using = <A, E>(options: RebootStore.Options, use: Effect.Effect<A, E, Store>) =>
  Effect.provide(use, RebootStore.layer(options), { local: true })

const refusal = (options: RebootStore.Options): Effect.Effect<StoreError> =>
  Effect.orDie(Effect.flip(Effect.asVoid(Effect.scoped(Layer.build(RebootStore.layer(options))))))

describeWithReboot("RebootStore", () => {
  it.live.each([false, true])(
    "holds what was committed when it is opened again, effect validation %s",
    (validation) =>
      Effect.gen(function*() {
        const options = { stateDirectory: yield* StateDirectory.make, effectValidation: validation }
        yield* using(
          options,
          Effect.gen(function*() {
            const store = yield* Store
            yield* store.commit([
              { _tag: "OpenSession", id: "session", principal: "p", data: "{}" },
              { _tag: "SetSession", id: "session", name: "fact", writeKey: "1", value: "\"value\"" }
            ])
            yield* store.commit([
              { _tag: "OpenStream", stream: "stream", principal: "p", requestDigest: "d", version: "1" },
              { _tag: "Append", stream: "stream", key: "1", data: "\"first\"" },
              { _tag: "Append", stream: "stream", key: "2", data: `"${"x".repeat(200_000)}"` }
            ])
          })
        )
        yield* using(
          options,
          Effect.gen(function*() {
            const store = yield* Store
            const session = Option.getOrThrow(yield* store.session("session"))
            assert.deepStrictEqual([...session.facts], [["fact", "\"value\""]])
            const { events } = yield* store.events("stream", 0, 10)
            assert.deepStrictEqual(events.map(({ data, key, seq }) => [seq, key, data?.length]), [
              [1, "1", 7],
              [2, "2", 200_002]
            ])
          })
        )
      }),
    slow
  )

  it.live(
    "runs again what a killed process was running, with the steps that it had recorded",
    () =>
      Effect.gen(function*() {
        const stateDirectory = yield* StateDirectory.make
        const program = new URL("embedded/child.ts", import.meta.url)
        const killed = yield* startProgram<Line>(program, ["run", stateDirectory])
        assert.deepStrictEqual(yield* killed.next, { id: "execution", cutOff: false })
        yield* killed.kill
        yield* using(
          { stateDirectory },
          Effect.gen(function*() {
            const store = yield* Store
            const ran = yield* Deferred.make<RunCause>()
            yield* store.drive((id, cause) =>
              Effect.gen(function*() {
                yield* store.commit([{ _tag: "Complete", id, result: "2" }])
                yield* Deferred.succeed(ran, cause)
              }).pipe(Effect.orDie)
            )
            const before = Option.getOrThrow(yield* store.execution("execution"))
            assert.deepStrictEqual(before.steps.map(({ exit, key }) => [key, exit]), [["s", "1"]])
            assert.deepStrictEqual(yield* Deferred.await(ran), { cutOff: true })
            const after = Option.getOrThrow(yield* store.execution("execution"))
            assert.strictEqual(after.result, "2")
          }).pipe(Effect.scoped)
        )
      }),
    slow
  )

  it.live("is refused where this process has one", () =>
    Effect.gen(function*() {
      const stateDirectory = yield* StateDirectory.make
      const other = yield* StateDirectory.make
      yield* using(
        { stateDirectory },
        Effect.gen(function*() {
          const error = yield* refusal({ stateDirectory: other })
          assert.strictEqual(error.reason, "InUse")
          assert.deepStrictEqual(Fs.readdirSync(other), [])
        })
      )
    }), slow)
})

describe("without Reboot", () => {
  it.effect("the layer fails with what to type, and makes nothing", () =>
    Effect.gen(function*() {
      const reboot = yield* StateDirectory.make
      const stateDirectory = Path.join(reboot, "state")
      const error = yield* refusal({ stateDirectory, reboot })
      assert.include(error.message, "npm run reboot:setup")
      assert.isFalse(Fs.existsSync(stateDirectory))
    }))
})
