/**
 * The outside world of a process: a file in which each attempt at an effect is a
 * line, written before the effect is said to be done.
 */
import { Effect, Layer } from "effect"
import * as Fs from "node:fs"
import { World } from "../../src/testing/World.ts"

export interface Attempt {
  readonly name: string
  /** Null without a key. */
  readonly key: string | null
}

/** In the order in which they were made, also by processes that are dead. */
export const read = (file: string): ReadonlyArray<Attempt> =>
  Fs.existsSync(file)
    ? Fs.readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
    : []

/** How often an effect took place: attempts under one key are one. */
export const count = (attempts: ReadonlyArray<Attempt>, name: string): number => {
  const of = attempts.filter((attempt) => attempt.name === name)
  return of.filter(({ key }) => key === null).length + new Set(of.flatMap(({ key }) => key ?? [])).size
}

/** `on` is told before and after each attempt. */
export const layer = (
  file: string,
  on: (name: string, when: "before" | "after") => void
): Layer.Layer<World> =>
  Layer.succeed(World)({
    effect: (name, options) =>
      Effect.sync(() => {
        on(name, "before")
        const attempt: Attempt = { name, key: options?.key ?? null }
        Fs.appendFileSync(file, `${JSON.stringify(attempt)}\n`)
        on(name, "after")
        return read(file).filter((other) => other.name === name && other.key === attempt.key).length
      })
  })
