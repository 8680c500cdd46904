/** What an area of the crash proof is: a server, and what its client does. */
import type { DurableMcp, Store } from "effect-durable-mcp"
import type { CrashTest, World } from "effect-durable-mcp/testing"
import type { McpServer } from "effect/ai"
import type { HttpRouter } from "effect/http"

/** The kit and the server give it all that it needs. */
export type Area =
  & CrashTest.Server<
    never,
    never,
    | McpServer.McpServer
    | World.World
    | Store.Store
    | HttpRouter.HttpRouter
    | McpServer.McpRequest.From<"Requires", DurableMcp.Provided>
  >
  & CrashTest.Options<unknown>
