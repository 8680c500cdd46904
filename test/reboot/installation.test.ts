/** Which installation of Reboot is taken, and what is said of one that is not complete. */
import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { find, type Installation } from "../../src/reboot/internal/installation.ts"
import { StoreError } from "../../src/store/StoreError.ts"

const write = (file: string, text: string): void => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/** What the set-up leaves in `folder`, and its Python in `python`. */
const setUp = (folder: string, python: string): void => {
  const at = join(folder, "node_modules/@reboot-dev/reboot")
  write(join(at, "package.json"), JSON.stringify({ version: "1.0.4" }))
  write(join(at, "build/Release/reboot_native.node"), "")
  write(join(at, ".venv/pyvenv.cfg"), `home = ${python}/bin\nversion = 3.11.7\n`)
  write(join(at, ".venv/lib/python3.11/site-packages/reboot-1.0.4.dist-info/METADATA"), "")
  symlinkSync("python3.11", join(at, ".venv/lib/python3.10"))
  mkdirSync(join(python, "bin"), { recursive: true })
}

/** A user's project with this package in it, in a folder that is gone afterwards. */
const inProject = (
  test: (project: {
    readonly folder: string
    readonly python: string
    readonly find: (options?: Parameters<typeof find>[0]) => Installation | StoreError
  }) => void
) =>
() => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "effect-durable-mcp-installation-")))
  try {
    const root = join(folder, "node_modules/effect-durable-mcp")
    mkdirSync(root, { recursive: true })
    test({
      folder,
      python: join(folder, "python"),
      find: (options) => find({ directory: folder, environment: { PATH: "/bin" }, root, ...options })
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const messageOf = (found: Installation | StoreError): string => {
  assert.isTrue(StoreError.is(found))
  return (found as StoreError).message
}

const packageOf = (found: Installation | StoreError): string => {
  assert.isFalse(StoreError.is(found), StoreError.is(found) ? found.message : "")
  return (found as Installation).packageFolder
}

describe("installation", () => {
  it(
    "says where it has looked, and what to type in a project",
    inProject(({ find, folder }) => {
      assert.strictEqual(
        messageOf(find()),
        `Reboot is not set up. Looked in ${folder}/node_modules/effect-durable-mcp/reboot, ${folder}/.reboot and the ` +
          `packages of ${folder}. Run: bash node_modules/effect-durable-mcp/reboot/setup.sh`
      )
    })
  )

  it(
    "says what to type in a checkout",
    inProject(({ find, folder }) => {
      assert.match(messageOf(find({ root: join(folder, "checkout") })), /Run: npm run reboot:setup$/)
    })
  )

  it(
    "gives what Reboot wants to find in its environment",
    inProject(({ find, folder, python }) => {
      setUp(join(folder, ".reboot"), python)
      const at = join(folder, ".reboot/node_modules/@reboot-dev/reboot")
      const found = find() as Installation
      assert.strictEqual(packageOf(found), at)
      assert.strictEqual(found.packageUrl.pathname, join(at, "package.json"))
      assert.deepStrictEqual(found.environment, {
        VIRTUAL_ENV: join(at, ".venv"),
        PYTHONHOME: python,
        PYTHONPATH: join(at, ".venv/lib/python3.10/site-packages"),
        PATH: `${join(at, ".venv/bin")}:/bin`
      })
    })
  )

  it(
    "takes the package's own folder before that of the project, and that before a peer",
    inProject(({ find, folder, python }) => {
      setUp(folder, python)
      assert.strictEqual(packageOf(find()), join(folder, "node_modules/@reboot-dev/reboot"))
      setUp(join(folder, ".reboot"), python)
      assert.strictEqual(packageOf(find()), join(folder, ".reboot/node_modules/@reboot-dev/reboot"))
      const root = join(folder, "checkout")
      setUp(join(root, "reboot"), python)
      assert.strictEqual(packageOf(find({ root })), join(root, "reboot/node_modules/@reboot-dev/reboot"))
    })
  )

  it(
    "takes a complete one that comes later, and of several that are not complete speaks of the first",
    inProject(({ find, folder, python }) => {
      setUp(join(folder, ".reboot"), python)
      unlinkSync(join(folder, ".reboot/node_modules/@reboot-dev/reboot/build/Release/reboot_native.node"))
      write(join(folder, "node_modules/@reboot-dev/reboot/package.json"), JSON.stringify({ version: "1.7.2" }))
      assert.match(messageOf(find()), /^Reboot in \S+\/\.reboot is not complete: its native addon was not built\. Run/)
      rmSync(join(folder, "node_modules/@reboot-dev"), { recursive: true })
      setUp(folder, python)
      assert.strictEqual(packageOf(find()), join(folder, "node_modules/@reboot-dev/reboot"))
    })
  )

  it(
    "looks nowhere else than where the option or the environment says, the option first",
    inProject(({ find, folder, python }) => {
      setUp(join(folder, ".reboot"), python)
      setUp(join(folder, "named"), python)
      const environment = { EFFECT_DURABLE_MCP_REBOOT: join(folder, "named") }
      assert.strictEqual(packageOf(find({ environment })), join(folder, "named/node_modules/@reboot-dev/reboot"))
      assert.strictEqual(
        packageOf(find({ environment, reboot: ".reboot" })),
        join(folder, ".reboot/node_modules/@reboot-dev/reboot")
      )
      assert.match(
        messageOf(find({ reboot: "elsewhere" })),
        /^Reboot is not installed in \S+\/elsewhere, which the option reboot names\. Run/
      )
      assert.match(
        messageOf(find({ environment: { EFFECT_DURABLE_MCP_REBOOT: "elsewhere" } })),
        /^Reboot is not installed in \S+\/elsewhere, which EFFECT_DURABLE_MCP_REBOOT names\. Run/
      )
    })
  )

  for (
    const [what, spoil, says] of [
      [
        "another version",
        (at: string) => writeFileSync(join(at, "package.json"), JSON.stringify({ version: "1.6.0" })),
        "its version is 1.6.0, and it must be 1.0.4"
      ],
      [
        "no version",
        (at: string) => writeFileSync(join(at, "package.json"), "{"),
        "its version is unreadable, and it must be 1.0.4"
      ],
      ["no addon", (at: string) => rmSync(join(at, "build"), { recursive: true }), "its native addon was not built"],
      ["no Python side", (at: string) => rmSync(join(at, ".venv"), { recursive: true }), "its Python side is missing"],
      [
        "a link to a cache that was removed",
        (at: string) => {
          rmSync(join(at, ".venv"), { recursive: true })
          symlinkSync(join(at, "gone"), join(at, ".venv"))
        },
        "its Python side is missing"
      ],
      [
        "no Python any more",
        (_: string, python: string) => rmSync(python, { recursive: true }),
        "it was built for the Python in "
      ],
      [
        "another wheel",
        (at: string) =>
          rmSync(join(at, ".venv/lib/python3.11/site-packages/reboot-1.0.4.dist-info"), { recursive: true }),
        "its Python side has no wheel reboot 1.0.4"
      ],
      [
        "no link for Pythons after 3.10",
        (at: string) => unlinkSync(join(at, ".venv/lib/python3.10")),
        "its Python side has no wheel reboot 1.0.4"
      ]
    ] as const
  ) {
    it(
      `names what is missing: ${what}`,
      inProject(({ find, folder, python }) => {
        setUp(join(folder, ".reboot"), python)
        spoil(join(folder, ".reboot/node_modules/@reboot-dev/reboot"), python)
        const message = messageOf(find())
        assert.isTrue(message.startsWith(`Reboot in ${join(folder, ".reboot")} is not complete: ${says}`), message)
        assert.match(message, /Run: bash node_modules\/effect-durable-mcp\/reboot\/setup\.sh$/)
      })
    )
  }
})
