/**
 * Reboot's own command line, `rbt`, as it has to be started where Reboot lives in
 * a folder of its own: its `rbt.js` looks for everything from the current
 * directory, so what it would set is set here.
 */
import { createRequire } from "node:module"
import { delimiter, join } from "node:path"
import { find, type Installation } from "../../src/reboot/internal/installation.ts"
import { environment, root } from "../tools.ts"

export const folder = join(root, "reboot")

/** Ends the script, with what to type, where Reboot is not set up. */
export const installed = (): Installation => {
  const found = find({ reboot: folder, directory: root, environment })
  if (found instanceof Error) {
    console.error(found.message)
    process.exit(1)
  }
  return found
}

/** Loads a package of Reboot's folder. */
export const load = createRequire(join(folder, "package.json"))

/** The program `rbt`, and the environment it needs: its plugins for protoc are JavaScript, below `reboot/node_modules`. */
export const rbt = ({ environment: ofReboot, venv }: Installation) => ({
  program: join(venv, "bin", "rbt"),
  environment: {
    ...environment,
    ...ofReboot,
    RBT_FROM_NODEJS: "true",
    NODE_PATH: join(folder, "node_modules"),
    PATH: [join(folder, "bin"), join(folder, "node_modules", ".bin"), ofReboot.PATH].join(delimiter)
  } satisfies NodeJS.ProcessEnv
})
