/**
 * Where Reboot is installed: its npm side, the addon that was compiled for it,
 * and its Python side. `reboot/setup.sh` makes all three; this module finds them
 * and says what is missing, before anything of Reboot's is loaded: half of an
 * installation would otherwise install itself, or end the process.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, realpathSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, dirname, join, relative, resolve, sep } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { StoreError } from "../../store/StoreError.ts"

/**
 * The only version, of the npm package and of the wheel: generated code checks
 * it, and `patches.ts` rests on what is inside.
 *
 * @internal
 */
export const version = "1.0.4"

/** Names the folder of an installation, where the option `reboot` does not. */
const variable = "EFFECT_DURABLE_MCP_REBOOT"

/** The root of this package, from its source as from its build. */
const ownRoot = fileURLToPath(new URL("../../../", import.meta.url))

/**
 * The generated client and servicers, by the URL of a file:
 * `new URL("effmcp/v1/store_rbt.js", generated)`.
 *
 * @internal
 */
export const generated: URL = pathToFileURL(join(ownRoot, "reboot", "generated") + sep)

/** @internal */
export interface Installation {
  /** The real path of the npm package `@reboot-dev/reboot`. */
  readonly packageFolder: string
  /** Of its `package.json`: what the bare imports of generated code are looked up from. */
  readonly packageUrl: URL
  /** The virtual environment with the wheel. Reboot knows it by this path, links in it included. */
  readonly venv: string
  /** The prefix of the Python which the addon was compiled for. */
  readonly pythonHome: string
  readonly sitePackages: string
  /**
   * What Reboot wants to find in its environment. With these set it believes that
   * its Python side is there, and neither runs pip nor asks it.
   */
  readonly environment: {
    readonly VIRTUAL_ENV: string
    readonly PYTHONHOME: string
    readonly PYTHONPATH: string
    readonly PATH: string
  }
}

/** @internal */
export interface Options {
  /** The folder whose `node_modules` holds Reboot. By default it is looked for. */
  readonly reboot?: string | undefined
  /** By default that of the process. */
  readonly directory?: string | undefined
  /** By default that of the process. */
  readonly environment?: NodeJS.ProcessEnv | undefined
  /** The root of this package; another one in tests. */
  readonly root?: string | undefined
}

/** A place where Reboot may be, and how the place came to be looked at. */
interface Place {
  readonly folder: string
  readonly by: string
}

/** The package below `folder`, as Node finds it there. */
const packageIn = (folder: string): string | undefined => {
  const at = join(folder, "node_modules", "@reboot-dev", "reboot")
  return existsSync(join(at, "package.json")) ? realpathSync(at) : undefined
}

/** The peer, where a user has installed it into the project itself. */
const peerOf = (directory: string): string | undefined => {
  try {
    return dirname(
      realpathSync(createRequire(join(directory, "package.json")).resolve("@reboot-dev/reboot/package.json"))
    )
  } catch {
    return undefined
  }
}

const versionOf = (file: string): string | undefined => {
  try {
    const { version } = JSON.parse(readFileSync(file, "utf8")) as { readonly version?: unknown }
    return typeof version === "string" ? version : undefined
  } catch {
    return undefined
  }
}

/** The folder of the Python that made the environment. */
const pythonFolderOf = (venv: string): string | undefined => {
  try {
    return /^home\s*=\s*(.+?)\s*$/m.exec(readFileSync(join(venv, "pyvenv.cfg"), "utf8"))?.[1]
  } catch {
    return undefined
  }
}

/** The installation, or what is wrong with it. */
const inspect = (packageFolder: string, environment: NodeJS.ProcessEnv): Installation | string => {
  const found = versionOf(join(packageFolder, "package.json"))
  if (found !== version) return `its version is ${found ?? "unreadable"}, and it must be ${version}`

  if (!existsSync(join(packageFolder, "build", "Release", "reboot_native.node"))) {
    return "its native addon was not built"
  }

  const venv = join(packageFolder, ".venv")
  const pythonFolder = pythonFolderOf(venv)
  if (pythonFolder === undefined) return "its Python side is missing"
  if (!existsSync(pythonFolder)) return `it was built for the Python in ${pythonFolder}, which is gone`

  // Reboot looks here whatever the version of Python; the set-up makes a link.
  const sitePackages = join(venv, "lib", "python3.10", "site-packages")
  if (!existsSync(join(sitePackages, `reboot-${version}.dist-info`))) {
    return `its Python side has no wheel reboot ${version}`
  }

  return {
    packageFolder,
    packageUrl: pathToFileURL(join(packageFolder, "package.json")),
    venv,
    pythonHome: dirname(pythonFolder),
    sitePackages,
    environment: {
      VIRTUAL_ENV: venv,
      PYTHONHOME: dirname(pythonFolder),
      PYTHONPATH: sitePackages,
      PATH: [join(venv, "bin"), ...(environment["PATH"] ? [environment["PATH"]] : [])].join(delimiter)
    }
  }
}

/** What to type to set Reboot up, from where the process is. */
const command = (root: string, directory: string): string => {
  if (!root.split(sep).includes("node_modules")) return "npm run reboot:setup"
  const script = relative(directory, join(root, "reboot", "setup.sh"))
  return `bash ${script.startsWith("..") ? join(root, "reboot", "setup.sh") : script}`
}

/**
 * The first complete installation of: the option `reboot`, the environment
 * variable `EFFECT_DURABLE_MCP_REBOOT`, this package's own folder `reboot/` (in a
 * checkout), `.reboot` of the project, the peer that the project has installed.
 * Where one of the first two is given, no other is looked at.
 *
 * @internal
 */
export const find = (options: Options = {}): Installation | StoreError => {
  const environment = options.environment ?? process.env
  const directory = resolve(options.directory ?? process.cwd())
  const root = resolve(options.root ?? ownRoot)
  const fail = (message: string) =>
    new StoreError({ reason: "Io", message: `${message} Run: ${command(root, directory)}` })

  const named: Place | undefined = options.reboot !== undefined
    ? { folder: resolve(directory, options.reboot), by: "the option reboot" }
    : environment[variable]
    ? { folder: resolve(directory, environment[variable]), by: variable }
    : undefined
  if (named !== undefined) {
    const at = packageIn(named.folder)
    if (at === undefined) return fail(`Reboot is not installed in ${named.folder}, which ${named.by} names.`)
    const found = inspect(at, environment)
    return typeof found === "string" ? fail(`Reboot in ${named.folder} is not complete: ${found}.`) : found
  }

  const folders = [join(root, "reboot"), join(directory, ".reboot")]
  const candidates = [
    ...folders.map((folder) => ({ folder, at: packageIn(folder) })),
    { folder: directory, at: peerOf(directory) }
  ]
  let problem: string | undefined
  for (const { at, folder } of candidates) {
    if (at === undefined) continue
    const found = inspect(at, environment)
    if (typeof found !== "string") return found
    problem ??= `Reboot in ${folder} is not complete: ${found}.`
  }
  return fail(problem ?? `Reboot is not set up. Looked in ${folders.join(", ")} and the packages of ${directory}.`)
}

/**
 * `find`, as an effect.
 *
 * @internal
 */
export const installation = (options?: Options): Effect.Effect<Installation, StoreError> =>
  Effect.suspend(() => {
    const found = find(options)
    return StoreError.is(found) ? Effect.fail(found) : Effect.succeed(found)
  })
