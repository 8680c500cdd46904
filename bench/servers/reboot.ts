/**
 * `examples/everything` on Reboot in this process, over an application that
 * counts; on SIGUSR2 it prints the counts.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Config, Console, Effect, Layer } from "effect"
import { DurableMcp, Store } from "effect-durable-mcp"
import * as HttpServer from "effect/http/HttpServer"
import * as Ledger from "../../examples/everything/ledger.ts"
import * as Prompts from "../../examples/everything/prompts.ts"
import * as Resources from "../../examples/everything/resources.ts"
import * as Tools from "../../examples/everything/tools.ts"
import * as Embedded from "../../src/reboot/internal/embedded.ts"
import { installation } from "../../src/reboot/internal/installation.ts"
import * as RebootStore from "../../src/reboot/internal/store.ts"
import * as Counted from "../internal/CountedApplication.ts"

const CountedStore = Layer.effect(Store.Store)(Effect.gen(function*() {
  const { application, counts } = Counted.make(
    yield* Embedded.make({
      name: "everything",
      stateDirectory: yield* Config.String("DATA_DIR"),
      installation: yield* installation()
    })
  )
  process.on("SIGUSR2", () => process.stdout.write(`counts ${JSON.stringify(counts())}\n`))
  return yield* RebootStore.make(application)
}))

const Mcp = DurableMcp.layerHttp({
  name: "everything",
  version: "1.0.0",
  path: "/mcp",
  registrations: Layer.mergeAll(Tools.layer, Ledger.layer, Prompts.layer, Resources.layer)
})

const Listening = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`listening ${address}/mcp`))
)

Listening.pipe(
  Layer.provide(DurableMcp.serveNode({ port: 0, disableListenLog: true })(Mcp)),
  Layer.provide(CountedStore),
  Layer.provide(NodeServices.layer),
  Layer.launch,
  NodeRuntime.runMain
)
