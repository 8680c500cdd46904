/**
 * The official clients behind one face: SDK v1 and v2, each with a session of
 * its own over real sockets.
 */
import * as V2 from "@modelcontextprotocol/client"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import {
  CreateMessageRequestSchema,
  ElicitationCompleteNotificationSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema
} from "@modelcontextprotocol/sdk/types.js"
import { Effect, type Scope } from "effect"

/** Answers questions, hears notifications. */
export interface Ears {
  readonly elicit?: (params: { readonly message: string; readonly url?: string }) => Promise<Elicited>
  readonly fetch?: typeof fetch
  /** Tries 2026-07-28 first; SDK v2 only. */
  readonly negotiate?: boolean
}

export type Elicited =
  | { action: "accept"; content: Record<string, string | number | boolean> }
  | { action: "decline" | "cancel" }

export interface CallOptions {
  readonly onprogress?:
    | ((progress: { readonly progress: number; readonly total?: number | undefined }) => void)
    | undefined
  readonly signal?: AbortSignal | undefined
  readonly onresumptiontoken?: ((token: string) => void) | undefined
  readonly resumptionToken?: string | undefined
}

export interface Result {
  readonly content: ReadonlyArray<{ readonly type: string; readonly text?: string }>
  readonly structuredContent?: unknown
  readonly isError?: boolean | undefined
}

export interface Peer {
  readonly sessionId: () => string | undefined
  readonly version: () => unknown
  readonly serverVersion: () => unknown
  readonly instructions: () => string | undefined
  readonly call: (name: string, args: Record<string, unknown>, options?: CallOptions) => Effect.Effect<Result, Error>
  readonly ping: Effect.Effect<unknown, Error>
  readonly tools: Effect.Effect<ReadonlyArray<{ readonly name: string }>, Error>
  readonly resources: Effect.Effect<ReadonlyArray<{ readonly uri: string }>, Error>
  readonly templates: Effect.Effect<ReadonlyArray<{ readonly uriTemplate: string }>, Error>
  readonly read: (uri: string) => Effect.Effect<unknown, Error>
  readonly subscribe: (uri: string) => Effect.Effect<unknown, Error>
  readonly prompt: (name: string, args: Record<string, string>) => Effect.Effect<unknown, Error>
  readonly complete: (prompt: string, name: string, value: string) => Effect.Effect<ReadonlyArray<string>, Error>
  readonly setLogLevel: (level: "debug" | "info" | "error") => Effect.Effect<unknown, Error>
  /** DELETE. */
  readonly terminate: Effect.Effect<void, Error>
  /** Data of the log messages that arrived. */
  readonly logs: ReadonlyArray<unknown>
  /** URIs of the resources that were said to have changed. */
  readonly updated: ReadonlyArray<string>
  readonly completedElicitations: ReadonlyArray<string>
  readonly questions: ReadonlyArray<string>
  /** What the transport complained about. */
  readonly errors: ReadonlyArray<Error>
}

export type Connect = (url: URL, ears?: Ears) => Effect.Effect<Peer, Error, Scope.Scope>

const info = { name: "peer", version: "1.0.0" }

const capabilities = {
  elicitation: { form: {}, url: {} },
  sampling: {},
  roots: { listChanged: true }
}

const declined: Elicited = { action: "decline" }
const joke = { model: "m", role: "assistant" as const, content: { type: "text" as const, text: "Knock knock" } }
const roots = { roots: [{ uri: "file:///home", name: "home" }] }

/** Outlasts any restart of a test. */
const reconnectionOptions = {
  initialReconnectionDelay: 10,
  maxReconnectionDelay: 100,
  reconnectionDelayGrowFactor: 1.5,
  maxRetries: 100
}

const attempt = <A>(f: () => Promise<A>): Effect.Effect<A, Error> =>
  Effect.tryPromise({ try: f, catch: (cause) => cause instanceof Error ? cause : new Error(String(cause)) })

const makeRecord = () => ({
  logs: [] as Array<unknown>,
  updated: [] as Array<string>,
  completedElicitations: [] as Array<string>,
  questions: [] as Array<string>,
  errors: [] as Array<Error>
})

/** What the two clients call by the same names. */
const common = (client: Client | V2.Client) => ({
  version: () => client.transport,
  serverVersion: () => client.getServerVersion(),
  instructions: () => client.getInstructions(),
  ping: attempt(() => client.ping()),
  tools: attempt(async () => (await client.listTools()).tools),
  resources: attempt(async () => (await client.listResources()).resources),
  templates: attempt(async () => (await client.listResourceTemplates()).resourceTemplates),
  read: (uri: string) => attempt(async () => (await client.readResource({ uri })).contents),
  subscribe: (uri: string) => attempt(() => client.subscribeResource({ uri })),
  prompt: (name: string, args: Record<string, string>) =>
    attempt(async () => (await client.getPrompt({ name, arguments: args })).messages),
  complete: (prompt: string, name: string, value: string) =>
    attempt(async () =>
      (await client.complete({ ref: { type: "ref/prompt", name: prompt }, argument: { name, value } })).completion
        .values
    ),
  setLogLevel: (level: "debug" | "info" | "error") => attempt(() => client.setLoggingLevel(level))
})

export const connectV1: Connect = Effect.fnUntraced(function*(url, ears) {
  const record = makeRecord()
  const client = new Client(info, { capabilities })
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    record.questions.push(params.message)
    return ears?.elicit?.(params) ?? Promise.resolve(declined)
  })
  client.setRequestHandler(CreateMessageRequestSchema, () => joke)
  client.setRequestHandler(ListRootsRequestSchema, () => roots)
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void record.logs.push(params.data))
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void record.updated.push(params.uri))
  client.setNotificationHandler(
    ElicitationCompleteNotificationSchema,
    ({ params }) => void record.completedElicitations.push(params.elicitationId)
  )
  client.onerror = (error) => record.errors.push(error)
  const transport = new StreamableHTTPClientTransport(url, {
    reconnectionOptions,
    ...(ears?.fetch === undefined ? {} : { fetch: ears.fetch })
  })
  yield* Effect.acquireRelease(
    attempt(() => client.connect(transport as Parameters<Client["connect"]>[0])),
    () => Effect.promise(() => client.close())
  )
  return {
    ...common(client),
    ...record,
    sessionId: () => transport.sessionId,
    version: () => transport.protocolVersion,
    call: (name, args, options) =>
      attempt(() =>
        client.callTool({ name, arguments: args }, undefined, options as Parameters<Client["callTool"]>[2]) as Promise<
          Result
        >
      ),
    terminate: attempt(() => transport.terminateSession())
  }
})

export const connectV2: Connect = Effect.fnUntraced(function*(url, ears) {
  const record = makeRecord()
  const client = new V2.Client(info, {
    capabilities,
    ...(ears?.negotiate === true ? { versionNegotiation: { mode: "auto" as const } } : {})
  })
  client.setRequestHandler("elicitation/create", ({ params }) => {
    record.questions.push(params.message)
    return ears?.elicit?.(params) ?? Promise.resolve(declined)
  })
  client.setRequestHandler("sampling/createMessage", () => joke)
  client.setRequestHandler("roots/list", () => roots)
  client.setNotificationHandler("notifications/message", ({ params }) => void record.logs.push(params.data))
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => void record.updated.push(params.uri))
  client.setNotificationHandler(
    "notifications/elicitation/complete",
    ({ params }) => void record.completedElicitations.push(params.elicitationId)
  )
  client.onerror = (error) => record.errors.push(error)
  const transport = new V2.StreamableHTTPClientTransport(url, {
    reconnectionOptions,
    ...(ears?.fetch === undefined ? {} : { fetch: ears.fetch })
  })
  yield* Effect.acquireRelease(
    attempt(() => client.connect(transport)),
    () => Effect.promise(() => client.close())
  )
  return {
    ...common(client),
    ...record,
    sessionId: () => transport.sessionId,
    version: () => transport.protocolVersion,
    call: (name, args, options) =>
      attempt(() =>
        client.callTool({ name, arguments: args }, options as Parameters<V2.Client["callTool"]>[1]) as Promise<Result>
      ),
    terminate: attempt(() => transport.terminateSession())
  }
})

export const peers: ReadonlyArray<readonly [name: string, connect: Connect]> = [
  ["@modelcontextprotocol/sdk (v1)", connectV1],
  ["@modelcontextprotocol/client (v2)", connectV2]
]

/**
 * A `fetch` whose connections can be cut: what is being read then ends as when
 * the server dies.
 */
export const makeCuttableFetch = (): { readonly fetch: typeof fetch; readonly cut: () => void } => {
  const open = new Set<AbortController>()
  return {
    cut: () => {
      for (const controller of open) controller.abort(new TypeError("terminated"))
      open.clear()
    },
    fetch: async (input, init) => {
      const controller = new AbortController()
      open.add(controller)
      const signal = init?.signal ? AbortSignal.any([init.signal, controller.signal]) : controller.signal
      return fetch(input, { ...init, signal })
    }
  }
}
