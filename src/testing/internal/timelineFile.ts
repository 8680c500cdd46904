import * as Fs from "node:fs"
import * as Path from "node:path"

/**
 * Writes a drawing, and says in a line where it is. A test that fails must not
 * fail of that instead.
 *
 * @internal
 */
export const write = (file: string, html: string): string => {
  try {
    Fs.mkdirSync(Path.dirname(Path.resolve(file)), { recursive: true })
    Fs.writeFileSync(file, html)
    return `Drawn in ${file}`
  } catch (error) {
    return `Not drawn in ${file}: ${error instanceof Error ? error.message : String(error)}`
  }
}
