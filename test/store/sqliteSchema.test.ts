import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as Backend from "../../src/store/internal/sqliteBackend.ts"
import * as File from "../../src/store/internal/sqliteFile.ts"
import * as Schema from "../../src/store/internal/sqliteSchema.ts"
import * as TempFile from "./sqlite/TempFile.ts"

const open = (
  filename: string,
  migrations: ReadonlyArray<Schema.Migration>
): Effect.Effect<File.OpenFile, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => File.open({ filename, synchronous: "NORMAL", maxPageCount: undefined, migrations })),
    (file) => Effect.sync(file.close)
  )

const formatOf = (file: File.OpenFile) => file.db.prepare("PRAGMA user_version").get()?.user_version

const newest = Schema.migrations.at(-1)!.version

/** Two formats that do not exist yet. */
const later: ReadonlyArray<Schema.Migration> = [
  ...Schema.migrations,
  { version: newest + 1, up: (db) => db.exec("ALTER TABLE session ADD COLUMN label TEXT NOT NULL DEFAULT 'none'") },
  { version: newest + 2, up: (db) => db.exec("UPDATE session SET label = 'of ' || principal") }
]

describe("migrations", () => {
  it("are numbered from 1 without a gap", () => {
    assert.deepStrictEqual(Schema.migrations.map((step) => step.version), Schema.migrations.map((_, i) => i + 1))
  })

  it.effect("an older file is brought to the newest format, step by step, with what it holds", () =>
    Effect.gen(function*() {
      const filename = yield* TempFile.make
      yield* Effect.scoped(Effect.gen(function*() {
        const file = yield* open(filename, Schema.migrations)
        assert.strictEqual(formatOf(file), newest)
        Backend.make(file).apply([[{ _tag: "OpenSession", id: "s", principal: "ann", data: "{}" }]], 1)
      }))
      const file = yield* open(filename, later)
      assert.strictEqual(formatOf(file), newest + 2)
      assert.deepInclude(file.db.prepare("SELECT label FROM session").get(), { label: "of ann" })
      assert.strictEqual(Backend.make(file).session("s")?.principal, "ann")
    }))

  it.effect("a step that fails leaves the file as it was", () =>
    Effect.gen(function*() {
      const filename = yield* TempFile.make
      yield* Effect.scoped(open(filename, Schema.migrations))
      const failing = later.with(-1, {
        version: newest + 2,
        up: () => {
          throw new Error("cut off")
        }
      })
      assert.throws(
        () => File.open({ filename, synchronous: "NORMAL", maxPageCount: undefined, migrations: failing }),
        /cut off/
      )
      const file = yield* open(filename, Schema.migrations)
      assert.strictEqual(formatOf(file), newest)
      assert.notInclude(JSON.stringify(file.db.prepare("PRAGMA table_info(session)").all()), "label")
    }))
})
