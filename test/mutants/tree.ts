/**
 * Copies of the sources, in which bugs are planted.
 */
import { Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import type { Catch, Mode, Settings } from "./hunt.ts"
import type { Edit, Mutant } from "./Mutant.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const here = relative(root, fileURLToPath(new URL(".", import.meta.url)))

/** What is wrong with the edits of a mutant; nothing while they fit the sources. */
export const stale = (edits: ReadonlyArray<Edit>): ReadonlyArray<string> =>
  edits.flatMap(({ file, search }) => {
    const found = readFileSync(join(root, "src", file), "utf8").split(search).length - 1
    return found === 1 ? [] : [`${file} has ${found} times, and not once: ${search}`]
  })

/** A tree of its own, gone with the scope, in which the package's name means the changed sources. */
export const copy = (edits: ReadonlyArray<Edit>): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const [misfit] = stale(edits)
      if (misfit !== undefined) {
        throw new Error(`A stale mutant: ${misfit}`)
      }
      const tree = mkdtempSync(join(tmpdir(), "effect-durable-mcp-mutant-"))
      for (const path of ["src", here, "package.json"]) {
        cpSync(join(root, path), join(tree, path), { recursive: true })
      }
      symlinkSync(join(root, "node_modules"), join(tree, "node_modules"))
      for (const { file, replace, search } of edits) {
        const path = join(tree, "src", file)
        // A function: in a text, `$` would mean something.
        writeFileSync(path, readFileSync(path, "utf8").replace(search, () => replace))
      }
      return tree
    }),
    (tree) => Effect.sync(() => rmSync(tree, { recursive: true, force: true }))
  )

/** Hunts in a process of its own, over the sources of the tree. */
export const huntIn = (
  tree: string,
  mutant: Pick<Mutant, "name"> | undefined,
  mode: Mode,
  settings: Settings
): Effect.Effect<Catch | undefined, Error> =>
  Effect.callback((resume) => {
    const child = execFile(
      process.execPath,
      [
        "--conditions=effect-durable-mcp",
        join(tree, here, "child.ts"),
        JSON.stringify({ mutant: mutant?.name, mode, settings })
      ],
      { cwd: tree, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) =>
        resume(
          error === null
            ? Effect.succeed((JSON.parse(stdout) as { readonly found?: Catch }).found)
            : Effect.fail(new Error(`${mutant?.name ?? "the honest tree"}, ${mode}: ${error.message}\n${stderr}`))
        )
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
