/**
 * The state of a call: its execution and the stream of its id, in one Reboot
 * state, so that one commit is one write.
 *
 * @internal
 */
import * as facts from "../../store/internal/callFacts.ts"
import type * as Store from "../../store/Store.ts"
import type { Machine, Versioned } from "./Application.ts"
import { ExecutionDraft, type Held, isOldEntry, StreamDraft } from "./callDraft.ts"
import { oldCount } from "./callTexts.ts"
import type { Value } from "./value.ts"

/**
 * The writes of the store's contract that a call takes, and two of its own.
 * Values may be `InChunks`.
 *
 * @internal
 */
export type CallWrite =
  | InState<Store.OpenStream>
  | InState<Store.Append, "data">
  | InState<Store.Trim>
  | InState<Store.StartExecution, "payload">
  | InState<Store.BeginRecovery>
  | InState<Store.RecordStep, "exit">
  | InState<Store.Signal, "exit">
  | InState<Store.ArmTimer, "exit">
  | InState<Store.RequestCancel>
  | InState<Store.Park>
  | InState<Store.Resume>
  | InState<Store.Complete, "result">
  | InState<Store.Forget>
  | Spill
  | Erase

type InState<W, Field extends keyof W = never> = facts.WithValue<W, Field, Value>

/**
 * The oldest `count` entries that the state holds are in the chunk `chunk`: the
 * state keeps only hashes of their keys. The chunk is written before, with what
 * `callRead.spilled` says. Outcome: `Made`.
 */
export interface Spill {
  readonly _tag: "Spill"
  readonly list: "steps" | "signals" | "events"
  /** Version of the state at which what has the list began: one that began anew has other entries. */
  readonly nonce: number
  /** How many were hashes before: a repeat changes nothing. */
  readonly after: number
  readonly count: number
  readonly chunk: string
}

/** The call has never been (`ForgetSession`). What is opened under its id later has another token. Outcome: `Made`. */
export interface Erase {
  readonly _tag: "Erase"
  /** The stream stays, which is not of the session; the execution is, as a descendant of its calls. */
  readonly keepStream?: boolean | undefined
}

/** @internal */
export interface CallRequest {
  readonly writes: ReadonlyArray<CallWrite>
  /** Time of the commit. */
  readonly now: number
  /**
   * The opening of the store that must run what starts, or undefined: that of the
   * process in which the state lives, which puts it in before the machine has it.
   */
  readonly boot: string | undefined
}

/**
 * An outcome whose value may be in chunks.
 *
 * @internal
 */
export type CallOutcome =
  | Exclude<Store.Outcome, { readonly _tag: "Stands" }>
  | { readonly _tag: "Stands"; readonly fresh: boolean; readonly value: Value }
  /** The step or signal is an old one: entry `index` of the chunk `chunk` (`callRead.exitInChunk`). */
  | { readonly _tag: "StandsInChunk"; readonly chunk: string; readonly index: number }

/** @internal */
export interface CallResponse {
  readonly version: number
  readonly outcomes: ReadonlyArray<CallOutcome>
  /** Where the execution stands after the writes; undefined without one, or when it is forgotten. */
  readonly standing:
    | { readonly state: Store.ExecutionSummary["state"]; readonly parent: string | undefined }
    | undefined
  /** What should be spilled now, so that the state stays small. */
  readonly spill: Omit<Spill, "_tag" | "chunk"> | undefined
}

/**
 * What the texts are only `callTexts.ts` knows; others read them with `callRead.ts`.
 *
 * @internal
 */
export interface CallState extends Versioned {
  /** Head of the execution; "" for none. */
  readonly execution: string
  /** Head of the stream; "" for none. */
  readonly stream: string
  readonly steps: ReadonlyArray<string>
  readonly signals: ReadonlyArray<string>
  readonly timers: ReadonlyArray<string>
  readonly events: ReadonlyArray<string>
  /** Eleven characters of hash for each key in chunks, in order. */
  readonly oldSteps: string
  readonly oldEvents: string
}

// -----------------------------------------------------------------------------
// machine
// -----------------------------------------------------------------------------

/** Entries of a list above which the oldest should go into a chunk, and their length in UTF-16 units. */
const maxTail = { entries: 64, size: 256 * 1024 }

/** What then stays, at most: the newest. */
const keptTail = { entries: 16, size: 64 * 1024 }

/** Longest chunk: one message of Reboot takes three bytes a unit. */
const maxChunkSize = 256 * 1024

/** How many of the oldest should go, or 0. */
const excess = (texts: ReadonlyArray<string>): number => {
  let size = 0
  for (const text of texts) {
    size += text.length
  }
  if (texts.length <= maxTail.entries && size <= maxTail.size) {
    return 0
  }
  let most = texts.length
  for (let kept = 0; most > 1 && most > texts.length - keptTail.entries; most--) {
    kept += texts[most - 1]!.length
    if (kept > keptTail.size) {
      break
    }
  }
  let count = 0
  for (let chunk = 0; count < most; count++) {
    chunk += texts[count]!.length
    if (chunk > maxChunkSize && count > 0) {
      break
    }
  }
  return count
}

/** The parts of a call as the writes of one request change them. */
class Draft {
  private readonly before: CallState
  /** The lists of a part that is made anew are empty. */
  private emptied = false
  execution: ExecutionDraft | undefined
  stream: StreamDraft | undefined
  /** Something has begun of which listings do not know. */
  begun = false

  constructor(state: CallState) {
    this.before = state
    this.execution = ExecutionDraft.of(state)
    this.stream = StreamDraft.of(state)
  }

  private get lists(): CallState {
    return this.emptied ? machine.empty : this.before
  }

  apply(write: CallWrite, request: CallRequest, version: number): facts.OutcomeOf<Held> {
    const { now } = request
    switch (write._tag) {
      case "OpenStream": {
        const fresh = this.stream === undefined
        this.stream ??= StreamDraft.open(write, this.lists, version, now)
        this.begun ||= fresh
        return facts.opened(this.stream, fresh)
      }
      case "Append": {
        return facts.append(this.stream, write, now)
      }
      case "Trim": {
        return facts.trim(this.stream, write)
      }
      case "StartExecution": {
        if (this.execution !== undefined || this.stream?.forgotten === true) {
          return facts.made(false)
        }
        this.execution = ExecutionDraft.start(write, this.lists, version, now)
        this.execution.opening = request.boot
        this.begun = true
        return facts.made(true)
      }
      case "Complete": {
        return facts.complete(this.execution, write, now)
      }
      case "Forget": {
        return facts.forget(this.execution, this.stream, now)
      }
      case "Spill": {
        return this.spill(write)
      }
      case "Erase": {
        const stream = write.keepStream === true ? this.stream : undefined
        const fresh = this.execution !== undefined || this.stream !== stream
        this.execution = undefined
        this.stream = stream
        this.emptied = true
        return facts.made(fresh)
      }
      default: {
        return this.run(write, request)
      }
    }
  }

  private run(write: facts.RunWrite<Value>, { boot, now }: CallRequest): facts.OutcomeOf<Held> {
    const parked = this.execution?.parked
    const outcome = facts.run<Held>(this.execution, write, now)
    if (this.execution !== undefined && parked !== undefined && this.execution.parked === undefined) {
      this.execution.opening = boot
    }
    return outcome
  }

  private spill({ after, chunk, count, list, nonce }: Spill): facts.OutcomeOf<Held> {
    const owner = list === "events" ? this.stream : this.execution
    const entries = list === "events" ? this.stream : this.execution?.[list]
    if (
      entries === undefined || owner?.nonce !== nonce || oldCount(entries.texts.old) !== after ||
      entries.texts.texts.length < count
    ) {
      return facts.made(false)
    }
    entries.spill(count, chunk)
    return facts.made(true)
  }

  /** Whether Reboot must have a task. */
  get runnable(): boolean {
    return this.execution !== undefined && isRunnable(facts.stateOf(this.execution))
  }

  /** Nothing is to come: the last event is there, and the result. */
  get closed(): boolean {
    return (this.stream !== undefined || this.execution !== undefined) &&
      (this.stream === undefined || this.stream.closedAt !== undefined) &&
      (this.execution === undefined || this.execution.result !== undefined)
  }

  get standing(): CallResponse["standing"] {
    const { execution } = this
    return execution === undefined || execution.forgotten
      ? undefined
      : { state: facts.stateOf(execution), parent: execution.parent }
  }

  get excess(): CallResponse["spill"] {
    for (const list of ["events", "steps", "signals"] as const) {
      const owner = list === "events" ? this.stream : this.execution
      const texts = (list === "events" ? this.stream : this.execution?.[list])?.texts
      const count = texts === undefined ? 0 : excess(texts.texts)
      if (owner !== undefined && texts !== undefined && count > 0) {
        return { list, nonce: owner.nonce, after: oldCount(texts.old), count }
      }
    }
    return undefined
  }

  /** The same texts where nothing changed. */
  encode(): Omit<CallState, "version"> {
    const { execution, stream } = this
    return {
      execution: execution?.encode() ?? "",
      stream: stream?.encode() ?? "",
      steps: execution?.steps.texts.texts ?? [],
      signals: execution?.signals.texts.texts ?? [],
      timers: execution?.timers.texts.texts ?? [],
      events: stream?.texts.texts ?? [],
      oldSteps: execution?.steps.texts.old ?? "",
      oldEvents: stream?.texts.old ?? ""
    }
  }
}

const isRunnable = (state: Store.ExecutionSummary["state"]): boolean => state === "running" || state === "stopped"

const sameTexts = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a === b || (a.length === 0 && b.length === 0)

const same = (a: Omit<CallState, "version">, b: CallState): boolean =>
  a.execution === b.execution && a.stream === b.stream && a.oldSteps === b.oldSteps && a.oldEvents === b.oldEvents &&
  sameTexts(a.steps, b.steps) && sameTexts(a.signals, b.signals) && sameTexts(a.timers, b.timers) &&
  sameTexts(a.events, b.events)

const outcomeOf = (outcome: facts.OutcomeOf<Held>): CallOutcome =>
  outcome._tag === "Stands"
    ? isOldEntry(outcome.value)
      ? { _tag: "StandsInChunk", ...outcome.value }
      : { _tag: "Stands", fresh: outcome.fresh, value: outcome.value }
    : outcome

/**
 * The rules are those of every backend (`callFacts.ts`).
 *
 * A task is due when the call must run from now on, and once more when nothing
 * runs and listings have to learn of it: it has begun, or nothing is to come any
 * more. While it runs its task is there already, and looks at the call again
 * before it ends. So a task may end when the call is neither `running` nor
 * `stopped` and all `callRead.directoryEntries` of it are in the directory.
 *
 * The version grows by one for each write of a request that changes something,
 * so that each stream is opened at a version of its own, which its token holds.
 *
 * @internal
 */
export const machine: Machine<"Call"> = {
  empty: {
    version: 0,
    execution: "",
    stream: "",
    steps: [],
    signals: [],
    timers: [],
    events: [],
    oldSteps: "",
    oldEvents: ""
  },
  apply: (state, request) => {
    const draft = new Draft(state)
    const { closed, runnable } = draft
    const outcomes = request.writes.map((write, i) => outcomeOf(draft.apply(write, request, state.version + 1 + i)))
    const texts = draft.encode()
    const after = same(texts, state) ? state : { version: state.version + request.writes.length, ...texts }
    return {
      state: after,
      response: { version: after.version, outcomes, standing: draft.standing, spill: draft.excess },
      task: !runnable && (draft.runnable || draft.begun || (draft.closed && !closed))
    }
  }
}
