/**
 * When a write of another process can be read. Its servicer runs here, but what
 * it returns is made durable after it, and Reboot tells only who called.
 *
 * @internal
 */
import type { StateType } from "./Application.ts"

/** @internal */
export interface Confirming {
  /** The state may become this version: `confirmed` is called when it can be read, or when nobody can tell. */
  readonly applied: (type: StateType, id: string, version: number, confirmed: () => void) => void
  /** From now on versions can be asked for. */
  readonly start: (version: (type: StateType, id: string) => Promise<number>) => void
}

/** Waits before the state is looked at, in milliseconds: a write takes some 5. */
const firstWait = 4
const longestWait = 250

/** After these many looks the write has failed, or fails to be seen: whoever is told looks for himself. */
const looks = 12

interface Waiting {
  readonly version: number
  readonly confirmed: () => void
}

/** @internal */
export const make = (): Confirming => {
  const waiting = new Map<string, Array<Waiting>>()
  let versionOf: ((type: StateType, id: string) => Promise<number>) | undefined

  const look = (type: StateType, id: string, wait: number, left: number): void => {
    const key = `${type}/${id}`
    // Unheard of by the process's end: who waits for it reads anyway when he comes up.
    setTimeout(async () => {
      const version = await versionOf?.(type, id).catch(() => undefined) ?? -1
      const still: Array<Waiting> = []
      const seen: Array<Waiting> = []
      for (const one of waiting.get(key) ?? []) (one.version <= version || left === 0 ? seen : still).push(one)
      if (still.length === 0) {
        waiting.delete(key)
      } else {
        waiting.set(key, still)
        look(type, id, Math.min(wait * 2, longestWait), left - 1)
      }
      for (const { confirmed } of seen) confirmed()
    }, wait).unref()
  }

  return {
    applied: (type, id, version, confirmed) => {
      const key = `${type}/${id}`
      const others = waiting.get(key)
      if (others !== undefined) {
        others.push({ version, confirmed })
      } else {
        waiting.set(key, [{ version, confirmed }])
        look(type, id, firstWait, looks)
      }
    },
    start: (version) => {
      versionOf = version
    }
  }
}
