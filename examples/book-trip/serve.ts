/**
 * `npm run serve`: book-trip for any MCP client. Kill the server as you like:
 * it is started again, on the same port and the same data.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem } from "effect"
import * as Processes from "./processes.ts"

const serve = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  let port = String(yield* Config.Int("PORT").pipe(Config.withDefault(3000)))
  const dataDir = yield* Config.String("DATA_DIR").pipe(Config.withDefault(".artifacts/book-trip"))
  yield* fs.makeDirectory(dataDir, { recursive: true })
  const world = yield* Processes.start({ program: "world.ts", env: { PORT: "0" }, onLine: Console.log })
  return yield* Effect.forever(Effect.scoped(Effect.gen(function*() {
    const server = yield* Processes.start({
      program: "server.ts",
      env: { PORT: port, DATA_DIR: dataDir, WORLD_URL: world.url },
      onLine: Console.log
    })
    port = new URL(server.url).port
    yield* Console.log(`listening ${server.url}; try: kill -9 ${server.pid}`)
    yield* server.awaitExit
    yield* Console.log("the server has ended; starting it again")
  })))
})

serve.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
