/**
 * Compiles every `ts` example of the README and the docs, each as a module of
 * its own, so that what is printed there is what compiles.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { root, run } from "./tools.ts"

/** The report holds declarations, not examples. */
const notExamples = new Set(["api-report.md"])

const pages = [
  join(root, "README.md"),
  ...readdirSync(join(root, "docs")).filter((page) => page.endsWith(".md") && !notExamples.has(page)).map((page) =>
    join(root, "docs", page)
  )
].filter((page) => existsSync(page))

// Below the repository, so that the examples find its packages and the package itself by name.
const folder = join(root, ".cache", "docs")
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

let examples = 0
for (const page of pages) {
  const text = readFileSync(page, "utf8")
  for (const { 1: code, index } of text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
    // The name says where to look: the page, and the line on which the example begins.
    const line = text.slice(0, index).split("\n").length + 1
    writeFileSync(join(folder, `${basename(page, ".md")}-line-${line}.ts`), code!)
    examples++
  }
}

writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.json",
    // An example may show a value without using it.
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
    include: ["*.ts"]
  })
)
process.exitCode = examples === 0 ? 0 : await run("tsc", ["--project", folder])
console.log(`${examples} examples of ${pages.length} pages`)
