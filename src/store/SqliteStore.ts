/**
 * The store in one SQLite file: the default.
 *
 * What a commit acknowledges survives the end of the process (`kill -9`) at both
 * levels of `synchronous`, and with `"FULL"` also the end of the machine. One
 * process at a time holds a file. Commits run on the main thread, several in one
 * transaction; `docs/architecture.md` has the figures that decided it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { fromBackend } from "./internal/fromBackend.ts"
import * as Backend from "./internal/sqliteBackend.ts"
import * as Commit from "./internal/sqliteCommit.ts"
import * as Errors from "./internal/sqliteErrors.ts"
import * as File from "./internal/sqliteFile.ts"
import * as Schema from "./internal/sqliteSchema.ts"
import { Store } from "./Store.ts"
import type { StoreError } from "./StoreError.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The database file, made when it does not exist; its folder must. Beside it
   * lie `-wal` and `-shm` (a backup of a running server needs SQLite's own
   * `.backup`, or all three), `.lock` and `.holder`. `":memory:"` for tests.
   */
  readonly filename: string
  /**
   * What a commit waits for. `"FULL"`: the disk, so that it survives a loss of
   * power; the event loop goes on meanwhile. `"NORMAL"`: the operating system; a loss of power can take the last
   * commits, never part of one. Default `"FULL"`.
   */
  readonly synchronous?: "FULL" | "NORMAL" | undefined
  /** Largest payload, event, exit or value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
  /** Largest size of the database file, in pages of 4 KiB: more is `DiskFull`. Default: what the disk holds. */
  readonly maxPageCount?: number | undefined
}

/**
 * A store on the file, which is free for others when the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Store["Service"], StoreError, Scope.Scope> {
  const file = yield* Effect.acquireRelease(
    Effect.try({
      try: () =>
        File.open({
          filename: options.filename,
          synchronous: options.synchronous ?? "FULL",
          maxPageCount: options.maxPageCount,
          migrations: Schema.migrations
        }),
      catch: (cause) => Errors.fromCause(options.filename, cause)
    }),
    (file) => Effect.sync(file.close)
  )
  const backend = Backend.make(file)
  const log = options.synchronous === "NORMAL" || options.filename === File.memory
    ? undefined
    : yield* Effect.acquireRelease(
      Effect.try({
        try: () => Commit.logSync(file.file),
        catch: (cause) => Errors.fromCause(options.filename, cause)
      }),
      (log) => Effect.sync(log.close)
    )
  return yield* fromBackend(backend, {
    maxPayloadBytes: options.maxPayloadBytes,
    commit: log === undefined ? undefined : Commit.make(backend, file.file, log)
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Store, StoreError> => Layer.effect(Store)(make(options))
