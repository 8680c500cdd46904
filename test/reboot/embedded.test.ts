import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, type Scope } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Application, TaskType } from "../../src/reboot/internal/Application.ts"
import type { CallState, CallWrite } from "../../src/reboot/internal/callState.ts"
import * as Embedded from "../../src/reboot/internal/embedded.ts"
import { installation } from "../../src/reboot/internal/installation.ts"
import * as Patches from "../../src/reboot/internal/patches.ts"
import * as Process from "../../src/reboot/internal/process.ts"
import type { StoreError } from "../../src/store/StoreError.ts"
import { startProgram, type StoreProcess } from "../store/sqlite/StoreProcess.ts"
import * as StateDirectory from "./embedded/StateDirectory.ts"
import { describeWithReboot } from "./installed.ts"

interface Line {
  readonly pid?: number
  readonly id?: string
  readonly reason?: string
  readonly message?: string
  readonly before?: ReadonlyArray<number>
  readonly after?: ReadonlyArray<number>
  readonly python?: string
}

const child = (...args: ReadonlyArray<string>): Effect.Effect<StoreProcess<Line>, never, Scope.Scope> =>
  startProgram<Line>(new URL("embedded/child.ts", import.meta.url), args)

type OpenOptions = Partial<Pick<Embedded.Options, "effectValidation" | "callTimeout">>

const open = (
  stateDirectory: string,
  options: OpenOptions = {}
): Effect.Effect<Application, StoreError, Scope.Scope> =>
  Effect.flatMap(
    installation(),
    (installation) => Embedded.make({ name: "test", stateDirectory, installation, ...options })
  )

/** Opens, uses, and closes. */
const using = <A>(
  stateDirectory: string,
  use: (application: Application) => Effect.Effect<A, StoreError, Scope.Scope>,
  options?: OpenOptions
): Effect.Effect<A, StoreError> => Effect.scoped(Effect.flatMap(open(stateDirectory, options), use))

const refusal = (stateDirectory: string): Effect.Effect<StoreError> =>
  Effect.orDie(Effect.flip(Effect.scoped(open(stateDirectory))))

const write = (application: Application, id: string, ...writes: ReadonlyArray<CallWrite>) =>
  application.write("Call", id, { writes, now: 1, boot: "boot" })

const start = (id: string): CallWrite => ({ _tag: "StartExecution", id, workflow: "w", payload: "{}" })
const step = (id: string, name: string, exit: string): CallWrite => ({
  _tag: "RecordStep",
  id,
  name,
  key: name,
  kind: "step",
  root: true,
  version: "1",
  exit
})
const complete = (id: string): CallWrite => ({ _tag: "Complete", id, result: "1" })

/** Ids of the tasks in the order in which they are begun; they end when `ended` says so. */
const tasksOf = Effect.fnUntraced(function*(application: Application) {
  const begun = yield* Queue.make<string>()
  const ends = new Map<string, Deferred.Deferred<void>>()
  yield* application.serve((type: TaskType, id) =>
    Effect.gen(function*() {
      const end = yield* Deferred.make<void>()
      ends.set(id, end)
      yield* Queue.offer(begun, `${type}/${id}`)
      yield* Deferred.await(end)
    })
  )
  return {
    next: Queue.take(begun),
    end: (id: string) => Deferred.succeed(ends.get(id)!, undefined)
  }
})

/** Five seconds pass before one write of the state `hangs` is durable. */
const hang = `
import asyncio, reboot.aio.state_managers as states
store = states.SidecarStateManager._store
hung = []
async def store_later(self, *, state_ref, **kwargs):
    if state_ref.id == "hangs" and len(hung) == 0:
        hung.append(True)
        await asyncio.sleep(5)
    await store(self, state_ref=state_ref, **kwargs)
_set(states.SidecarStateManager, "_store", store_later)
`

/** Fails when Reboot holds more than it may, or all that was written. */
const holdsLittle = `
import reboot.aio.tests as tests
recent = tests.effect_durable_mcp.recent
held = tests.effect_durable_mcp.server._state_manager._states["effmcp.v1.Chunk"]
size = sum(state.ByteSize() for state in held.values())
if size > recent.kept or len(held) != len(recent._sizes):
    raise Exception(f"{len(held)} states of {size} bytes are held, {len(recent._sizes)} are counted")
`

const slow = 60_000

describeWithReboot("Reboot in this process", () => {
  it.live("keeps what was written, and begins a task again that has not ended", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      const texts = ["é \u2028 𝄞 \" \\ \n", "x".repeat(100_000)]
      const written = yield* using(directory, (application) =>
        Effect.gen(function*() {
          const tasks = yield* tasksOf(application)
          const empty = yield* application.read("Call", "a")
          assert.strictEqual(empty.version, 0)
          yield* write(application, "a", start("a"))
          assert.strictEqual(yield* tasks.next, "Call/a")
          let last: CallState | undefined
          for (const [i, text] of texts.entries()) {
            const { response, state } = yield* write(application, "a", step("a", `s${i}`, text))
            assert.deepStrictEqual(response.outcomes, [{ _tag: "Stands", fresh: true, value: text }])
            assert.strictEqual(state?.version, response.version)
            last = state
          }
          yield* write(application, "b", start("b"))
          assert.strictEqual(yield* tasks.next, "Call/b")
          yield* write(application, "b", complete("b"))
          yield* tasks.end("b")
          return last
        }))
      yield* using(directory, (application) =>
        Effect.gen(function*() {
          const tasks = yield* tasksOf(application)
          assert.strictEqual(yield* tasks.next, "Call/a")
          assert.deepStrictEqual(yield* application.read("Call", "a"), written)
          yield* write(application, "a", complete("a"))
          yield* tasks.end("a")
        }))
      // A task is begun once more that ended just before Reboot went down, but not for ever.
      const begins = using(directory, (application) =>
        Effect.gen(function*() {
          const tasks = yield* tasksOf(application)
          yield* write(application, "c", start("c"))
          const begun = yield* tasks.next
          if (begun !== "Call/c") {
            yield* tasks.end(begun.slice("Call/".length))
            // Reboot takes in that it has ended while it makes these.
            yield* Effect.forEach(["1", "2", "3", "4", "5"], (value) => application.write("Chunk", value, { value }))
          }
          return begun
        }))
      assert.include([yield* begins, yield* begins, yield* begins], "Call/c")
    }), slow)

  it.live("does not hold every state in memory, and reads again what it does not hold", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      yield* using(directory, (application) =>
        Effect.gen(function*() {
          const ids = Array.from({ length: 60 }, (_, i) => `c${i}`)
          const valueOf = (id: string) => id.padEnd(400_000, "x")
          yield* Effect.forEach(ids, (id) => application.write("Chunk", id, { value: valueOf(id) }), { concurrency: 8 })
          Patches.importPy(
            yield* Effect.flatMap(installation(), Process.load),
            "effect_durable_mcp_test.held",
            holdsLittle,
            "Reboot holds too much"
          )
          const again = yield* Effect.forEach(ids, (id) =>
            Effect.all([application.read("Chunk", id), application.write("Chunk", id, { value: "another" })], {
              concurrency: 2
            }), { concurrency: 8 })
          again.forEach(([state, { response }], i) => {
            assert.strictEqual(state.value, valueOf(ids[i]!))
            assert.isFalse(response.fresh)
            assert.strictEqual(response.value, valueOf(ids[i]!))
          })
        }))
    }), slow)

  it.live("hands tasks to who serves next", () =>
    Effect.gen(function*() {
      yield* using(yield* StateDirectory.make, (application) =>
        Effect.gen(function*() {
          yield* Effect.scoped(Effect.gen(function*() {
            const tasks = yield* tasksOf(application)
            yield* write(application, "a", start("a"))
            assert.strictEqual(yield* tasks.next, "Call/a")
          }))
          yield* write(application, "b", start("b"))
          const tasks = yield* tasksOf(application)
          assert.sameMembers([yield* tasks.next, yield* tasks.next], ["Call/a", "Call/b"])
        }))
    }), slow)

  it.live("opens one directory after the other, and one at a time", () =>
    Effect.gen(function*() {
      const [first, second] = [yield* StateDirectory.make, yield* StateDirectory.make]
      yield* using(first, (application) =>
        Effect.gen(function*() {
          yield* application.write("Chunk", "k", { value: "1" })
          const error = yield* refusal(second)
          assert.strictEqual(error.reason, "InUse")
          assert.include(error.message, first)
        }))
      yield* using(second, (application) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* application.read("Chunk", "k")).version, 0)
        }))
      yield* using(first, (application) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* application.read("Chunk", "k")).value, "1")
        }))
    }), slow)

  it.live("with effect validation: each write is made once, each task ends", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      yield* using(directory, (application) =>
        Effect.gen(function*() {
          let runs = 0
          const ended = yield* Deferred.make<void>()
          yield* application.serve((_type, id) =>
            Effect.gen(function*() {
              runs++
              const { response } = yield* Effect.orDie(write(application, id, step(id, "s", String(runs))))
              assert.deepStrictEqual(response.outcomes, [{ _tag: "Stands", fresh: runs === 1, value: "1" }])
              if (runs === 2) yield* Deferred.succeed(ended, undefined)
            })
          )
          const first = yield* write(application, "a", start("a"))
          assert.strictEqual(first.state?.version, 1)
          yield* Deferred.await(ended)
          const done = yield* write(application, "a", complete("a"))
          assert.strictEqual(done.response.version, 3)
        }), { effectValidation: true })
    }), slow)

  it.live("a write that nobody waits for any more is refused when it comes to the state", () =>
    Effect.gen(function*() {
      yield* using(yield* StateDirectory.make, (application) =>
        Effect.gen(function*() {
          // Reboot makes the writes of one state one after the other, in the order in which they were sent
          const writes = yield* Effect.forEach(
            Array.from({ length: 40 }, (_, i) => i),
            (i) => Effect.forkChild(application.write("Chunk", `k${i % 2}`, { value: String(i) }))
          )
          yield* Effect.yieldNow
          yield* Fiber.interruptAll(writes)
          const before = yield* application.write("Chunk", "k0", { value: "later" })
          const after = yield* application.read("Chunk", "k0")
          assert.strictEqual(after.value, before.state?.value)
        }))
    }), slow)

  it.live("a write that hangs ends in time, others go on, and it can be repeated", () =>
    Effect.gen(function*() {
      Patches.importPy(
        yield* Effect.flatMap(installation(), Process.load),
        "effect_durable_mcp_test.hang",
        hang,
        "the test cannot let Reboot hang"
      )
      const application = yield* open(yield* StateDirectory.make, { callTimeout: "1 second" })
      const error = yield* Effect.flip(Effect.asVoid(application.write("Chunk", "hangs", { value: "first" })))
      assert.include(error.message, "Reboot did not write Chunk hangs within 1s")
      yield* Effect.retry(application.write("Chunk", "other", { value: "1" }), { times: 2 })
      const repeated = yield* Effect.retry(application.write("Chunk", "hangs", { value: "second" }), { times: 50 })
      // what hung has been written after all, and the first write wins
      assert.deepStrictEqual(repeated.response, { version: 1, fresh: false, value: "first" })
    }), slow)

  it.live("a directory that another process holds, until it is killed", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      const other = yield* child("step", directory)
      const { pid } = yield* other.next
      assert.strictEqual((yield* other.next).id, "execution")
      const error = yield* refusal(directory)
      assert.strictEqual(error.reason, "InUse")
      assert.include(error.message, `process ${pid} on `)
      yield* other.kill
      yield* using(directory, (application) =>
        Effect.gen(function*() {
          const tasks = yield* tasksOf(application)
          assert.strictEqual(yield* tasks.next, "Call/execution")
          const { response } = yield* write(application, "execution", start("execution"))
          assert.deepStrictEqual(response.outcomes, [{ _tag: "Made", fresh: false }])
        }))
    }), slow)

  it.live("takes no signals and no environment from the process, and lets it end", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      const signalled = yield* child("signal", directory)
      yield* signalled.next
      const line = yield* signalled.next
      assert.deepStrictEqual(line.after, line.before)
      assert.isUndefined(line.python)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(signalled.next)), "SIGTERM ends it")
      const ending = yield* child("end", directory)
      yield* ending.next
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ending.next)), "it ends by itself")
    }), slow)

  it.live("a directory that cannot be written", () =>
    Effect.gen(function*() {
      const file = Path.join(yield* StateDirectory.make, "file")
      Fs.writeFileSync(file, "")
      const error = yield* refusal(Path.join(file, "state"))
      assert.include(error.message, file)
    }), slow)

  it.live("a damaged database", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      yield* using(directory, (application) => application.write("Chunk", "k", { value: "1" }))
      const database = Path.join(directory, "p000000")
      for (const name of Fs.readdirSync(database)) {
        if (/^(MANIFEST|CURRENT)/.test(name)) Fs.writeFileSync(Path.join(database, name), "damaged")
      }
      const error = yield* refusal(directory)
      assert.strictEqual(error.reason, "Corrupt", error.message)
      assert.include(error.message, directory)
      // and Reboot is still usable in this process
      yield* using(yield* StateDirectory.make, (application) => application.read("Chunk", "k"))
    }), slow)
})

describe("an installation that is not there", () => {
  it.effect("is one error that says what to type", () =>
    Effect.gen(function*() {
      const reboot = yield* StateDirectory.make
      const error = yield* Effect.flip(installation({ reboot }))
      assert.include(error.message, reboot)
      assert.include(error.message, "npm run reboot:setup")
    }))
})
