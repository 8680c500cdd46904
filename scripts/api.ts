/**
 * The public surface, as one file that a reviewer reads: the declarations of all
 * modules that the entry points reach, without comments.
 *
 * `npm run check` compares it with docs/api-report.md; `npm run api` writes it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve, sep } from "node:path"
import ts from "typescript"
import packageJson from "../package.json" with { type: "json" }
import { root, run } from "./tools.ts"

const report = join(root, "docs", "api-report.md")

/** Paths of the declarations that an entry point reaches, below `folder`. */
const reachable = (folder: string, entries: ReadonlyArray<string>): ReadonlySet<string> => {
  const seen = new Set<string>()
  const walk = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    for (const { fileName } of ts.preProcessFile(readFileSync(join(folder, path), "utf8")).importedFiles) {
      if (!fileName.startsWith(".")) continue
      walk(relative(folder, resolve(folder, dirname(path), fileName.replace(/\.(ts|js)$/, ".d.ts"))))
    }
  }
  for (const entry of entries) walk(entry)
  return seen
}

const render = (folder: string): string => {
  const entries = Object.values(packageJson.exports).flatMap((target) =>
    typeof target === "string" ? [] : [target.types.replace("./dist/", "")]
  )
  const sections = [...reachable(folder, entries)].toSorted().map((path) =>
    `## ${path.split(sep).join("/")}\n\n\`\`\`ts\n${readFileSync(join(folder, path), "utf8").trim()}\n\`\`\`\n`
  )
  return [
    "# API report\n",
    "The declarations that the package's entry points reach. Written by `npm run api`, compared by `npm run check`.\n",
    ...sections
  ].join("\n")
}

const folder = mkdtempSync(join(tmpdir(), "effect-durable-mcp-api-"))
try {
  const emit = ["--emitDeclarationOnly", "--declarationMap", "false", "--removeComments", "--outDir", folder]
  const code = await run("tsc", ["--project", "tsconfig.build.json", ...emit])
  const surface = render(folder)
  if (code !== 0) {
    process.exitCode = code
  } else if (process.argv.includes("--write")) {
    writeFileSync(report, surface)
    console.log(`wrote ${relative(root, report)}`)
  } else if (readFileSync(report, "utf8") !== surface) {
    writeFileSync(join(folder, "api-report.md"), surface)
    await run("git", ["--no-pager", "diff", "--no-index", "--stat", "-p", report, join(folder, "api-report.md")])
    console.error("The public surface differs from docs/api-report.md. If that is meant, run `npm run api`.")
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true })
}
