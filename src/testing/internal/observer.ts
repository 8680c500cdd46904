/**
 * Watches a simulation from outside: what the processes write, what they do to
 * the world, what the clients get; and says what must not be.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Attempt } from "../../engine/StepProbe.ts"
import type { Outcome, Store } from "../../store/Store.ts"
import type { StoreError } from "../../store/StoreError.ts"
import type { Question, Received, Source } from "../Client.ts"
import type { Operation, Settled } from "../FaultStore.ts"
import * as Schedule from "../Schedule.ts"
import type { Entry, Timeline } from "../Timeline.ts"
import * as Audit from "./audit.ts"
import * as Ledger from "./auditLedger.ts"
import * as ClientChecks from "./checksClient.ts"
import * as Rest from "./checksRest.ts"
import * as StepChecks from "./checksSteps.ts"

/** What happens in a process is told with its number, from 1: several may live at a time. @internal */
export interface Observer {
  readonly say: (lane: Entry["lane"], text: string, process?: number) => void
  readonly violation: (text: string) => void
  /** A process starts. */
  readonly starts: (process: number) => void
  /** It has got the disk. */
  readonly holds: (process: number) => void
  readonly fault: (fault: Schedule.Fault) => void
  readonly operation: (process: number, operation: Operation) => void
  readonly settled: (process: number, operation: Operation, settled: Settled) => void
  /** A step's body is about to run. */
  readonly stepBegins: (process: number, attempt: Attempt) => void
  /** It has ended, and is not recorded yet. */
  readonly stepEnded: (process: number, attempt: Attempt) => void
  /** Something is done outside: how often, this time included. */
  readonly effect: (process: number, name: string, key: string | undefined) => number
  /** The script has ended, and all that it began: from now on nothing may be left to do. */
  readonly ended: () => void
  /** A process has opened the disk, and has not written yet: holds the disk to what was promised. */
  readonly opened: (store: Store["Service"], check?: Check) => Effect.Effect<void, StoreError>
  /** Whether nothing is under way, nor waits for a time that comes before long. */
  readonly isAtRest: (store: Store["Service"]) => Effect.Effect<boolean, StoreError>
  /** As `opened`, when all is done: and nothing may be left to do. */
  readonly atRest: (store: Store["Service"], check?: Check) => Effect.Effect<void, StoreError>
  readonly eventId: (source: Source, eventId: string) => void
  readonly received: (received: Received) => void
  readonly answered: (question: Question) => void
  /** The script gives answers up: `Cancelled 2`. */
  readonly gaveUp: (what: string, whose: Source) => void
  /** Names of calls and clients' own streams of which the script wants nothing any more. */
  readonly givenUp: () => ReadonlySet<string>
  /** A stream as it is replayed from its first event. */
  readonly replayed: (stream: string, messages: ReadonlyArray<string>) => void
  /** When something last came of it all, in virtual time. */
  readonly movedAt: () => number
  readonly operations: () => ReadonlyArray<ReadonlyArray<Operation>>
  /** How often each effect was attempted, by name and key. */
  readonly attempts: () => ReadonlyMap<string, number>
  /** How often each effect took place, by name. */
  readonly effects: () => ReadonlyMap<string, number>
  /** Names of effects that took place again because they have no key. */
  readonly keyless: () => ReadonlySet<string>
  /** Keys of steps: by execution and path. */
  readonly keys: () => ReadonlyMap<string, string>
  /** Runs of step bodies. */
  readonly steps: () => number
  /** First event ids, by stream: one of each call, any number of a client's own. */
  readonly streams: () => ReadonlyMap<string, string>
  /** By call, and of the client's own streams together. */
  readonly messages: () => ReadonlyMap<string, ReadonlyArray<string>>
  /** What the script gave up. */
  readonly excuses: () => ReadonlyArray<string>
  /** What the clock and the crashes did to the executions: `TimedOut people`. */
  readonly circumstances: () => ReadonlyArray<string>
  readonly violations: () => ReadonlyArray<string>
  readonly timeline: () => Timeline
}

/** What is wrong with a disk (`Disk.Instance.check`). */
type Check = Effect.Effect<ReadonlyArray<string>> | undefined

/** Waits that end within this time are waited for before a run is over, in milliseconds. */
const soon = 25 * 60 * 60 * 1000

const isFresh = (outcome: Outcome | undefined): boolean => outcome !== undefined && "fresh" in outcome && outcome.fresh

/** @internal */
export const make = (options: {
  /** Virtual time. */
  readonly now: () => number
  /** What the clocks of the processes show. Default: the virtual time. */
  readonly wall?: (() => number) | undefined
  readonly onActivity: () => void
}): Observer => {
  const { now, wall = now } = options
  const started = now()
  const timeline: Array<Entry> = []
  const violations: Array<string> = []
  /** Of each process that had the disk. */
  const operations = new Map<number, Array<Operation>>()
  const excuses: Array<string> = []
  let circumstances: ReadonlyArray<string> = []
  let movedAt = started
  let latestWall = wall()
  /** By how much the clocks of the processes were ever ahead of the virtual time. */
  let largestLead = latestWall - started
  let wereSetBack = false
  let holder = 1
  let hasEnded = false
  /** Of what was under way when all had ended, the end may come later. */
  const begunBefore = new WeakSet<Operation>()

  const say = (lane: Entry["lane"], text: string, process = holder) => {
    options.onActivity()
    latestWall = Math.max(latestWall, wall())
    wereSetBack ||= wall() - now() < largestLead
    largestLead = Math.max(largestLead, wall() - now())
    timeline.push({ at: now() - started, process, lane, text })
  }

  const moved = () => {
    movedAt = now()
  }

  const violation = (text: string) => {
    violations.push(text)
    say("violation", text)
  }

  /** Says each of them once: what is wrong with a disk is wrong with it at the next start too. */
  const violationsOnce = (texts: ReadonlyArray<string>) => {
    for (const text of texts) {
      if (!violations.includes(text)) {
        violation(text)
      }
    }
  }

  const ledger = Ledger.make(violation)
  const steps = StepChecks.make(violation)
  const clients = ClientChecks.make({
    say: (text) => say("client", text),
    isSetBack: () => wereSetBack,
    violation
  })

  const clocks = (): Audit.Clocks => {
    latestWall = Math.max(latestWall, wall())
    return { latest: latestWall, wereSetBack }
  }

  const audit = (
    store: Store["Service"],
    check: Check = Effect.succeed([])
  ): Effect.Effect<Audit.Disk, StoreError> =>
    Effect.zipWith(check, Audit.read(store, ledger, clocks()), (wrong, disk) => {
      violationsOnce([...wrong, ...Audit.compare(disk, ledger, clocks())])
      return disk
    })

  const tooLate = (what: string) => {
    if (hasEnded) {
      violation(`${what} after everything had ended`)
    }
  }

  return {
    say,
    violation,
    starts: (process) => say("process", "starts", process),
    holds: (process) => {
      holder = process
      // again, where the store has refused the one that came after it
      if (!operations.has(process)) {
        operations.set(process, [])
      }
    },
    fault: (fault) => say("fault", Schedule.encode([fault])),
    operation: (process, operation) => {
      operations.get(process)?.push(operation)
      if (!hasEnded) {
        begunBefore.add(operation)
      }
      ledger.begin(process, operation)
      steps.operation(process, operation)
      say("store", `${operation.index} ${operation.kind} ${operation.what}`, process)
    },
    settled: (process, operation, settled) => {
      ledger.settle(process, operation, settled)
      steps.settled(process, operation, settled)
      if (settled._tag === "Acknowledged" || settled._tag === "Applied") {
        operation.writes.forEach((write, i) => {
          if (isFresh(settled.outcomes[i])) {
            moved()
            if (begunBefore.has(operation)) {
              return
            }
            if (write._tag === "RecordStep") {
              tooLate(`step ${write.name} was recorded`)
            } else if (write._tag === "Append") {
              tooLate(`event ${write.key} was added`)
            }
          }
        })
      }
    },
    stepBegins: (process, attempt) => {
      say("step", `${attempt.path} begins${attempt.attempt === 1 ? "" : `, attempt ${attempt.attempt}`}`, process)
      steps.begins(process, attempt, process === holder)
    },
    stepEnded: (process, attempt) => {
      say("step", `${attempt.path} ends`, process)
      steps.ended(process, attempt)
    },
    effect: (process, name, key) => {
      moved()
      const { count, takesPlace } = steps.effect(name, key)
      say("world", takesPlace ? name : `${name}, time ${count} under this key`, process)
      tooLate(`${name} was done`)
      return count
    },
    ended: () => {
      hasEnded = true
      say("client", "the script has ended")
    },
    opened: (store, check) => Effect.map(audit(store, check), () => ledger.forgetClaims()),
    isAtRest: (store) =>
      Effect.map(
        Audit.read(store, ledger, clocks()),
        ({ executions }) =>
          executions.every(({ parked, result, timers }) =>
            result !== undefined || parked?.state === "stuck" ||
            (parked !== undefined && Array.from(timers.values()).every((at) => at > wall() + soon))
          )
      ),
    atRest: (store, check) =>
      Effect.map(audit(store, check), (disk) => {
        const found = Rest.circumstances(disk, steps.cut, clocks())
        circumstances = found.excuses
        violationsOnce([...found.violations, ...Rest.leftovers(disk, wall())])
        if (excuses.length === 0 && disk.executions.some(({ cancel }) => cancel !== undefined)) {
          violation("an execution was cancelled, though no client wanted that")
        }
      }),
    eventId: clients.eventId,
    received: (received) => {
      // a heartbeat says nothing
      if (received.eventId !== undefined) {
        moved()
      }
      clients.received(received)
    },
    answered: (question) => {
      moved()
      say("client", `the answer to ${question.method} was accepted`)
    },
    gaveUp: (what, whose) => {
      excuses.push(what)
      clients.gaveUp(whose, what.startsWith("Abandoned"))
    },
    givenUp: clients.givenUp,
    replayed: clients.replayed,
    movedAt: () => movedAt,
    operations: () => Array.from(operations.values()),
    attempts: () => steps.attempts,
    effects: () => steps.effects,
    keyless: () => steps.keyless,
    keys: () => steps.keys,
    steps: steps.count,
    streams: clients.streams,
    messages: clients.messages,
    excuses: () => excuses,
    circumstances: () => circumstances,
    violations: () => violations,
    timeline: () => timeline
  }
}
