/**
 * The shape of `src`, checked from its import declarations: arrows point down
 * (docs/architecture.md), leaf modules only, private code stays private.
 */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("../src", import.meta.url))

/** From the bottom up. A module may import from its own layer and from those before it. */
const layers = ["store", "session", "engine", "protocol", "transport", "top", "testing"] as const
/** `client` stands alone; `reboot` is a backend that stands beside the store, and that nothing knows. */
type Layer = typeof layers[number] | "client" | "reboot"

/** Modules at the root of `src`, whose layer no folder tells. */
const rootModules: Readonly<Record<string, Layer>> = {
  "Durable.ts": "engine",
  "DurableMcp.ts": "top",
  "Limits.ts": "top",
  "index.ts": "top"
}

/** The modules that know how Effect's MCP registry looks inside, and therefore may cast to `any`. */
const seam = /^protocol\/(stock\.ts|toolkit\.ts|internal\/)/

/** What only the seam touches: the adapters of the protocol's versions, and the RPC machinery beneath them. */
const seamOnly = /^effect\/(ai\/McpProtocol|rpc\/)/

interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
  /** Path of the target below `src`, of a relative import. */
  readonly target: string | undefined
}

interface Module {
  readonly path: string
  readonly layer: Layer | undefined
  readonly imports: ReadonlyArray<Import>
  /** Lines with `as any`. */
  readonly casts: ReadonlyArray<number>
}

const layerOf = (path: string): Layer | undefined => {
  if (!path.includes("/")) return rootModules[path]
  const folder = path.slice(0, path.indexOf("/"))
  return ([...layers, "client", "reboot"] as const).find((layer) => layer === folder)
}

const isTypeOnly = (node: ts.ImportDeclaration | ts.ExportDeclaration): boolean => {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly
  const clause = node.importClause
  if (clause === undefined) return false
  if (clause.isTypeOnly) return true
  const named = clause.namedBindings
  return clause.name === undefined && named !== undefined && ts.isNamedImports(named) &&
    named.elements.every((element) => element.isTypeOnly)
}

const isCast = (node: ts.Node): boolean => ts.isAsExpression(node) && node.type.kind === ts.SyntaxKind.AnyKeyword

const parse = (path: string): Module => {
  const file = join(root, path)
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ESNext)
  const imports: Array<Import> = []
  const casts: Array<number> = []
  const add = (specifier: string, typeOnly: boolean) =>
    imports.push({
      specifier,
      typeOnly,
      target: specifier.startsWith(".")
        ? relative(root, resolve(dirname(file), specifier)).split(sep).join("/")
        : undefined
    })
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      add(node.moduleSpecifier.text, isTypeOnly(node))
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) add(node.argument.literal.text, true)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments
      if (argument !== undefined && ts.isStringLiteral(argument)) add(argument.text, false)
    } else if (isCast(node)) {
      casts.push(source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return { path, layer: layerOf(path), imports, casts }
}

const modules = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => parse(path.split(sep).join("/")))

/** `store/internal` for `store/internal/scheduler.ts`; the folder whose siblings may import it is `store`. */
const ownerOfInternal = (path: string): string | undefined => {
  const match = /^(.*?)\/?internal\//.exec(path)
  return match === null ? undefined : match[1]
}

const violations = (check: (module: Module, imported: Import) => string | undefined): ReadonlyArray<string> =>
  modules.flatMap((module) =>
    module.imports.flatMap((imported) => {
      const why = check(module, imported)
      return why === undefined ? [] : [`${module.path} -> ${imported.specifier}: ${why}`]
    })
  )

describe("layering", () => {
  it("every module belongs to a layer", () => {
    assert.deepStrictEqual(modules.filter((module) => module.layer === undefined).map((module) => module.path), [])
    assert.isAbove(modules.length, 10)
  })

  it("arrows point down", () => {
    assert.deepStrictEqual(
      violations((module, { target }) => {
        if (target === undefined) return undefined
        const to = layerOf(target)
        if (module.layer === undefined || to === undefined) return "leaves src"
        // The client stands alone: it shares no code with the server, in either direction.
        if (module.layer === "client" || to === "client") {
          return module.layer === to ? undefined : "client stands alone"
        }
        if (module.layer === "reboot") return to === "reboot" || to === "store" ? undefined : "knows the store only"
        if (to === "reboot") return "loaded by those who want it"
        return layers.indexOf(to) <= layers.indexOf(module.layer) ? undefined : `${module.layer} must not know ${to}`
      }),
      []
    )
  })

  it("internal modules are imported from their own layer only", () => {
    assert.deepStrictEqual(
      violations((module, { target }) => {
        const owner = target === undefined ? undefined : ownerOfInternal(target)
        if (owner === undefined || module.path.startsWith(`${owner}/`)) return undefined
        // Backends share how steps are driven, tails followed and writes checked.
        if (module.layer === "reboot" && owner === "store") return undefined
        return !module.path.includes("/") && module.layer === owner ? undefined : `internal to ${owner}`
      }),
      []
    )
  })

  it("relative imports name the file", () => {
    assert.deepStrictEqual(
      violations((_, { specifier, target }) =>
        target === undefined || specifier.endsWith(".ts") ? undefined : "without .ts"
      ),
      []
    )
  })

  it("packages are imported by leaf module, so that a server does not load what it does not use", () => {
    const leaf = /^(effect|@effect\/platform-node)(\/[a-z-]+)*\/[A-Z][A-Za-z0-9]*$/
    assert.deepStrictEqual(
      violations((module, { specifier, target }) => {
        if (target !== undefined) return undefined
        if (module.layer === "client") return "the client has no dependencies"
        return specifier.startsWith("node:") || leaf.test(specifier) ? undefined : "not a leaf module"
      }),
      []
    )
  })

  it("Effect's MCP registry is touched in one place", () => {
    assert.deepStrictEqual(
      violations((module, { specifier, typeOnly }) => {
        if (seamOnly.test(specifier) && !typeOnly && module.layer !== "protocol") return "only protocol adapts"
        const below = module.layer === "store" || module.layer === "reboot" || module.layer === "session"
        return below && specifier.startsWith("effect/ai/") ? "MCP below the engine" : undefined
      }),
      []
    )
    assert.deepStrictEqual(
      modules.filter((module) => !seam.test(module.path)).flatMap((module) =>
        module.casts.map((line) => `${module.path}:${line}`)
      ),
      []
    )
  })

  it("no cycles at run time", () => {
    const targets = new Map(modules.map((module) => [
      module.path,
      module.imports.flatMap((imported) => imported.typeOnly || imported.target === undefined ? [] : [imported.target])
    ]))
    const done = new Set<string>()
    const cycles: Array<string> = []
    const walk = (path: string, trail: ReadonlyArray<string>): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "))
        return
      }
      if (done.has(path)) return
      for (const target of targets.get(path) ?? []) walk(target, [...trail, path])
      done.add(path)
    }
    for (const path of targets.keys()) walk(path, [])
    assert.deepStrictEqual(cycles, [])
  })
})
