/** Reboot itself, in this process, which has one at a time. */
import { Effect, type Scope } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Application } from "../../src/reboot/internal/Application.ts"
import * as Embedded from "../../src/reboot/internal/embedded.ts"
import { find } from "../../src/reboot/internal/installation.ts"
import { StoreError } from "../../src/store/StoreError.ts"

/** A folder for its state, gone with the scope. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-mcp-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Starts it on a folder; it must be set up. */
export const on = Effect.fnUntraced(function*(
  stateDirectory: string
): Effect.fn.Return<Application, StoreError, Scope.Scope> {
  const installation = find()
  if (StoreError.is(installation)) {
    return yield* installation
  }
  return yield* Embedded.make({ name: "tests", stateDirectory, installation })
})

/** Starts it on an empty folder. */
export const make: Effect.Effect<Application, StoreError, Scope.Scope> = Effect.flatMap(folder, on)
