/**
 * Where a fiber is in a run: at the body, or inside an attempt of a step. It
 * gives names to what happens there.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
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
  /** The fiber that runs the attempt; the body's is known to the run. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  #names: Map<string, number> | undefined
  #emissions = 0
  /** How often fibers beside the frame's own have said the same. */
  #others: Map<string, number> | undefined

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

  /**
   * Key of the next emission: `body/<n>`, or `<step>@<attempt>/<n>`. Only what
   * the frame's own fiber says has an order that a replay repeats; what others
   * say is known by its content: `body/~<digest>#<n>`.
   */
  nextEmission(fiber: Fiber.Fiber<unknown, unknown>, content: unknown): string {
    const prefix = this.isBody ? "body/" : this.attempt
    if (this.isBody ? this.run.isRoot(fiber) : fiber === this.fiber) {
      return `${prefix}${this.#emissions++}`
    }
    const digest = this.run.env.ids.derive("emission", print(content))
    const others = this.#others ??= new Map()
    const count = (others.get(digest) ?? 0) + 1
    others.set(digest, count)
    return `${prefix}~${digest}#${count}`
  }
}

/** What is not JSON is not sent, whatever its key. */
const print = (content: unknown): string => {
  try {
    return JSON.stringify(content)
  } catch {
    return ""
  }
}

/** The frame of the calling fiber; `undefined` outside a durable run. @internal */
export const CurrentFrame: Context.Reference<Frame | undefined> = Context.Reference<Frame | undefined>(
  "effect-durable-mcp/engine/CurrentFrame",
  { defaultValue: () => undefined }
)

/** Runs an attempt in its frame, whose own fiber is the one that gets here. @internal */
export const runWithin = <A, E, R>(frame: Frame, attempt: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(
    Effect.withFiber((fiber) => {
      frame.fiber = fiber
      return attempt()
    }),
    CurrentFrame,
    frame
  )

/** @internal */
export const fromFiber = (fiber: Fiber.Fiber<unknown, unknown>): Frame | undefined => fiber.getRef(CurrentFrame)
