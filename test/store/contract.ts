/**
 * The contract of a store: random programs run against it and beside it against
 * the model, whose every outcome and every read must be the same. The suite of
 * each backend is this one; what is particular to one has tests of its own.
 *
 * Where a commit is several writes of the backend (`Options.atomic`), others see
 * it in part: then each thing that is read is compared by itself, and what comes
 * together has an order only where it concerns the same thing.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { isDeepStrictEqual } from "node:util"
import type { Backend } from "../../src/store/internal/Backend.ts"
import { fromBackend } from "../../src/store/internal/fromBackend.ts"
import type { Outcome, Write } from "../../src/store/Store.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { EventsInMemory } from "../../src/store/StoreLimits.ts"
import { type Command, commands, type Writes } from "./arbitraries.ts"
import * as Reads from "./contractReads.ts"
import { openStream, start } from "./harness.ts"
import * as Model from "./model.ts"

/** What outlives a store: a file, a memory disk. */
export interface Disk {
  /** Held until the scope closes; then it can be opened again. */
  readonly open: Effect.Effect<Reads.Opening, StoreError, Scope.Scope>
}

/** A store over a backend. */
export const fromBackendOf = <R>(
  open: Effect.Effect<Backend, StoreError, R>
): Effect.Effect<Reads.Opening, StoreError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const backend = yield* open
    // Memory for a few events only: some reads are answered from there, some by the backend.
    const store = yield* Effect.provideService(fromBackend(backend), EventsInMemory, 1_000)
    return { store, backend }
  })

export interface Options extends Reads.Options {
  /** Default 2,000. */
  readonly runs?: number | undefined
  /** In milliseconds, for all programs. Default 5 minutes. */
  readonly timeout?: number | undefined
}

/** A store that is open on the disk. */
interface Opened extends Reads.Opening {
  readonly scope: Scope.Closeable
}

const openStore = Effect.fnUntraced(function*(disk: Disk) {
  const scope = yield* Scope.make()
  const opened: Opened = { ...yield* Scope.provide(disk.open, scope), scope }
  return opened
})

// -----------------------------------------------------------------------------
// tokens
// -----------------------------------------------------------------------------

/** The backend chooses them; each must name one stream, for ever. */
class Tokens {
  private readonly used = new Set<string>()
  private readonly current = new Map<string, string>()
  private readonly unseen = new Set<string>()

  /** The stream is a new one, under a token that is still to be seen. */
  opened(stream: string): void {
    this.unseen.add(stream)
  }

  check(stream: string, token: string): void {
    if (this.unseen.delete(stream)) {
      assert.match(token, /^[A-Za-z0-9_-]+$/)
      assert.isFalse(this.used.has(token), `token ${token} was used before`)
      this.used.add(token)
      this.current.set(stream, token)
    }
    assert.strictEqual(token, this.current.get(stream), `token of ${stream}`)
  }
}

const checkOutcomes = (
  tokens: Tokens,
  writes: ReadonlyArray<Write>,
  outcomes: ReadonlyArray<Outcome>
): ReadonlyArray<Model.ModelOutcome> =>
  outcomes.map((outcome, i) => {
    const write = writes[i]!
    if (outcome._tag !== "Opened" || write._tag !== "OpenStream") {
      return outcome as Model.ModelOutcome
    }
    const { token, ...rest } = outcome
    if (outcome.fresh) {
      tokens.opened(write.stream)
    }
    tokens.check(write.stream, token)
    return rest
  })

// -----------------------------------------------------------------------------
// programs
// -----------------------------------------------------------------------------

/** Concerns more than one state of a backend that has no transactions. */
const isWide = (model: Model.Model, commits: ReadonlyArray<Writes>): boolean =>
  commits.some((writes) =>
    writes.some((write) =>
      write._tag === "ForgetSession" ||
      (write._tag === "Complete" && (
        Model.execution(model, write.id)?.parent !== undefined ||
        commits.flat().some((other) =>
          other._tag === "StartExecution" && other.id === write.id && other.parent !== undefined
        )
      ))
    )
  )

/**
 * The commits with no parent that is not there: after a restart a store without
 * transactions may tell a parent once more, and one that came later hears of it then.
 */
const withLivingParents = (model: Model.Model, commits: ReadonlyArray<Writes>): ReadonlyArray<Writes> => {
  let present = model
  return commits.map((writes) =>
    writes.map((write): Write => {
      const { parent, ...orphan } = write._tag === "StartExecution" ? write : { ...write, parent: undefined }
      const isBorn = parent === undefined || Model.execution(present, parent) !== undefined
      const made = isBorn ? write : orphan
      present = Model.write(present, made, 0)[0]
      return made
    }) as unknown as Writes
  )
}

/** A write that changes nothing, behind this one. */
const behind = (model: Model.Model, write: Write): Write => {
  switch (write._tag) {
    case "PutKey": {
      return write
    }
    case "OpenSession":
    case "SetSession":
    case "EndSession":
    case "ForgetSession": {
      return Model.session(model, write.id) === undefined
        ? { _tag: "EndSession", id: write.id }
        : { _tag: "OpenSession", id: write.id, principal: "anonymous", data: "{}" }
    }
    case "OpenStream":
    case "Append":
    case "Trim": {
      return { _tag: "Trim", stream: write.stream, beforeSeq: 0 }
    }
    default: {
      return { _tag: "Trim", stream: write.id, beforeSeq: 0 }
    }
  }
}

/** How often each outcome of each write was seen. */
type Seen = Map<string, number>

const see = (seen: Seen, writes: ReadonlyArray<Write>, outcomes: ReadonlyArray<Model.ModelOutcome>): void =>
  outcomes.forEach((outcome, i) => {
    const detail = "fresh" in outcome ? ` fresh=${outcome.fresh}` : "parked" in outcome ? ` ${outcome.parked}` : ""
    const name = `${writes[i]!._tag}: ${outcome._tag}${detail}`
    seen.set(name, (seen.get(name) ?? 0) + 1)
  })

const runProgram = Effect.fnUntraced(function*(
  disk: Disk,
  program: ReadonlyArray<Command>,
  seen: Seen,
  options: Options
) {
  const atomic = options.atomic !== false
  yield* TestClock.setTime(0)
  const tokens = new Tokens()
  let model = Model.empty
  let opened = yield* openStore(disk)
  let submitted: Array<Write> = []

  /** What was submitted is read once a later commit has returned: any, or one of the same state. */
  const settle = Effect.suspend(() => {
    const writes: ReadonlyArray<Write> = submitted.map((write) =>
      atomic ? { _tag: "EndSession", id: "nobody's" } : behind(model, write)
    )
    submitted = []
    return Effect.forEach(writes, (write) => opened.store.commit([write]), { discard: true })
  })

  const expect = (writes: ReadonlyArray<Write>, now: number) => {
    const [after, outcomes] = Model.writeAll(model, writes, now)
    model = after
    see(seen, writes, outcomes)
    return outcomes
  }

  /** What concerns several states is in no order with what else is under way. */
  const settleIfWide = (writes: Writes) =>
    Effect.suspend(() => !atomic && isWide(model, [writes]) ? settle : Effect.void)

  const commit = Effect.fnUntraced(function*(writes: Writes) {
    yield* settleIfWide(writes)
    const expected = expect(writes, yield* Clock.currentTimeMillis)
    const outcomes = yield* opened.store.commit(writes)
    assert.deepStrictEqual(checkOutcomes(tokens, writes, outcomes), expected)
  })

  const reopen = Effect.fnUntraced(function*() {
    yield* Scope.close(opened.scope, Exit.void)
    opened = yield* openStore(disk)
  })

  const living = (writes: Writes): Writes => atomic ? writes : withLivingParents(model, [writes])[0]!

  const checkAll = Effect.fnUntraced(function*() {
    const now = yield* Clock.currentTimeMillis
    yield* settle
    const expected = Reads.modelReadAll(model, now, opened, options)
    Reads.checkSame(Reads.ordered(yield* Reads.readAll(opened, now), options), Reads.ordered(expected, options))
    const streams = yield* Stream.runCollect(opened.store.streams({}))
    streams.forEach((record) => tokens.check(record.stream, record.token))
    yield* Reads.readByToken(opened.store, streams)
  })

  for (const command of program) {
    switch (command._tag) {
      case "Commit": {
        yield* commit(living(command.writes))
        break
      }
      case "Submit": {
        const writes = living(command.writes)
        yield* settleIfWide(writes)
        const isAlone = !atomic && isWide(model, [writes])
        const outcomes = expect(writes, yield* Clock.currentTimeMillis)
        outcomes.forEach((outcome, i) => {
          const write = writes[i]!
          if (write._tag === "OpenStream" && outcome._tag === "Opened" && outcome.fresh) {
            tokens.opened(write.stream)
          }
        })
        yield* opened.store.submit(writes)
        submitted.push(...writes)
        if (isAlone) {
          yield* settle
        }
        break
      }
      case "Together":
      case "ReadWhileWriting": {
        yield* settle
        const now = yield* Clock.currentTimeMillis
        const states = [model]
        const commits = atomic ? command.commits : withLivingParents(model, command.commits)
        const isAlone = !atomic && isWide(model, commits)
        const expected = commits.map((writes) => {
          if (atomic) {
            const outcomes = expect(writes, now)
            states.push(model)
            return outcomes
          }
          return writes.flatMap((write) => {
            const outcomes = expect([write], now)
            states.push(model)
            return outcomes
          })
        })
        const fibers = yield* Effect.forEach(
          isAlone ? [commits] : commits.map((writes) => [writes]),
          (commits) => Effect.forkChild(Effect.forEach(commits, opened.store.commit), { startImmediately: true })
        )
        if (command._tag === "ReadWhileWriting") {
          const read = yield* Reads.readAll(opened, now)
          const between = states.map((state) => Reads.modelReadAll(state, now, opened, options))
          if (atomic) {
            assert.isTrue(
              between.some((state) => isDeepStrictEqual(read, state)),
              "what is read while commits are on their way is the state between two of them"
            )
          } else {
            Reads.checkBetween(read, between)
          }
        }
        const outcomes = (yield* Fiber.joinAll(fibers)).flat()
        commits.forEach((writes, i) => assert.deepStrictEqual(checkOutcomes(tokens, writes, outcomes[i]!), expected[i]))
        break
      }
      case "Torn": {
        const writes = living(command.writes)
        const [first, ...rest] = writes.slice(0, command.applied)
        if (first !== undefined) {
          yield* commit([first, ...rest])
        }
        yield* reopen()
        yield* commit(writes)
        break
      }
      case "Reopen": {
        yield* reopen()
        yield* checkAll()
        break
      }
      case "Advance": {
        // what is queued is committed at the time before
        yield* settle
        yield* TestClock.adjust(command.millis)
        break
      }
      case "Query": {
        yield* settle
        yield* Reads.checkQuery(opened, model, command, options)
        break
      }
      case "ReadAll": {
        yield* checkAll()
      }
    }
  }
  yield* checkAll()
  yield* Scope.close(opened.scope, Exit.void)
})

/** What a random program has to come by; each of these can go wrong on its own. */
const outcomesToSee: ReadonlyArray<string> = [
  "OpenSession: Made fresh=true",
  "OpenSession: Made fresh=false",
  "SetSession: Made fresh=true",
  "SetSession: Made fresh=false",
  "SetSession: Missing",
  "EndSession: Made fresh=true",
  "EndSession: Made fresh=false",
  "EndSession: Missing",
  "ForgetSession: Made fresh=true",
  "ForgetSession: Made fresh=false",
  "ForgetSession: Missing",
  "PutKey: Stands fresh=true",
  "PutKey: Stands fresh=false",
  "OpenStream: Opened fresh=true",
  "OpenStream: Opened fresh=false",
  "Append: Appended fresh=true",
  "Append: Appended fresh=false",
  "Append: Closed",
  "Append: Missing",
  "Trim: Made fresh=true",
  "Trim: Made fresh=false",
  "Trim: Missing",
  "StartExecution: Made fresh=true",
  "StartExecution: Made fresh=false",
  ...["BeginRecovery: Recovering", "RecordStep: Stands", "Signal: Stands", "ArmTimer: Armed", "RequestCancel: Made"]
    .flatMap((name) => [`${name} fresh=true`, `${name} fresh=false`]),
  "Park: Parked true",
  "Park: Parked false",
  "Resume: Made fresh=true",
  "Resume: Made fresh=false",
  ...["BeginRecovery", "RecordStep", "Signal", "ArmTimer", "RequestCancel", "Park", "Resume"]
    .flatMap((name) => [`${name}: Completed`, `${name}: Missing`]),
  "Complete: Stands fresh=true",
  "Complete: Stands fresh=false",
  "Complete: Completed",
  "Complete: Missing",
  "Forget: Made fresh=true",
  "Forget: Made fresh=false",
  "Forget: Missing"
]

/**
 * Declares the suite of a backend. `makeDisk` makes a new, empty one. A failure
 * prints the shortest program that it was shrunk to, and a token: pass it as
 * `arbitrary: { replay }` to run that one again.
 */
export const storeContract = (
  name: string,
  makeDisk: Effect.Effect<Disk, never, Scope.Scope>,
  options: Options = {}
): void => {
  describe(`store contract: ${name}`, () => {
    const { runs = 2_000, timeout = 300_000 } = options
    const seen: Seen = new Map()
    let programs = 0

    it.effect.prop(
      `${runs} random programs do what the model says`,
      { program: commands },
      ({ program }) =>
        Effect.scoped(Effect.flatMap(makeDisk, (disk) => runProgram(disk, program, seen, options))).pipe(
          Effect.andThen(Effect.sync(() => void programs++))
        ),
      { timeout, arbitrary: { runs, size: 30 } }
    )

    // a few programs cannot come by all of them
    if (runs >= 1_000) {
      it("the programs came by every outcome of every write", (context) => {
        context.skip(programs < runs, "a program failed before all were run")
        assert.deepStrictEqual(outcomesToSee.filter((outcome) => !seen.has(outcome)), [])
      })
    }

    const withStore = <E>(f: (opened: Opened, disk: Disk) => Effect.Effect<void, E>) =>
      Effect.scoped(Effect.gen(function*() {
        const disk = yield* makeDisk
        const opened = yield* openStore(disk)
        yield* f(opened, disk)
        yield* Scope.close(opened.scope, Exit.void)
      }))

    it.effect("a session takes the children of its executions with it, and theirs, but not while one runs", () =>
      withStore(({ store }) =>
        Effect.gen(function*() {
          yield* store.commit([
            { _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" },
            { ...openStream("call"), session: "s" },
            { ...openStream("other"), session: "t" },
            start("call"),
            start("child", "call"),
            start("grandchild", "child"),
            start("other"),
            { _tag: "EndSession", id: "s" },
            { _tag: "Complete", id: "call", result: "1" },
            { _tag: "Complete", id: "child", result: "2" }
          ])
          const forget: Write = { _tag: "ForgetSession", id: "s" }
          assert.deepStrictEqual(yield* store.commit([forget]), [{ _tag: "Made", fresh: false }])
          yield* store.commit([
            { _tag: "Complete", id: "grandchild", result: "3" },
            { _tag: "Forget", id: "child" }
          ])
          assert.deepStrictEqual(yield* store.commit([forget]), [{ _tag: "Made", fresh: true }])
          const left = yield* Stream.runCollect(store.list({}))
          assert.deepStrictEqual(left.map(({ id }) => id), ["other"])
          assert.deepStrictEqual(
            yield* store.commit([start("call"), start("child"), start("grandchild")]),
            Array.from({ length: 3 }, () => ({ _tag: "Made", fresh: true })),
            "nothing is left of them, no tombstone either"
          )
        })
      ))

    it.effect("steps and signals come back in the order in which they came, also after a restart", () =>
      withStore(({ scope, store }, disk) =>
        Effect.gen(function*() {
          const names = Array.from({ length: 1_000 }, (_, i) => `step/${(i * 7_919) % 1_000}`)
          yield* store.commit([start("e")])
          yield* store.commit(
            names.flatMap((name): ReadonlyArray<Write> => [
              {
                _tag: "RecordStep",
                id: "e",
                name,
                key: name,
                kind: "step",
                root: true,
                version: "1",
                exit: JSON.stringify(name)
              },
              { _tag: "Signal", id: "e", name, exit: JSON.stringify(name) }
            ]) as unknown as Writes
          )
          yield* Scope.close(scope, Exit.void)
          const reopened = yield* openStore(disk)
          const record = Option.getOrThrow(yield* reopened.store.execution("e"))
          assert.deepStrictEqual(record.steps.map(({ name }) => name), names)
          assert.deepStrictEqual(record.signals.map(({ exit }) => JSON.parse(exit)), names)
          yield* Scope.close(reopened.scope, Exit.void)
        })
      ))

    it.effect("a follower beside a writer sees each event once and in order, and ends with the last", () =>
      withStore(({ store }) =>
        Effect.gen(function*() {
          const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
          yield* store.commit([openStream("a")])
          const follow = Effect.fnUntraced(function*(limit: number) {
            const watch = store.watch({ _tag: "Stream", stream: "a" })
            const seen: Array<string> = []
            let after = 0
            while (true) {
              const page = yield* store.events("a", after, limit)
              for (const event of page.events) {
                assert.strictEqual(event.seq, ++after)
                seen.push(event.key)
              }
              if (page.closed) {
                return seen
              }
              if (page.events.length === 0) {
                yield* watch.next
              }
            }
          })
          const followers = yield* Effect.forEach(
            [1, 2, 7, 1_000],
            (limit) => Effect.forkChild(follow(limit), { startImmediately: true })
          )
          for (const [i, key] of keys.entries()) {
            const last = i === keys.length - 1
            const write: Write = { _tag: "Append", stream: "a", key, data: "1", last }
            yield* last || i % 11 === 0 ? store.commit([write]) : store.submit([write])
          }
          assert.deepStrictEqual(yield* Fiber.joinAll(followers), followers.map(() => keys))
        })
      ))

    it.effect(
      "a listing neither repeats nor leaves out what stays, while other things come and go",
      () =>
        withStore(({ store }) =>
          Effect.gen(function*() {
            const ids = Array.from({ length: 1_000 }, (_, i) => `e${i}`)
            yield* store.commit(
              ids.flatMap((
                id
              ): ReadonlyArray<Write> => [start(id), { _tag: "Complete", id, result: "1" }]) as unknown as Writes
            )
            const listed: Array<string> = []
            yield* Stream.runForEach(store.list({}), ({ id }) =>
              Effect.gen(function*() {
                const at = listed.push(id)
                if (at % 100 === 0) {
                  // one behind, one before it, one new
                  yield* store.commit([
                    { _tag: "Forget", id: `e${at - 50}` },
                    { _tag: "Forget", id: "e999" },
                    start(`new${at}`)
                  ])
                }
              }))
            assert.strictEqual(new Set(listed).size, listed.length)
            assert.deepStrictEqual(listed.filter((id) => id.startsWith("e") && id !== "e999"), ids.slice(0, -1))
          })
        ),
      timeout
    )

    // any other says what must run to its driver only
    if (options.atomic !== false) {
      it.effect("2,000 parked executions are nothing to run, and have one earliest timer", () =>
        withStore(({ backend, store }) =>
          Effect.gen(function*() {
            assert.isDefined(backend)
            const writes = Array.from({ length: 2_000 }, (_, i): ReadonlyArray<Write> => [
              start(`e${i}`),
              { _tag: "ArmTimer", id: `e${i}`, name: "deadline", at: 1_000_000 - i, exit: "1" },
              { _tag: "Park", id: `e${i}`, seenSignals: 0, seenCancel: false, state: "waiting" }
            ])
            yield* store.commit(writes.flat() as unknown as Writes)
            assert.deepStrictEqual(backend.runnable(0, 100), { items: [], next: undefined })
            assert.strictEqual(backend.nextTimer(), 998_001)
            assert.deepStrictEqual(backend.dueTimers(998_002, 100).map(({ id }) => id), ["e1999", "e1998"])
          })
        ))
    }
  })
}
