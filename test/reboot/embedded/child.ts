/**
 * A process with an embedded Reboot, which says in lines of JSON what comes of
 * it.
 *
 * - `hold <directory>`: opens and waits until it is killed.
 * - `step <directory>`: starts an execution, whose run never ends.
 * - `run <directory>`: starts an execution in a store, whose run records a step
 *   and then never ends.
 * - `ports <directory>`: opens, and says on which ports this process listens.
 * - `signal <directory>`: opens, and says what listens to signals; then sends
 *   itself SIGTERM.
 * - `end <directory>`: opens, closes, and goes.
 * - `connect <socket>`: connects; root becomes nobody first.
 */
import { Effect } from "effect"
import * as Net from "node:net"
import * as Embedded from "../../../src/reboot/internal/embedded.ts"
import { installation } from "../../../src/reboot/internal/installation.ts"
import * as RebootStore from "../../../src/reboot/RebootStore.ts"
import { StoreError } from "../../../src/store/StoreError.ts"
import { listeningPorts } from "./ports.ts"

const [mode, stateDirectory = ""] = process.argv.slice(2)

const say = (line: unknown) => Effect.sync(() => process.stdout.write(JSON.stringify(line) + "\n"))

const listeners = () => ["exit", "SIGTERM", "SIGINT", "unhandledRejection"].map((event) => process.listenerCount(event))

const nobody = 65_534

const connect = Effect.callback<string>((resume) => {
  if (process.getuid?.() === 0) {
    process.setgid!(nobody)
    process.setuid!(nobody)
  }
  const socket = Net.connect(stateDirectory)
  socket.on("connect", () => resume(Effect.succeed("connected")))
  socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message)))
  return Effect.sync(() => void socket.destroy())
})

const program = Effect.gen(function*() {
  if (mode === "connect") return yield* Effect.flatMap(connect, (reason) => say({ reason }))
  if (mode === "run") {
    const store = yield* RebootStore.make({ stateDirectory })
    yield* store.drive((id, { cutOff }) =>
      Effect.gen(function*() {
        yield* store.commit([{
          _tag: "RecordStep",
          id,
          name: "s",
          key: "s",
          kind: "step",
          root: true,
          version: "1",
          exit: "1"
        }])
        yield* say({ id, cutOff })
        yield* Effect.never
      }).pipe(Effect.orDie)
    )
    yield* store.commit([{ _tag: "StartExecution", id: "execution", workflow: "w", payload: "{}" }])
    return yield* Effect.never
  }
  const before = listeners()
  const application = yield* Embedded.make({ name: "child", stateDirectory, installation: yield* installation() })
  yield* say({ pid: process.pid })
  if (mode === "hold") return yield* Effect.never
  if (mode === "ports") return yield* say({ ports: yield* listeningPorts })
  if (mode === "signal") {
    yield* say({ before, after: listeners(), python: process.env["PYTHONHOME"] })
    return yield* Effect.sync(() => process.kill(process.pid, "SIGTERM"))
  }
  if (mode === "step") {
    yield* application.serve((type, id) => Effect.andThen(say({ type, id }), Effect.never))
    yield* application.write("Call", "execution", {
      writes: [{ _tag: "StartExecution", id: "execution", workflow: "w", payload: "{}" }],
      now: Date.now(),
      boot: "first"
    })
    return yield* Effect.never
  }
})

await Effect.runPromise(
  program.pipe(
    Effect.scoped,
    Effect.catchIf(StoreError.is, (error) => say({ reason: error.reason, message: error.message }))
  )
)
