/**
 * The demo's output: a line for each thing that happens, with its time.
 */
import { Console, Effect } from "effect"

export type Who = "client" | "server" | "world" | "kill"

const colors: Record<Who, number> = { client: 36, server: 32, world: 35, kill: 31 }

export interface Timeline {
  readonly say: (who: Who, what: string) => Effect.Effect<void>
  readonly title: (text: string) => Effect.Effect<void>
}

/** Colours are for terminals, unless NO_COLOR is set. */
export const make = (): Timeline => {
  const begun = performance.now()
  const colored = process.stdout.isTTY && process.env.NO_COLOR === undefined
  const paint = (code: number, text: string) => colored ? `\u001B[${code}m${text}\u001B[0m` : text
  return {
    say: Effect.fnUntraced(function*(who, what) {
      const time = `${((performance.now() - begun) / 1000).toFixed(1)}s`.padStart(7)
      const line = who === "kill" ? paint(31, what) : what
      yield* Console.log(`${paint(2, time)}  ${paint(colors[who], who.padEnd(6))}  ${line}`)
    }),
    title: (text) => Console.log(`\n${paint(1, text)}\n`)
  }
}
