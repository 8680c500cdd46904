/**
 * Where a fiber is in a run: at the body, or inside an attempt of a step. It
 * gives names to what happens there.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import { escape } from "./Replay.ts"
import type { Run } from "./Run.ts"

/** @internal */
export class Frame {
  readonly run: Run
  /** Prefix of the paths in this frame: empty at the body, `outer/` inside `outer`. */
  readonly path: string
  /**
   * Prefix of what belongs to one attempt: `outer@2/`. A finished step inside
   * `outer` is finished for all attempts of `outer`; a failed one only for the
   * attempt that it made fail.
   */
  readonly attempt: string
  #names: Map<string, number> | undefined
  #emissions = 0

  constructor(run: Run, path: string, attempt: string) {
    this.run = run
    this.path = path
    this.attempt = attempt
  }

  get isBody(): boolean {
    return this.path === ""
  }

  /** The name as it is on disk; one that comes again is numbered by order. */
  number(name: string): string {
    const escaped = escape(name)
    const names = this.#names ??= new Map()
    const count = (names.get(escaped) ?? 0) + 1
    names.set(escaped, count)
    return count === 1 ? escaped : `${escaped}#${count}`
  }

  /** Key of the next emission: `body/<n>`, or `<step>@<attempt>/<n>`. */
  nextEmission(): string {
    return `${this.isBody ? "body/" : this.attempt}${this.#emissions++}`
  }
}

/** The frame of the calling fiber; `undefined` outside a durable run. @internal */
export const CurrentFrame: Context.Reference<Frame | undefined> = Context.Reference<Frame | undefined>(
  "effect-durable-mcp/engine/CurrentFrame",
  { defaultValue: () => undefined }
)

/** @internal */
export const fromFiber = (fiber: Fiber.Fiber<unknown, unknown>): Frame | undefined => fiber.getRef(CurrentFrame)
