/**
 * A process that opens a store and says in lines of JSON what came of it.
 *
 * - `hold <file>`: holds the file until it is killed.
 * - `open <file>`: opens the file and goes.
 * - `open-as-nobody <file>`: the same; root becomes nobody first, since root may
 *   write anywhere.
 * - `timer <file>`: drives an execution that waits for a month, closes, and goes.
 * - `write <file> <stream>`: commits one event after the other until it is
 *   killed, and says the number of each that was acknowledged.
 */
import { Effect } from "effect"
import * as SqliteStore from "../../../src/store/SqliteStore.ts"
import { StoreError } from "../../../src/store/StoreError.ts"

const [mode, filename = "", stream = ""] = process.argv.slice(2)

const say = (line: unknown) => Effect.sync(() => process.stdout.write(JSON.stringify(line) + "\n"))

const nobody = 65_534

const program = Effect.gen(function*() {
  if (mode === "open-as-nobody" && process.getuid?.() === 0) {
    process.setgid!(nobody)
    process.setuid!(nobody)
  }
  const store = yield* SqliteStore.make({ filename })
  yield* say({ pid: process.pid })
  if (mode === "hold") return yield* Effect.sleep("1 hour")
  if (mode === "timer") {
    const id = "waits"
    yield* store.commit([
      { _tag: "StartExecution", id, workflow: "w", payload: "{}" },
      { _tag: "ArmTimer", id, name: "due", at: Date.now() + 30 * 24 * 60 * 60 * 1000, exit: "null" },
      { _tag: "Park", id, seenSignals: 0, seenCancel: false, state: "waiting" }
    ])
    yield* store.drive(() => Effect.void)
    return yield* say({ n: 1 })
  }
  if (mode === "write") {
    yield* store.commit([{ _tag: "OpenStream", stream, principal: "p", requestDigest: "d", version: "1" }])
    let n = 0
    yield* Effect.forever(Effect.gen(function*() {
      n++
      // Beside what is committed, what is only submitted: the queue is one.
      yield* store.submit([{ _tag: "Append", stream, key: `submitted/${n}`, data: "{}" }])
      const data = JSON.stringify({ n, text: "x".repeat((n * 97) % 4_000) })
      yield* store.commit([{ _tag: "Append", stream, key: `committed/${n}`, data }])
      yield* say({ n })
    }))
  }
})

await Effect.runPromise(
  program.pipe(
    Effect.scoped,
    Effect.catchIf(StoreError.is, (error) => say({ reason: error.reason, message: error.message }))
  )
)
