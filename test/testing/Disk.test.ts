/** What a process that dies leaves behind, looked at without a store. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Scope } from "effect"
import { Store } from "effect-durable-mcp"
import { Disk, FaultStore } from "effect-durable-mcp/testing"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const open: Store.Write = {
  _tag: "OpenStream",
  stream: "s",
  principal: "anonymous",
  requestDigest: "digest",
  version: "2025-11-25"
}
const append = (key: string): Store.Write => ({ _tag: "Append", stream: "s", key, data: `"${key.repeat(3000)}"` })

/** A process on the disk: its store, and how it is cleaned up. */
const start = Effect.fnUntraced(function*(
  instance: Disk.Instance,
  decide?: (operation: FaultStore.Operation) => FaultStore.Decision | undefined
) {
  const scope = yield* Scope.make()
  const built = yield* Layer.buildWithMemoMap(instance.layer, Layer.makeMemoMapUnsafe(), scope)
  const fault = yield* FaultStore.make(Context.get(built, Store.Store), {
    decide,
    tear: instance.tear,
    onDeath: instance.died
  })
  return { ...fault, close: Scope.close(scope, yield* Effect.exit(Effect.void)) }
})

const keys = (store: Store.Store["Service"]) =>
  Effect.map(store.events("s", 0, 100), ({ events }) => events.map(({ key }) => key))

/** A folder to look into, gone with the test. */
const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "disk-test-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** The log that the next process will find. */
const logBelow = (path: string) => {
  const [run = ""] = Fs.readdirSync(path)
  const newest = Fs.readdirSync(Path.join(path, run)).toSorted().at(-1) ?? ""
  return Path.join(path, run, newest, "store.db-wal")
}

/** https://sqlite.org/fileformat.html#the_write_ahead_log */
const frameSize = 24 + 4096
const frames = (log: Buffer) => (log.length - 32) / frameSize

describe("any disk", () => {
  for (const disk of [Disk.memory, Disk.sqlite()]) {
    it.effect(`holds the first writes of the commit in which the process died: ${disk.name}`, () =>
      Effect.gen(function*() {
        for (const [applied, expected] of [[0, ["a"]], [1, ["a", "b"]], [2, ["a", "b", "c"]]] as const) {
          const instance = yield* disk.make
          const first = yield* start(instance, ({ index }) => index === 2 ? { _tag: "Crash", applied } : undefined)
          yield* first.store.commit([open, append("a")])
          const { reason } = yield* Effect.flip(first.store.commit([append("b"), append("c")]))
          assert.strictEqual(reason, "Fenced")
          yield* first.close
          const second = yield* start(instance)
          assert.deepStrictEqual<ReadonlyArray<string>>(yield* keys(second.store), expected)
          yield* second.close
        }
      }))
  }
})

describe("a SQLite disk", () => {
  it.effect("leaves its log to the next process, which recovers from it", () =>
    Effect.gen(function*() {
      const path = yield* folder
      const instance = yield* Disk.sqlite({ directory: path }).make
      const first = yield* start(instance)
      yield* first.store.commit([open, append("a")])
      yield* first.kill
      const log = Fs.readFileSync(logBelow(path))
      yield* first.close
      assert.isAbove(frames(log), 1)
      assert.deepStrictEqual(Fs.readFileSync(logBelow(path)), log, "what the dead process does is not seen")

      const second = yield* start(instance)
      assert.deepStrictEqual(yield* keys(second.store), ["a"])
      yield* second.close
    }))

  it.effect("can be opened by the next process before the dead one is cleaned up", () =>
    Effect.gen(function*() {
      const instance = yield* Disk.sqlite({ directory: yield* folder }).make
      const first = yield* start(instance)
      yield* first.store.commit([open, append("a")])
      yield* first.kill
      const second = yield* start(instance)
      yield* second.store.commit([append("b")])
      yield* first.close
      assert.deepStrictEqual(yield* keys(second.store), ["a", "b"])
      yield* second.close
    }))

  it.effect("refuses a second process", () =>
    Effect.gen(function*() {
      const instance = yield* Disk.sqlite({ directory: yield* folder }).make
      const first = yield* start(instance)
      const { reason } = yield* Effect.flip(start(instance))
      assert.strictEqual(reason, "InUse")
      yield* first.close
    }))

  it.effect("is torn in the last commit, with a frame that is cut, and keeps what was acknowledged", () =>
    Effect.gen(function*() {
      const cut: Array<boolean> = []
      for (const size of [1, 2, 3, 4, 5, 6, 7, 8]) {
        const path = yield* folder
        const instance = yield* Disk.sqlite({ directory: path }).make
        const first = yield* start(instance, ({ index }) => index === 2 ? { _tag: "Torn" } : undefined)
        yield* first.store.commit([open, append("a")])
        const [file = ""] = Fs.readdirSync(path)
        const before = frames(Fs.readFileSync(Path.join(path, file, "0", "store.db-wal")))
        const torn = Array.from({ length: size }, (_, i) => append(String(i)))
        yield* Effect.flip(first.store.commit(torn as [Store.Write, ...Array<Store.Write>]))
        const written = frames(Fs.readFileSync(Path.join(path, file, "0", "store.db-wal")))
        assert.isAbove(written, before, "it was written, before it was torn")
        const left = frames(Fs.readFileSync(logBelow(path)))
        cut.push(left < written && !Number.isInteger(left))
        yield* first.close

        const second = yield* start(instance)
        assert.deepStrictEqual(yield* keys(second.store), ["a"])
        yield* second.store.commit([append("b")])
        assert.deepStrictEqual(yield* keys(second.store), ["a", "b"])
        yield* second.close
      }
      assert.isTrue(cut.includes(true), "a log that ends in a frame")
      assert.isTrue(cut.includes(false), "a log of its length, with other bytes")
    }))

  it.effect("knows the files that are open", () =>
    Effect.gen(function*() {
      const instance = yield* Disk.sqlite({ directory: yield* folder }).make
      const first = yield* start(instance)
      const files = instance.openFiles ?? Effect.succeed([])
      assert.strictEqual((yield* files).length > 0, Fs.existsSync("/proc/self/fd"))
      yield* first.close
      assert.deepStrictEqual(yield* files, [])
    }))
})

describe("a disk in memory", () => {
  it.effect("loses what a dead process had queued", () =>
    Effect.gen(function*() {
      const instance = yield* Disk.memory.make
      const first = yield* start(instance)
      yield* first.store.commit([open, append("a")])
      yield* first.store.submit([append("b")])
      yield* first.kill
      yield* first.close
      const second = yield* start(instance)
      assert.deepStrictEqual(yield* keys(second.store), ["a"])
      yield* second.close
    }))

  it.effect("fences the first process when a second one opens it", () =>
    Effect.gen(function*() {
      const instance = yield* Disk.memory.make
      const first = yield* start(instance)
      yield* first.store.commit([open, append("a")])
      const second = yield* start(instance)
      const { reason } = yield* Effect.flip(first.store.commit([append("b")]))
      assert.strictEqual(reason, "Fenced")
      assert.isFalse(first.isDead(), "it lives, and knows now")
      assert.deepStrictEqual(yield* keys(second.store), ["a"])
      yield* Effect.all([first.close, second.close])
    }))
})
