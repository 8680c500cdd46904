/**
 * `examples/everything` on a Reboot application that counts; on SIGUSR2 the
 * server prints the counts.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Layer, type Scope } from "effect"
import { DurableMcp, Store } from "effect-durable-mcp"
import * as HttpServer from "effect/http/HttpServer"
import * as Ledger from "../../examples/everything/ledger.ts"
import * as Prompts from "../../examples/everything/prompts.ts"
import * as Resources from "../../examples/everything/resources.ts"
import * as Tools from "../../examples/everything/tools.ts"
import type { Application } from "../../src/reboot/internal/Application.ts"
import * as RebootBackend from "../../src/reboot/internal/store.ts"
import * as Counted from "../internal/CountedApplication.ts"

/** The server's name, version and tools: the same for who hosts them and who serves them. */
export const everything = {
  name: "everything",
  version: "1.0.0",
  registrations: Layer.mergeAll(Tools.layer, Ledger.layer, Prompts.layer, Resources.layer)
}

const Listening = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`listening ${address}/mcp`))
)

/** Runs the server. */
export const serve = <E>(make: Effect.Effect<Application, E, Scope.Scope>): void =>
  Listening.pipe(
    Layer.provide(
      DurableMcp.serveNode({ port: 0, disableListenLog: true })(DurableMcp.layerHttp({ ...everything, path: "/mcp" }))
    ),
    Layer.provide(
      Layer.effect(Store.Store)(Effect.gen(function*() {
        const { application, counts } = Counted.make(yield* make)
        let readings = 0
        process.on("SIGUSR2", () =>
          process.stdout.write(`counts ${JSON.stringify({ reading: ++readings, ...counts() })}\n`))
        return yield* RebootBackend.make(application)
      }))
    ),
    Layer.provide(NodeServices.layer),
    Layer.launch,
    NodeRuntime.runMain
  )
