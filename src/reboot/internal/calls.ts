/**
 * Writes of a call: what goes to Reboot, what comes of it here, and what follows
 * from it in other states.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { Driving } from "../../store/internal/driver.ts"
import type { Tails } from "../../store/internal/tails.ts"
import type { Watches } from "../../store/internal/watches.ts"
import type { Outcome } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { Application } from "./Application.ts"
import * as callRead from "./callRead.ts"
import type { CallOutcome, CallResponse, CallState, CallWrite, Spill } from "./callState.ts"
import type { Directory } from "./directory.ts"
import type { Lanes, Written } from "./lanes.ts"
import type { Mirror } from "./mirror.ts"
import type { LaneWrite } from "./routes.ts"
import * as stateId from "./stateId.ts"
import type { Tasks } from "./tasks.ts"
import type { WheelTimer } from "./timersState.ts"
import type { Value } from "./value.ts"
import type { Values } from "./values.ts"
import type { Wheels } from "./wheels.ts"

/** @internal */
export interface Options {
  readonly application: Application
  readonly boot: string
  readonly mirror: Mirror
  readonly values: Values
  readonly topics: Watches
  readonly recent: Tails
  readonly directory: Directory
  readonly wheels: Wheels
  readonly tasks: () => Tasks
  readonly driving: () => Driving
  readonly lanes: () => Lanes<LaneWrite>
  /** Runs what follows a write and nobody waits for, until the store closes. */
  readonly fork: (effect: Effect.Effect<void>) => void
}

/** @internal */
export interface Calls {
  readonly write: (
    id: string,
    groups: ReadonlyArray<ReadonlyArray<CallWrite>>,
    uncertain: boolean
  ) => Effect.Effect<ReadonlyArray<Written>, StoreError>
  /** Returns when no write of the state is under way: what was made of it is known. */
  readonly quiet: (stateId: string) => Effect.Effect<void>
  /** Where the execution stands. */
  readonly standing: (state: CallState) => ReturnType<Tasks["standing"]>
  /** What the process that made the call may not have done: see `Tasks`. */
  readonly takeOver: (stateId: string) => Effect.Effect<void, StoreError>
}

/** Fields that hold a value of any length. */
const valueFields = {
  Append: "data",
  StartExecution: "payload",
  RecordStep: "exit",
  Signal: "exit",
  ArmTimer: "exit",
  Complete: "result"
} as const

const valueOf = (write: CallWrite): Value | undefined => {
  const field = valueFields[write._tag as keyof typeof valueFields]
  return field === undefined ? undefined : (write as unknown as Readonly<Record<string, Value | undefined>>)[field]
}

const withValue = (write: CallWrite, value: Value): CallWrite => ({
  ...write,
  [valueFields[write._tag as keyof typeof valueFields]]: value
})

const isFresh = (outcome: CallOutcome): boolean => "fresh" in outcome && outcome.fresh

/** Whether the execution cannot go on before the write is made: it would run, and did not. */
const wakes = ({ _tag }: CallWrite): boolean => _tag === "Signal" || _tag === "RequestCancel" || _tag === "Resume"

/** @internal */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Calls> {
  const { application, boot, directory, mirror, recent, topics, values, wheels } = options
  const clock = yield* Clock.Clock
  const spilling = new Set<string>()
  /** By state; its lane has one write under way at a time. */
  const underWay = new Map<string, Latch.Latch>()

  // ---------------------------------------------------------------------------
  // before
  // ---------------------------------------------------------------------------

  /** The writes with long values in chunks. */
  const stored = (writes: ReadonlyArray<CallWrite>): Effect.Effect<ReadonlyArray<CallWrite>, StoreError> =>
    Effect.forEach(writes, (write) => {
      const value = valueOf(write)
      if (typeof value !== "string") {
        return Effect.succeed(write)
      }
      const put = values.put(value)
      return Effect.isEffect(put) ? Effect.map(put, (chunks) => withValue(write, chunks)) : Effect.succeed(write)
    })

  /** Waits first, where what the writes let run would be too much. */
  const inRoom = <A>(
    id: string,
    writes: ReadonlyArray<CallWrite>,
    effect: Effect.Effect<A, StoreError>
  ): Effect.Effect<A, StoreError> => {
    const starts = writes.find((write) => write._tag === "StartExecution")
    const wakesOne = starts !== undefined ? starts.parent !== undefined : writes.some(wakes)
    return wakesOne || starts !== undefined || writes.some((write) => write._tag === "OpenStream")
      ? options.tasks().inRoom(id, wakesOne, effect)
      : effect
  }

  // ---------------------------------------------------------------------------
  // after
  // ---------------------------------------------------------------------------

  const standing: Calls["standing"] = (state) => {
    const found = callRead.standing(state)
    return found && { ...found, cutOff: callRead.boot(state) !== boot }
  }

  /**
   * First what memory holds is brought up to date, then those who wait are told,
   * followers once: they run at once, and read.
   */
  const publish = (
    id: string,
    writes: ReadonlyArray<CallWrite>,
    outcomes: ReadonlyArray<CallOutcome>,
    before: CallState | undefined,
    after: CallState | undefined,
    now: number,
    uncertain: boolean
  ): void => {
    const topic = stateId.make(id)
    if (after !== undefined) {
      enter(id, writes, outcomes, before, after)
      options.tasks().observe(id, standing(after))
    } else if (application.role === "front") {
      enterBegun(id, writes, outcomes, now)
    }
    let hasNews = uncertain
    if (uncertain) {
      // what became of the write before it is in the state, and nowhere else
      recent.drop(topic)
    }
    writes.forEach((write, i) => {
      if (isFresh(outcomes[i]!) && remember(topic, write, outcomes[i]!)) {
        hasNews = true
      }
    })
    if (hasNews) {
      topics.notify("Stream", topic)
    }
    if (uncertain) {
      topics.notify("Execution", topic)
      options.driving().news(id)
    }
    writes.forEach((write, i) => {
      const outcome = outcomes[i]!
      if (write._tag === "Signal") {
        // whatever became of it: a timer that finds its signal there, or no call, is due for ever otherwise
        wheels.disarm(id, write.name)
      }
      if (isFresh(outcome) || outcome._tag === "Parked") {
        tell(id, topic, write, outcome)
      }
    })
  }

  /** Whether followers have something to read. */
  const remember = (topic: string, write: CallWrite, outcome: CallOutcome): boolean => {
    switch (write._tag) {
      case "OpenStream": {
        recent.open(topic)
        return false
      }
      case "Append": {
        if (outcome._tag === "Appended" && (write.data === undefined || typeof write.data === "string")) {
          recent.append(topic, { seq: outcome.seq, key: write.key, data: write.data }, write.last === true)
        } else {
          // too long to be kept beside the others
          recent.drop(topic)
        }
        return true
      }
      case "Trim":
      case "Forget":
      case "Erase": {
        recent.drop(topic)
        return false
      }
      default: {
        return false
      }
    }
  }

  const tell = (id: string, topic: string, write: CallWrite, outcome: CallOutcome): void => {
    switch (write._tag) {
      case "StartExecution": {
        return options.driving().started(id)
      }
      case "Signal": {
        topics.notify("Execution", topic)
        return options.driving().news(id)
      }
      case "RequestCancel": {
        topics.notify("Execution", topic)
        return options.driving().news(id)
      }
      case "Resume": {
        topics.notify("Execution", topic)
        return options.driving().resumed(id)
      }
      case "RecordStep": {
        return options.driving().progress(id)
      }
      case "Park": {
        if (outcome._tag === "Parked" && !outcome.parked) {
          options.driving().refused(id)
        } else if (write.state === "stopped") {
          options.tasks().stopped(id)
        }
        return
      }
      case "Complete": {
        wheels.disarm(id)
        return topics.notify("Execution", topic)
      }
    }
  }

  /** What listings have to know, and whether the call has a task that knows it too. */
  const enter = (
    id: string,
    writes: ReadonlyArray<CallWrite>,
    outcomes: ReadonlyArray<CallOutcome>,
    before: CallState | undefined,
    after: CallState
  ): void => {
    const changes = writes.some((write, i) =>
      isFresh(outcomes[i]!) && (
        write._tag === "OpenStream" || write._tag === "StartExecution" || write._tag === "Complete" ||
        write._tag === "Forget" || (write._tag === "Append" && write.last === true)
      )
    )
    if (!changes) {
      return
    }
    const begun = writes.some((write, i) =>
      isFresh(outcomes[i]!) && (write._tag === "OpenStream" || write._tag === "StartExecution")
    )
    if (begun && application.role === "owner") {
      options.tasks().made(id)
    }
    const known = before === undefined ? [] : callRead.directoryEntries(before).map((entry) => JSON.stringify(entry))
    for (const entry of callRead.directoryEntries(after)) {
      if (!known.includes(JSON.stringify(entry))) {
        directory.enter(entry)
      }
    }
  }

  /** What this front has begun is in its own listings at once, before the task of the call has told the others. */
  const enterBegun = (
    id: string,
    writes: ReadonlyArray<CallWrite>,
    outcomes: ReadonlyArray<CallOutcome>,
    now: number
  ): void =>
    writes.forEach((write, i) => {
      if (isFresh(outcomes[i]!) && write._tag === "OpenStream") {
        const { session } = write
        const none = { workflow: undefined, parent: undefined }
        directory.enter({ _tag: "Call", id, createdAt: now, stream: true, session, ...none })
      } else if (isFresh(outcomes[i]!) && write._tag === "StartExecution") {
        const { parent, workflow } = write
        directory.enter({ _tag: "Call", id, createdAt: now, stream: false, session: undefined, workflow, parent })
      }
    })

  // ---------------------------------------------------------------------------
  // what follows
  // ---------------------------------------------------------------------------

  const follow = (
    id: string,
    writes: ReadonlyArray<CallWrite>,
    outcomes: ReadonlyArray<CallOutcome>,
    standing: CallResponse["standing"],
    state: CallState | undefined
  ): Written => {
    const armed = state === undefined ? undefined : callRead.armedTimers(state)
    const timers: Array<WheelTimer> = []
    let told: Effect.Effect<unknown, StoreError> | undefined
    let isWhole = true
    writes.forEach((write, i) => {
      const outcome = outcomes[i]!
      if (write._tag === "ArmTimer" && outcome._tag === "Armed") {
        const stands = armed?.find(({ name }) => name === write.name)
        if (armed === undefined || stands !== undefined) {
          timers.push({ id, name: write.name, at: outcome.at, exit: stands?.exit ?? write.exit })
        }
      } else if (write._tag === "Complete" && isFresh(outcome) && standing?.parent !== undefined) {
        told = tellParent(id, standing.parent, write.result)
      }
      isWhole &&= outcome._tag !== "StandsInChunk" && (outcome._tag !== "Stands" || typeof outcome.value === "string")
    })
    if (timers.length === 0 && told === undefined && isWhole) {
      return { outcomes: outcomes as ReadonlyArray<Outcome> }
    }
    const steps = Effect.andThen(timers.length === 0 ? Effect.void : wheels.arm(timers), told ?? Effect.void)
    return {
      outcomes: [],
      after: Effect.andThen(
        timers.length === 0 && told === undefined ? Effect.void : options.tasks().following(id, steps),
        Effect.forEach(outcomes, whole)
      )
    }
  }

  const whole = (outcome: CallOutcome): Effect.Effect<Outcome, StoreError> => {
    switch (outcome._tag) {
      case "Stands": {
        return Effect.map(values.get(outcome.value), (value): Outcome => ({ ...outcome, value }))
      }
      case "StandsInChunk": {
        return values.entries(outcome.chunk).pipe(
          Effect.flatMap((text) => values.get(callRead.exitInChunk(text, outcome.index))),
          Effect.map((value): Outcome => ({ _tag: "Stands", fresh: false, value }))
        )
      }
      default: {
        return Effect.succeed(outcome)
      }
    }
  }

  /** The parent gets the result as its signal, before all that waits for its turn there. */
  const tellParent = (child: string, parent: string, exit: Value): Effect.Effect<unknown, StoreError> =>
    Effect.suspend(() =>
      options.lanes().first({
        type: "Call",
        id: parent,
        writes: [{ _tag: "Signal", id: parent, name: `child/${child}`, exit }],
        size: typeof exit === "string" ? exit.length : 0
      })
    )

  /** Where it fails the next write asks for it again. */
  const spillBy = <A>(
    id: string,
    what: Omit<Spill, "_tag" | "chunk">,
    write: (spill: Spill) => Effect.Effect<A, StoreError>
  ): Effect.Effect<void> =>
    Effect.ignore(Effect.gen(function*() {
      const text = callRead.spilled(yield* mirror.read("Call", stateId.make(id)), what)
      if (text !== undefined) {
        yield* write({ _tag: "Spill", ...what, chunk: yield* values.putEntries(text) })
      }
    }))

  /**
   * Old entries leave the state; it is only larger until they have. Others are
   * written meanwhile; where they ask for more, they wait, or a call that tells
   * much would grow faster than its entries leave.
   */
  const spill = (id: string, what: Omit<Spill, "_tag" | "chunk">): Effect.Effect<void> => {
    if (spilling.has(id)) {
      return spillBy(id, what, (write) => writeNow(id, [[write]], false))
    }
    spilling.add(id)
    options.fork(
      spillBy(id, what, (write) => options.lanes().first({ type: "Call", id, writes: [write], size: 0 })).pipe(
        Effect.ensuring(Effect.sync(() => spilling.delete(id)))
      )
    )
    return Effect.void
  }

  /** Where the execution stands, when nobody may be told of it any more. */
  const look = (id: string): Effect.Effect<void, StoreError> =>
    Effect.map(mirror.read("Call", stateId.make(id)), (state) => options.tasks().observe(id, standing(state)))

  const writeNow: Calls["write"] = Effect.fnUntraced(function*(id, groups, uncertain) {
    const key = stateId.make(id)
    const writes = groups.flat()
    const request = yield* stored(writes)
    const before = mirror.get("Call", key)
    const written = Latch.makeUnsafe(false)
    underWay.set(key, written)
    const now = clock.currentTimeMillisUnsafe()
    const { response, state } = yield* application.write("Call", key, {
      writes: request,
      now,
      boot: application.role === "owner" ? boot : undefined
    }).pipe(
      Effect.tap(({ response, state }) =>
        Effect.sync(() => {
          mirror.written("Call", key, state)
          publish(id, writes, response.outcomes, before, state, now, uncertain)
        })
      ),
      Effect.onError(() =>
        Effect.sync(() => {
          mirror.changed("Call", key)
          options.tasks().unsure(id)
          options.fork(Effect.ignore(look(id)))
        })
      ),
      Effect.ensuring(Effect.sync(() => {
        underWay.delete(key)
        written.openUnsafe()
      }))
    )
    if (response.spill !== undefined) {
      yield* spill(id, response.spill)
    }
    let at = 0
    return groups.map((group): Written => {
      const from = at
      at += group.length
      return follow(
        id,
        request.slice(from, at),
        response.outcomes.slice(from, at),
        response.standing,
        state
      )
    })
  })

  const takeOver = Effect.fnUntraced(function*(key: string): Effect.fn.Return<void, StoreError> {
    const state = yield* mirror.read("Call", key)
    for (const entry of callRead.directoryEntries(state)) {
      directory.enter(entry)
    }
    const id = callRead.idOf(state)
    if (id === undefined) {
      return
    }
    const timers = callRead.armedTimers(state)
    if (timers.length > 0) {
      yield* wheels.arm(timers.map((timer) => ({ ...timer, id })))
    }
    const execution = callRead.execution(state, () => "[]")
    if (execution?.parent !== undefined && execution.result !== undefined) {
      yield* tellParent(id, execution.parent, execution.result)
    }
  })

  return {
    quiet: (stateId) => Effect.suspend(() => underWay.get(stateId)?.await ?? Effect.void),
    standing,
    write: (id, groups, uncertain) => inRoom(id, groups.flat(), writeNow(id, groups, uncertain)),
    takeOver
  }
})
