/**
 * Reboot costs nobody anything who does not open it: importing this package
 * loads nothing of it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"

const loadedBy = (modules: ReadonlyArray<string>): ReadonlyArray<string> => {
  const program = `
    import { registerHooks } from "node:module"
    const loaded = []
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
    for (const module of ${JSON.stringify(modules)}) await import(module)
    console.log(JSON.stringify(loaded))
  `
  const { stderr, stdout } = ChildProcess.spawnSync(
    process.execPath,
    ["--conditions=source", "--input-type=module", "--eval", program],
    { encoding: "utf8" }
  )
  assert.strictEqual(stderr, "")
  return JSON.parse(stdout)
}

describe("importing", () => {
  it("the package and its part for Reboot loads nothing of Reboot", () => {
    const loaded = loadedBy(
      ["../../src/index.ts", "../../src/reboot/index.ts"].map((path) => new URL(path, import.meta.url).href)
    )
    assert.isTrue(loaded.some((url) => url.endsWith("/RebootStore.ts")))
    assert.deepStrictEqual(loaded.filter((url) => /@reboot-dev|@bufbuild|\/reboot\/generated\/|\.node$/.test(url)), [])
  })

  it("the package loads nothing of its part for Reboot", () => {
    const loaded = loadedBy([new URL("../../src/index.ts", import.meta.url).href])
    assert.deepStrictEqual(loaded.filter((url) => url.includes("/src/reboot/")), [])
  })
})
