/**
 * A SQLite store whose processes die. Each process that follows on a death works
 * on a copy of the files as they were in that moment: what the dead one still
 * does while it is cleaned up (it closes its connection, which empties the log)
 * happens to files that nobody reads any more.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as SqliteStore from "../../store/SqliteStore.ts"
import type { Instance } from "../Disk.ts"
import * as AuditSqlite from "./auditSqlite.ts"
import { seededBytes } from "./seededBytes.ts"

/** How the end of the log is damaged. */
interface Tear {
  /** Offset of the first byte that is lost. */
  readonly at: number
  /** A file that ends there; one that has its length already, and zeros or other bytes in it. */
  readonly left: "nothing" | "zeros" | "garbage"
}

const descriptors = "/proc/self/fd"

/** @internal */
export const make = (folder: string): Instance => {
  let deaths = 0
  let tear: Tear | undefined

  const file = () => Path.join(folder, String(deaths), "store.db")
  const log = () => `${file()}-wal`
  Fs.mkdirSync(Path.dirname(file()))

  return {
    layer: Layer.suspend(() => SqliteStore.layer({ filename: file(), synchronous: "NORMAL" })),
    died: () => {
      const left = [file(), log()]
      deaths++
      Fs.mkdirSync(Path.dirname(file()))
      for (const name of left) {
        if (Fs.existsSync(name)) {
          Fs.copyFileSync(name, Path.join(Path.dirname(file()), Path.basename(name)))
        }
      }
      if (tear !== undefined) {
        damage(log(), tear)
        tear = undefined
      }
    },
    tear: (unacknowledged) =>
      Effect.suspend(() => {
        const data = read(file())
        const before = read(log())
        return Effect.tap(unacknowledged, () =>
          Effect.sync(() => {
            // A checkpoint syncs the log before it copies it: then there is nothing to lose.
            if (read(file()).equals(data)) {
              tear = chooseTear(before, read(log()))
            }
          }))
      }),
    check: Effect.sync(() => AuditSqlite.check(file())),
    openFiles: Effect.sync(() =>
      Fs.existsSync(descriptors)
        ? Fs.readdirSync(descriptors).map(target).filter((name) => name.startsWith(`${folder}${Path.sep}`))
        : []
    )
  }
}

const read = (file: string): Buffer => Fs.existsSync(file) ? Fs.readFileSync(file) : Buffer.alloc(0)

/** What a descriptor is open on; that of the listing itself is closed by now. */
const target = (descriptor: string): string => {
  try {
    return Fs.readlinkSync(Path.join(descriptors, descriptor))
  } catch {
    return ""
  }
}

/** Somewhere in what is new: at its first byte nothing of it was written, and never is all of it there. */
const chooseTear = (before: Buffer, after: Buffer): Tear | undefined => {
  const isNew = (at: number) => before[at] !== after[at]
  let first = 0
  while (first < after.length && !isNew(first)) {
    first++
  }
  let end = after.length
  while (end > first && !isNew(end - 1)) {
    end--
  }
  if (first === end) {
    return undefined
  }
  const [high = 0, low = 0, kind = 0] = seededBytes(end - first)(3)
  return {
    at: first + Math.floor((high * 256 + low) / 65_536 * (end - first)),
    left: (["nothing", "zeros", "garbage"] as const)[kind % 3] ?? "nothing"
  }
}

const damage = (file: string, { at, left }: Tear): void => {
  const { size } = Fs.statSync(file)
  Fs.truncateSync(file, at)
  if (left !== "nothing") {
    Fs.appendFileSync(file, left === "zeros" ? Buffer.alloc(size - at) : seededBytes(at)(size - at))
  }
}
