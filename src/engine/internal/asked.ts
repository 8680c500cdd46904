/**
 * What is on disk of a question.
 *
 * @internal
 */
import type * as JsonRpc from "../../session/JsonRpc.ts"
import type { Question } from "../Wire.ts"

/** What is recorded when a question is asked. Without a text it cannot be. @internal */
export interface Asked {
  readonly question: Question
  readonly text?: string | undefined
  /** The client did not say `initialized` before the deadline, and never saw it. */
  readonly tooLate?: boolean | undefined
  /** Milliseconds since the epoch. */
  readonly deadline: number
}

/** What arrives under `answerSignal`. @internal */
export type Answered =
  | { readonly _tag: "Answer"; readonly answer: JsonRpc.Answer }
  /** The deadline came first. */
  | { readonly _tag: "TimedOut" }
  /** A URL elicitation: the user is done there. */
  | { readonly _tag: "Completed" }

/** Name of the signal that the page of a URL elicitation is done. @internal */
export const completionSignal = (path: string): string => `complete/${path}`

/** @internal */
export const kind = "question"

/** Name of the signal that brings the answer. @internal */
export const answerSignal = (path: string): string => `answer/${path}`

/** The id of a question: execution and key, both of 22 characters. @internal */
export const wireIdOf = (execution: string, key: string): string => execution + key

/** @internal */
export const parseWireId = (wireId: string): { readonly execution: string; readonly key: string } | undefined =>
  /^[\w-]{44}$/.test(wireId) ? { execution: wireId.slice(0, 22), key: wireId.slice(22) } : undefined

/** @internal */
export const encodeAnswered = (answered: Answered): string => JSON.stringify(answered)

/** @internal */
export const parseAsked = (exit: string): Asked => JSON.parse(exit) as Asked

/** Whether the client was asked. @internal */
export const isOpen = (exit: string): boolean => parseAsked(exit).text !== undefined
