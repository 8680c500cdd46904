/**
 * `npm run serve`: book-trip for any MCP client. Kill the server as you like:
 * it is started again, on the same port and the same data. `npm run serve --
 * --store reboot` for another store.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem } from "effect"
import { Command, Flag } from "effect/cli"
import * as Processes from "./processes.ts"

const serve = Effect.fnUntraced(function*({ store }: { readonly store: "sqlite" | "reboot" }) {
  const fs = yield* FileSystem.FileSystem
  let port = String(yield* Config.Int("PORT").pipe(Config.withDefault(3000)))
  const dataDir = yield* Config.String("DATA_DIR").pipe(Config.withDefault(".artifacts/book-trip"))
  yield* fs.makeDirectory(dataDir, { recursive: true })
  const world = yield* Processes.start({ program: "world.ts", env: { PORT: "0" }, onLine: Console.log })
  return yield* Effect.forever(Effect.scoped(Effect.gen(function*() {
    const server = yield* Processes.start({
      program: "server.ts",
      env: { PORT: port, DATA_DIR: dataDir, STORE: store, WORLD_URL: world.url },
      onLine: Console.log
    })
    port = new URL(server.url).port
    yield* Console.log(`listening ${server.url}; try: kill -9 ${server.pid}`)
    yield* server.awaitExit
    yield* Console.log("the server has ended; starting it again")
  })))
}, Effect.scoped)

Command.make("serve", {
  store: Flag.Literals("store", ["sqlite", "reboot"]).pipe(
    Flag.withDescription("Where the server keeps its state; Reboot is to be set up first: npm run reboot:setup"),
    Flag.withDefault("sqlite")
  )
}, serve).pipe(
  Command.withDescription("Serves book-trip, and starts it again whenever it is killed"),
  Command.run({ version: "1.0.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
