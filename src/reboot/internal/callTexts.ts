/**
 * The texts of a call's state.
 *
 * - An entry (step, signal, timer, event) is a JSON array that begins with its
 *   key, so that looking for a key decodes nothing, and a write encodes only what
 *   it adds.
 * - Of an entry that has gone into a chunk, or was trimmed, the state keeps 66
 *   bits of the key's SHA-256, as eleven characters: enough to know it again and,
 *   by its place, to find it.
 * - The head of an execution is two lines: what changes, and the one large value,
 *   which is its payload until it has a result and then the result.
 *
 * @internal
 */
import { hash } from "node:crypto"
import type * as Store from "../../store/Store.ts"
import type { CallState } from "./callState.ts"
import * as streamToken from "./streamToken.ts"
import type { Value } from "./value.ts"

// -----------------------------------------------------------------------------
// shapes
// -----------------------------------------------------------------------------

/** `[name, exit, recordedAt, key, kind, root, version]` */
export type StepText = readonly [string, Value, number, string, string, 0 | 1, string]

/** `[name, exit, recordedAt]` */
export type SignalText = readonly [string, Value, number]

/** `[name, at, exit]`, without the exit when it is no longer armed. */
export type TimerText = readonly [string, number, Value] | readonly [string, number]

/** `[key, data]`, without data for a control entry. */
export type EventText = readonly [string, Value] | readonly [string]

/** Entries of one list in a chunk, in order. */
export interface InChunk {
  readonly chunk: string
  readonly count: number
}

/** @internal */
export interface ExecutionHead {
  readonly id: string
  /** Version of the state at which it began. */
  readonly nonce: number
  readonly workflow: string
  readonly parent?: string | undefined
  readonly createdAt: number
  readonly cancel?: "safe" | "now" | undefined
  readonly parked?: { readonly state: Store.Park["state"]; readonly reason?: string | undefined } | undefined
  readonly recoveries: number
  /** Of the last `BeginRecovery`. */
  readonly recovery?: string | undefined
  /** The opening of the store that made it run last. */
  readonly boot?: string | undefined
  /** The second line is the result. */
  readonly completedAt?: number | undefined
  readonly forgotten?: true | undefined
  readonly stepChunks: ReadonlyArray<InChunk>
  readonly signalChunks: ReadonlyArray<InChunk>
  readonly oldSignals: string
}

/** @internal */
export interface StreamHead {
  readonly stream: string
  /** Version of the state at which it began. */
  readonly nonce: number
  readonly session?: string | undefined
  readonly principal: string
  readonly requestDigest: string
  readonly version: string
  readonly execution?: string | undefined
  readonly createdAt: number
  readonly closedAt?: number | undefined
  readonly forgotten?: true | undefined
  /** Events up to this seq are gone. */
  readonly trimmed: number
  readonly chunks: ReadonlyArray<InChunk & { readonly firstSeq: number }>
}

/** @internal */
export const executionHead = (state: CallState): ExecutionHead | undefined =>
  state.execution === "" ? undefined : JSON.parse(state.execution.slice(0, state.execution.indexOf("\n")))

/**
 * The second line of the execution.
 *
 * @internal
 */
export const body = (state: CallState): Value => JSON.parse(state.execution.slice(state.execution.indexOf("\n") + 1))

/** @internal */
export const streamHead = (state: CallState): StreamHead | undefined =>
  state.stream === "" ? undefined : JSON.parse(state.stream)

/** @internal */
export const token = (head: StreamHead): string => streamToken.make({ id: head.stream, nonce: head.nonce })

/** Characters of a key whose entry is not in the state. */
const hashLength = 11

/**
 * Number of hashes.
 *
 * @internal
 */
export const oldCount = (hashes: string): number => hashes.length / hashLength

/** @internal */
export const lastSeq = (state: CallState, head: StreamHead): number =>
  head.forgotten === true ? head.trimmed : oldCount(state.oldEvents) + state.events.length

const hashOf = (key: string): string => hash("sha256", key, "base64url").slice(0, hashLength)

const keyOf = (text: string): string => (JSON.parse(text) as readonly [string])[0]

// -----------------------------------------------------------------------------
// lists
// -----------------------------------------------------------------------------

/**
 * Texts in order, the oldest of which are only hashes.
 *
 * @internal
 */
export class Texts {
  private hashes: string
  private current: ReadonlyArray<string>

  constructor(current: ReadonlyArray<string>, hashes: string) {
    this.current = current
    this.hashes = hashes
  }

  get texts(): ReadonlyArray<string> {
    return this.current
  }

  get old(): string {
    return this.hashes
  }

  get size(): number {
    return oldCount(this.hashes) + this.current.length
  }

  /** Place among all, or -1. */
  placeOf(key: string): number {
    const begin = JSON.stringify([key]).slice(0, -1)
    const place = this.current.findIndex((text) => text.startsWith(begin))
    return place < 0 ? this.oldPlaceOf(key) : oldCount(this.hashes) + place
  }

  private oldPlaceOf(key: string): number {
    if (this.hashes === "") {
      return -1
    }
    const sought = hashOf(key)
    let at = this.hashes.indexOf(sought)
    while (at % hashLength > 0) {
      at = this.hashes.indexOf(sought, at + 1)
    }
    return at < 0 ? -1 : at / hashLength
  }

  /** Undefined where only the hash is here. */
  at(place: number): string | undefined {
    return this.current[place - oldCount(this.hashes)]
  }

  push(text: string): void {
    this.current = [...this.current, text]
  }

  replace(place: number, text: string): void {
    this.current = this.current.with(place - oldCount(this.hashes), text)
  }

  /** The oldest texts become hashes. */
  age(count: number): void {
    this.hashes += this.current.slice(0, count).map((text) => hashOf(keyOf(text))).join("")
    this.current = this.current.slice(count)
  }

  clear(): void {
    if (this.size > 0) {
      this.current = []
      this.hashes = ""
    }
  }
}
