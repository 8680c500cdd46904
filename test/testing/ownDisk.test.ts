/** Disks of one's own: that die where only they know, and that live in real time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CrashTest, type Disk } from "effect-durable-mcp/testing"
import { Store } from "../../src/store/Store.ts"
import { memory } from "../../src/testing/Disk.ts"
import { booking } from "./booking.ts"

/** A disk whose processes see each commit before it is done. */
const seen = (instance: Disk.Instance, onCommit: () => void): Disk.Instance => ({
  ...instance,
  layer: Layer.effect(Store)(Effect.map(Store, (store): Store["Service"] => ({
    ...store,
    commit: (writes) => Effect.suspend(() => (onCommit(), store.commit(writes)))
  }))).pipe(Layer.provide(instance.layer))
})

describe("a disk of one's own", () => {
  it.live("kills its process where it likes, and the next one recovers", () =>
    Effect.gen(function*() {
      let disks = 0
      const deadly: Disk.Disk = {
        name: "deadly",
        make: Effect.map(memory.make, (instance) => {
          // not in the run that shows what is right
          const isDeadly = disks++ > 0
          let commits = 0
          let kill: (() => void) | undefined
          return {
            ...seen(instance, () => {
              if (isDeadly && ++commits === 4) {
                kill?.()
              }
            }),
            opened: (present) => {
              kill = present
            }
          }
        })
      }
      const run = yield* CrashTest.run({ ...booking, disk: deadly })
      assert.strictEqual(run.operations.length, 3, "the dead one, its successor, and the one that finds nothing to do")
      assert.strictEqual(run.token, "none")
    }))

  it.live("has no time pass while it is at work", () =>
    Effect.gen(function*() {
      let ended = 0
      let until = 0
      const slow: Disk.Disk = {
        name: "slow",
        make: Effect.map(memory.make, (instance) => ({
          ...seen(instance, () => {
            until = performance.now() + 5
          }),
          isBusy: () => {
            const isBusy = performance.now() < until
            ended += isBusy || until === 0 ? 0 : 1
            until = isBusy ? until : 0
            return isBusy
          }
        }))
      }
      const { duration } = yield* CrashTest.run({ ...booking, disk: slow })
      assert.isAbove(ended, 3, "it was waited for")
      const { duration: expected } = yield* CrashTest.run(booking)
      assert.strictEqual(duration, expected)
    }))
})
