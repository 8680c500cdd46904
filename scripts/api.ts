/**
 * The public surface, as one file that a reviewer reads: the declarations of all
 * modules that the entry points reach, without comments.
 *
 * `npm run check` compares it with docs/api-report.md; `npm run api` writes it.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve, sep } from "node:path"
import ts from "typescript"
import packageJson from "../package.json" with { type: "json" }
import { root, run } from "./tools.ts"

const report = join(root, "docs", "api-report.md")

/** What a declaration file imports, exports from elsewhere, or names in an `import()` type. */
const specifiers = (file: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const visit = (node: ts.Node): void => {
    const specifier = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
      ? node.argument.literal
      : undefined
    if (specifier !== undefined && ts.isStringLiteral(specifier)) found.push(specifier.text)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ESNext))
  return found
}

/** Paths of the declarations that the entry points reach, below `folder`. */
const reachable = (folder: string, entries: ReadonlyArray<string>): ReadonlySet<string> => {
  const seen = new Set<string>()
  const walk = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    for (const specifier of specifiers(join(folder, path))) {
      // What is internal is closed to users, and may change without their notice.
      if (!specifier.startsWith(".") || specifier.includes("internal/")) continue
      walk(relative(folder, resolve(folder, dirname(path), specifier.replace(/\.(ts|js)$/, ".d.ts"))))
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
  } else if (!existsSync(report) || readFileSync(report, "utf8") !== surface) {
    writeFileSync(join(folder, "api-report.md"), surface)
    spawnSync("git", ["--no-pager", "diff", "--no-index", report, join(folder, "api-report.md")], { stdio: "inherit" })
    console.error("The public surface differs from docs/api-report.md. If that is meant, run `npm run api`.")
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true })
}
