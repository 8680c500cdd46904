import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, type Scope, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import type { Append, Store, Write } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import * as StoreProcess from "./sqlite/StoreProcess.ts"
import * as TempFile from "./sqlite/TempFile.ts"

const openStream = (stream: string): Write => ({
  _tag: "OpenStream",
  stream,
  principal: "p",
  requestDigest: "d",
  version: "1"
})

const append = (stream: string, key: string, data = "{}"): Append => ({ _tag: "Append", stream, key, data })

/** Opens the file, uses it and gives it up. */
const using = <A, E>(
  filename: string,
  f: (store: Store["Service"]) => Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E | StoreError> => Effect.scoped(Effect.flatMap(SqliteStore.make({ filename }), f))

/** How opening the file fails. */
const refusal = (filename: string): Effect.Effect<StoreError> =>
  Effect.matchEffect(using(filename, () => Effect.void), {
    onFailure: Effect.succeed,
    onSuccess: () => Effect.die(new Error(`${filename} was opened`))
  })

const keysOf = (store: Store["Service"], stream: string) =>
  Effect.map(store.events(stream, 0, 1_000_000), (page) => page.events.map((event) => event.key))

describe("SqliteStore on a file", () => {
  it.effect("keeps what was committed, for this user only", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      yield* using(file, (store) => store.commit([openStream("s"), append("s", "a")]))
      yield* using(file, (store) => store.commit([append("s", "b")]))
      assert.deepStrictEqual(yield* using(file, (store) => keysOf(store, "s")), ["a", "b"])
      assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
    }))

  it.effect("when closed, fails instead of hanging", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const store = yield* using(file, Effect.succeed)
      const failures = yield* Effect.all([
        Effect.flip(store.commit([openStream("s")])),
        Effect.flip(store.session("s"))
      ])
      assert.deepStrictEqual(failures.map((error) => error.reason), ["Fenced", "Fenced"])
    }))
})

describe("one process per file", () => {
  it.effect("a second store in this process is refused, and the refusal does not loosen the lock", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      yield* SqliteStore.make({ filename: file })
      const alias = Path.join(Path.dirname(file), "alias.db")
      Fs.symlinkSync(file, alias)
      for (const name of [file, alias]) {
        const error = yield* refusal(name)
        assert.strictEqual(error.reason, "InUse")
        assert.include(error.message, `${file} is in use by process ${process.pid} on `)
      }
      // POSIX drops a process's locks on a file with the first descriptor it closes: another process must still wait.
      const child = yield* StoreProcess.start("open", file)
      assert.strictEqual((yield* child.next).reason, "InUse")
    }))

  it.effect("a second process is refused until the first one is gone, also by kill -9", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const child = yield* StoreProcess.start("hold", file)
      const { pid } = yield* child.next
      const error = yield* refusal(file)
      assert.strictEqual(error.reason, "InUse")
      assert.include(error.message, `process ${pid} on `)
      yield* child.kill
      yield* using(file, (store) => store.commit([openStream("s")]))
    }))
})

describe("the end of a process", () => {
  it.effect("a long timer does not keep the process alive", () =>
    Effect.gen(function*() {
      const child = yield* StoreProcess.start("timer", yield* TempFile.make)
      yield* child.next
      assert.strictEqual((yield* child.next).n, 1)
      // nothing more to say: the process has ended by itself
      assert.isTrue(Exit.isFailure(yield* Effect.exit(child.next)))
    }))
})

describe("a file that cannot be used", () => {
  const contents = (file: string) => Fs.readFileSync(file).toString("latin1")

  it.effect("a read-only folder or file", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const folder = Path.dirname(file)
      Fs.chmodSync(folder, 0o555)
      const inFolder = yield* Effect.flatMap(StoreProcess.start("open-as-nobody", file), (child) => child.next)
      Fs.chmodSync(folder, 0o777)
      yield* using(file, () => Effect.void)
      for (const name of Fs.readdirSync(folder)) Fs.chmodSync(Path.join(folder, name), 0o666)
      Fs.chmodSync(file, 0o444)
      const onFile = yield* Effect.flatMap(StoreProcess.start("open-as-nobody", file), (child) => child.next)
      for (const line of [inFolder, onFile]) {
        assert.strictEqual(line.reason, "ReadOnly", JSON.stringify(line))
        assert.include(line.message, file)
      }
    }))

  it.effect("a folder that does not exist", () =>
    Effect.gen(function*() {
      const file = Path.join(Path.dirname(yield* TempFile.make), "no", "such", "store.db")
      const error = yield* refusal(file)
      assert.strictEqual(error.reason, "Io")
      assert.include(error.message, file)
    }))

  it.effect("a folder", () =>
    Effect.gen(function*() {
      const folder = Path.dirname(yield* TempFile.make)
      const error = yield* refusal(folder)
      assert.strictEqual(error.reason, "Io")
      assert.include(error.message, `${folder} is a folder`)
      assert.isFalse(Fs.existsSync(`${folder}.lock`))
    }))

  it.effect("no database", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      for (const text of ["x", "Dear diary,\n".repeat(1_000)]) {
        Fs.writeFileSync(file, text)
        const error = yield* refusal(file)
        assert.strictEqual(error.reason, "NotADatabase")
        assert.include(error.message, file)
        assert.strictEqual(contents(file), text)
      }
    }))

  it.effect("another program's database", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const db = new DatabaseSync(file)
      db.exec("CREATE TABLE diary (day TEXT)")
      db.close()
      const before = contents(file)
      const error = yield* refusal(file)
      assert.strictEqual(error.reason, "NotADatabase")
      assert.include(error.message, `${file} is an SQLite database of another program`)
      assert.strictEqual(contents(file), before)
    }))

  it.effect("a newer format", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      yield* using(file, (store) => store.commit([openStream("s")]))
      const db = new DatabaseSync(file)
      db.exec("PRAGMA user_version = 1000000")
      db.close()
      const before = contents(file)
      const error = yield* refusal(file)
      assert.strictEqual(error.reason, "NewerFormat")
      assert.include(error.message, `${file} has format 1000000`)
      assert.strictEqual(contents(file), before)
    }))

  const truncations: ReadonlyArray<readonly [what: string, keep: (size: number) => number]> = [
    ["half of it", (size) => Math.floor(size / 2)],
    ["all but a byte", (size) => size - 1],
    ["less than a header", () => 60],
    ["nothing", () => 0]
  ]
  for (const [what, keep] of truncations) {
    it.effect(`truncated to ${what}`, () =>
      Effect.gen(function*() {
        const file = yield* TempFile.make
        yield* using(file, (store) => store.commit([openStream("s"), append("s", "a", "x".repeat(100_000))]))
        const size = Fs.statSync(file).size
        Fs.truncateSync(file, keep(size))
        // A process that was killed leaves its log behind: SQLite would delete it beside an empty file.
        const log = `${file}-wal`
        if (keep(size) === 0) Fs.writeFileSync(log, "frames")
        const error = yield* refusal(file)
        assert.strictEqual(error.reason, "Corrupt")
        assert.include(error.message, file)
        assert.strictEqual(Fs.existsSync(log), keep(size) === 0)
      }))
  }

  it.effect("a checkpoint that was cut off is no damage: the log has what the file lacks", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const child = yield* StoreProcess.start("write", file, "s")
      yield* child.next
      while (((yield* child.next).n ?? 0) < 20);
      yield* child.kill
      // A checkpoint writes the first page, with the new number of pages, before the pages that it counts.
      const descriptor = Fs.openSync(file, "r+")
      Fs.writeSync(descriptor, new Uint8Array([0, 0, 0, 200]), 0, 4, 28)
      Fs.closeSync(descriptor)
      const keys = yield* using(file, (store) => keysOf(store, "s"))
      assert.include(keys, "committed/20")
    }))
})

describe("a full disk", () => {
  it.effect("is an error that loses nothing, and the store goes on when there is room", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const data = JSON.stringify("x".repeat(3_000))
      const acknowledged: Array<string> = []
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteStore.make({ filename: file, maxPageCount: 100 })
        yield* store.commit([openStream("old"), append("old", "a", data), { ...append("old", "b", data), last: true }])
        yield* store.commit([openStream("s")])
        const fill = Effect.gen(function*() {
          const key = `${acknowledged.length}`
          yield* store.commit([append("s", key, data)])
          acknowledged.push(key)
        })
        const error = yield* Effect.flip(Effect.forever(fill))
        assert.strictEqual(error.reason, "DiskFull")
        assert.include(error.message, file)
        assert.isAbove(acknowledged.length, 20)
        assert.deepStrictEqual(yield* keysOf(store, "s"), acknowledged)
        assert.strictEqual((yield* Effect.flip(store.commit([append("s", "x", data)]))).reason, "DiskFull")

        yield* store.commit([{ _tag: "Forget", id: "old" }])
        yield* store.commit([append("s", "after", data)])
        acknowledged.push("after")
        assert.deepStrictEqual(yield* keysOf(store, "s"), acknowledged)
      }))
      assert.deepStrictEqual(yield* using(file, (store) => keysOf(store, "s")), acknowledged)
    }))
})

describe("kill -9", () => {
  it.effect("of a process that commits: every acknowledged write is there, in order, without a gap", () =>
    Effect.gen(function*() {
      const file = yield* TempFile.make
      const killAfter = [1, 37, 150, 400]
      const acknowledged: Array<number> = []
      for (const [run, count] of killAfter.entries()) {
        const child = yield* StoreProcess.start("write", file, `s/${run}`)
        yield* child.next
        let last = 0
        while (last < count) last = (yield* child.next).n ?? 0
        const rest = yield* child.kill
        acknowledged.push(rest.at(-1)?.n ?? last)
      }
      yield* using(file, (store) =>
        Effect.gen(function*() {
          const streams = yield* Stream.runCollect(store.streams({}))
          assert.strictEqual(streams.length, killAfter.length)
          for (const [run, count] of acknowledged.entries()) {
            assert.isAtLeast(count, killAfter[run]!)
            const page = yield* store.events(`s/${run}`, 0, 1_000_000)
            assert.deepStrictEqual(page.events.map((event) => event.seq), page.events.map((_, i) => i + 1))
            assert.isAtLeast(page.events.length, 2 * count)
            page.events.forEach((event, i) => {
              const n = Math.floor(i / 2) + 1
              assert.strictEqual(event.key, i % 2 === 0 ? `submitted/${n}` : `committed/${n}`)
              if (i % 2 === 1) assert.strictEqual(JSON.parse(event.data!).n, n)
            })
          }
          const record = yield* store.stream({ id: "s/0" })
          assert.strictEqual(Option.getOrThrow(record).token, "1")
        }))
    }))
})
