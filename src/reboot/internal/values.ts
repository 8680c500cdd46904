/**
 * Values of any length: short ones in the state that holds them, long ones in
 * chunks, whose names come from what they hold. So a long value is stored once,
 * whoever sends it how often, and a write that repeats finds it there.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Crypto from "node:crypto"
import type { StoreError } from "../../store/StoreError.ts"
import type { Application } from "./Application.ts"
import type { Mirror } from "./mirror.ts"
import type { InChunks, Value } from "./value.ts"

/** Longest value that stays in its state, in UTF-16 units: each write writes the whole state. */
const longestInState = 32 * 1024

/** Longest text of one chunk, in UTF-16 units. */
const longestChunk = 128 * 1024

/** Chunks whose names are remembered, since they need not be written again. */
const remembered = 1_024

/** Chunks that are on their way at a time, of one value. */
const concurrency = 4

/** @internal */
export interface Values {
  /** A short value as it is, a long one when its chunks are durable. */
  readonly put: (text: string) => Value | Effect.Effect<Value, StoreError>
  readonly get: (value: Value) => Effect.Effect<string, StoreError>
  /** Old entries of a call, in one chunk: its name, when it is durable. */
  readonly putEntries: (text: string) => Effect.Effect<string, StoreError>
  readonly entries: (chunk: string) => Effect.Effect<string, StoreError>
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00

/** Parts of at most `longestChunk`, each well-formed. */
const split = (text: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let from = 0
  while (text.length - from > longestChunk) {
    const to = from + longestChunk
    const end = isHighSurrogate(text.charCodeAt(to - 1)) ? to - 1 : to
    parts.push(text.slice(from, end))
    from = end
  }
  parts.push(text.slice(from))
  return parts
}

/** @internal */
export const make = (application: Application, mirror: Mirror): Values => {
  const stored = new Set<string>()

  const putPart = Effect.fnUntraced(function*(id: string, value: string) {
    const { state } = yield* application.write("Chunk", id, { value })
    mirror.written("Chunk", id, state)
  })

  const putInChunks = Effect.fnUntraced(function*(text: string) {
    const chunk = `v.${Crypto.hash("sha256", text, "base64url")}`
    const parts = split(text)
    if (!stored.has(chunk)) {
      yield* Effect.forEach(parts, (part, i) => putPart(`${chunk}.${i}`, part), { concurrency, discard: true })
      if (stored.size >= remembered) {
        stored.clear()
      }
      stored.add(chunk)
    }
    const value: InChunks = { chunk, parts: parts.length }
    return value
  })

  return {
    put: (text) => text.length <= longestInState ? text : putInChunks(text),
    get: (value) =>
      typeof value === "string"
        ? Effect.succeed(value)
        : Effect.map(
          Effect.forEach(
            Array.from({ length: value.parts }, (_, i) => `${value.chunk}.${i}`),
            (id) => mirror.read("Chunk", id),
            { concurrency }
          ),
          (parts) => parts.map((part) => part.value).join("")
        ),
    putEntries: (text) => {
      const chunk = `e.${Crypto.hash("sha256", text, "base64url")}`
      return Effect.as(putPart(chunk, text), chunk)
    },
    entries: (chunk) => Effect.map(mirror.read("Chunk", chunk), ({ value }) => value)
  }
}
