import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Backend from "../../src/store/internal/sqliteBackend.ts"
import * as Errors from "../../src/store/internal/sqliteErrors.ts"
import * as File from "../../src/store/internal/sqliteFile.ts"
import { migrations } from "../../src/store/internal/sqliteSchema.ts"
import { fromBackendOf, storeContract } from "./contract.ts"
import * as TempFile from "./sqlite/TempFile.ts"

const open = (filename: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => File.open({ filename, synchronous: "NORMAL", maxPageCount: undefined, migrations }),
      catch: (cause) => Errors.fromCause(filename, cause)
    }),
    (file) => Effect.sync(file.close)
  ).pipe(
    // No machine stops here: thousands of files need not reach the disk.
    Effect.tap((file) => Effect.sync(() => file.db.exec("PRAGMA synchronous = OFF"))),
    Effect.map(Backend.make)
  )

/** An empty store's file, to be copied: making the tables is most of what a new one costs. */
const template = Effect.runSync(Effect.scoped(Effect.gen(function*() {
  const filename = yield* TempFile.make
  yield* Effect.scoped(open(filename))
  return Fs.readFileSync(filename)
})))

storeContract(
  "SqliteStore",
  Effect.map(TempFile.makeInMemory, (filename) => {
    Fs.writeFileSync(filename, template)
    return { open: fromBackendOf(open(filename)) }
  })
)
