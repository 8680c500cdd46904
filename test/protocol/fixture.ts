/**
 * One set of registrations of every kind, for comparing servers. The toolkits
 * are registered by `register`, so that the same handlers run either way.
 */
import { Context, Data, Effect, Layer, Schema } from "effect"
import { McpSchema, McpServer, Tool, Toolkit } from "effect/ai"

export type Register = <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>
) => Layer.Layer<never, never, McpServer.ToolkitRequirements<Tools>>

class Unlucky extends Schema.TaggedError<Unlucky>("Unlucky")("Unlucky", { message: Schema.String }) {}
class Quiet extends Schema.TaggedError<Quiet>("Quiet")("Quiet", { code: Schema.Number }) {}
class Undeclared extends Data.TaggedError("Undeclared")<{}> {}
class User extends Context.Service<User, { readonly name: string }>()("User") {}
class Greeting extends Context.Service<Greeting, { readonly text: string }>()("Greeting") {}
class Forbidden extends Schema.Error<Forbidden>("Forbidden")({
  ...McpSchema.McpErrorBase.fields,
  _tag: Schema.tag("Forbidden"),
  code: Schema.tag(-32001)
}) {}

/** A handler that does not keep to its types, as one written in JavaScript may. */
const untyped = <A>(effect: Effect.Effect<unknown, unknown>): Effect.Effect<A> => effect as Effect.Effect<A>

// -----------------------------------------------------------------------------
// tools that end well
// -----------------------------------------------------------------------------

const Results = Toolkit.make(
  Tool.make("echo", {
    description: "Says it again",
    parameters: Schema.Struct({ text: Schema.String }),
    success: Schema.String
  }),
  Tool.make("quote", { description: "A quoted string", success: Schema.String }),
  Tool.make("sum", {
    description: "Adds",
    parameters: Schema.Struct({ a: Schema.Number, b: Schema.optionalKey(Schema.Number) }),
    success: Schema.Struct({ sum: Schema.Number })
  }).annotate(Tool.Readonly, true).annotate(Tool.Title, "Sum"),
  Tool.make("nothing"),
  Tool.make("numbers", { success: Schema.Array(Schema.Number) }),
  Tool.make("number", { success: Schema.Number }),
  Tool.make("yes", { success: Schema.Boolean }),
  Tool.make("null", { success: Schema.Null }),
  Tool.make("nested", {
    success: Schema.Struct({
      items: Schema.Array(Schema.Struct({ id: Schema.Int, tags: Schema.Array(Schema.String) }))
    })
  }),
  Tool.make("optional", {
    success: Schema.Struct({ here: Schema.String, gone: Schema.optional(Schema.String) })
  }),
  Tool.make("when", { success: Schema.Struct({ at: Schema.Date }) }),
  Tool.make("encoded", {
    parameters: Schema.Struct({ n: Schema.NumberFromString }),
    success: Schema.Struct({ n: Schema.NumberFromString })
  }),
  Tool.make("anything", {
    parameters: Schema.Struct({ what: Schema.String }),
    success: Schema.Unknown
  }),
  Tool.make("preliminary", { success: Schema.Struct({ n: Schema.Int }) }),
  Tool.make("preliminary_bad", { success: Schema.Struct({ n: Schema.Int }) }),
  Tool.make("strict", {
    parameters: Schema.Struct({ a: Schema.Number }),
    success: Schema.Number
  }).annotate(Tool.Strict, true),
  Tool.dynamic("dynamic", {
    description: "Has a raw JSON Schema",
    parameters: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { any: { $ref: "#/$defs/any" } },
      $defs: { any: { type: ["string", "number"] } },
      additionalProperties: false
    },
    success: Schema.Unknown
  })
)

const odd: Record<string, unknown> = {
  bigint: 1n,
  function: () => 1,
  date: new Date(0),
  dates: { at: new Date(0) },
  infinity: { n: Infinity },
  map: new Map([["a", 1]]),
  undefinedField: { a: 1, b: undefined },
  sparse: [1, undefined, 3],
  instance: new (class Point {
    readonly x = 1
  })(),
  object: { a: { b: ["c", null, true, 1.5] } },
  empty: {},
  emptyString: "",
  lone: "\ud800"
}

const ResultsLive = Results.toLayer({
  echo: ({ text }) => Effect.succeed(text),
  quote: () => Effect.succeed("she said \"no\"\n"),
  sum: ({ a, b }) => Effect.succeed({ sum: a + (b ?? 1) }),
  nothing: () => Effect.void,
  numbers: () => Effect.succeed([1, 2, 3]),
  number: () => Effect.succeed(42),
  yes: () => Effect.succeed(true),
  null: () => Effect.succeed(null),
  nested: () => Effect.succeed({ items: [{ id: 1, tags: ["a", "b"] }, { id: 2, tags: [] }] }),
  optional: () => Effect.succeed({ here: "yes", gone: undefined }),
  when: () => Effect.succeed({ at: new Date("2026-07-28T00:00:00Z") }),
  encoded: ({ n }) => Effect.succeed({ n: n + 1 }),
  anything: ({ what }) => Effect.succeed(odd[what]),
  preliminary: (_, { preliminary }) => Effect.andThen(preliminary({ n: 1 }), Effect.succeed({ n: 2 })),
  preliminary_bad: (_, { preliminary }) => Effect.andThen(preliminary({ n: 1.5 }), Effect.succeed({ n: 2 })),
  strict: ({ a }) => Effect.succeed(a),
  dynamic: (params) => Effect.succeed({ got: params })
})

// -----------------------------------------------------------------------------
// tools that do not
// -----------------------------------------------------------------------------

const How = Schema.Struct({ how: Schema.String })
const failure = Schema.Union([Unlucky, Quiet])

const Failures = Toolkit.make(
  Tool.make("fails", { parameters: How, success: Schema.String, failure }),
  Tool.make("fails_returned", { parameters: How, success: Schema.String, failure, failureMode: "return" }),
  Tool.make("bad_result", { success: Schema.Struct({ n: Schema.Int }) }),
  Tool.make("bad_result_returned", { success: Schema.Struct({ n: Schema.Int }), failure, failureMode: "return" })
)

const end = (how: string): Effect.Effect<string, Unlucky | Quiet> => {
  switch (how) {
    case "declared":
      return Effect.fail(new Unlucky({ message: "No luck today" }))
    case "declared_empty":
      return Effect.fail(new Unlucky({ message: "" }))
    case "declared_encoded":
      return Effect.fail(new Quiet({ code: 7 }))
    case "undeclared":
      return untyped(Effect.fail(new Undeclared()))
    case "undeclared_mcp":
      return untyped(Effect.fail(new McpSchema.InvalidParams({ message: "from the handler" })))
    case "undeclared_string":
      return untyped(Effect.fail("oops"))
    case "schema_error":
      return untyped(Schema.decodeUnknownEffect(Schema.Int)("x"))
    case "defect":
      return Effect.die(new Error("secret"))
    case "throws":
      throw new Error("secret")
    case "interrupt":
      return Effect.interrupt
    case "fail_and_die":
      return Effect.ensuring(Effect.fail(new Unlucky({ message: "first" })), Effect.die("then"))
    default:
      return Effect.succeed(how)
  }
}

const FailuresLive = Failures.toLayer({
  fails: ({ how }) => end(how),
  fails_returned: ({ how }) => end(how),
  bad_result: () => untyped(Effect.succeed({ n: 1.5 })),
  bad_result_returned: () => untyped(Effect.succeed({ n: "x" }))
})

// -----------------------------------------------------------------------------
// requests with context
// -----------------------------------------------------------------------------

const Contextual = Toolkit.make(
  Tool.make("who", {
    success: Schema.Unknown,
    dependencies: [User, McpSchema.McpServerClient, McpSchema.McpRequestContext]
  }),
  Tool.make("greet", { success: Schema.String }),
  Tool.make("admin", { success: Schema.String })
)

const ContextualLive = Contextual.toLayer(Effect.gen(function*() {
  const greeting = yield* Greeting
  return {
    who: Effect.fnUntraced(function*() {
      const user = yield* User
      const client = yield* McpSchema.McpServerClient
      const capabilities = yield* McpServer.clientCapabilities
      return {
        user: user.name,
        version: client.protocolVersion,
        client: client.clientInfo.name,
        roots: client.clientCapabilities.roots ?? null,
        experimental: capabilities.experimental ?? null,
        offered: client.initializePayload.protocolVersion,
        meta: client.requestMetadata ?? null
      }
    }),
    greet: () => Effect.succeed(greeting.text),
    admin: () => Effect.succeed("you are admin")
  }
})).pipe(Layer.provide(Layer.succeed(Greeting, { text: "hello" })))

/** Local: provides a service from a header. */
const withUser = McpServer.middleware<{ provides: User }>()((effect, { headers }) =>
  Effect.provideService(effect, User, { name: headers["x-user"] ?? "nobody" })
)

const adminsOnly = McpServer.visibility(({ headers, target }) =>
  Effect.succeed(target !== "admin" || headers["x-user"] === "root")
)

/** Global: refuses, dies or changes what passes, as the target says. */
const gate = McpServer.middleware((effect, { method, target }) => {
  switch (target) {
    case "refused":
      return Effect.fail(new Forbidden({ message: "Not you", data: { method } }))
    case "gate_dies":
      return Effect.die(new Error("secret"))
    default:
      return effect
  }
}, { global: true })

const Gated = Toolkit.make(
  Tool.make("refused", { success: Schema.String }),
  Tool.make("gate_dies", { success: Schema.String })
)
const GatedLive = Gated.toLayer({
  refused: () => Effect.succeed("never"),
  gate_dies: () => Effect.succeed("never")
})

const Modern = Toolkit.make(
  Tool.make("modern", { success: Schema.String }).annotate(
    McpSchema.EnabledWhen,
    ({ protocolVersion }) => protocolVersion >= "2025-06-18"
  )
)
const ModernLive = Modern.toLayer({ modern: () => Effect.succeed("modern") })

// -----------------------------------------------------------------------------
// content of every kind, from the registry's own door
// -----------------------------------------------------------------------------

const bytes = new Uint8Array([1, 2, 3, 250])

const outcomes: Record<
  string,
  Effect.Effect<McpSchema.CallToolResult | McpSchema.InputRequired, McpSchema.InvalidParams | McpSchema.InternalError>
> = {
  text: Effect.succeed(new McpSchema.CallToolResult({ content: [{ type: "text", text: "plain" }] })),
  texts: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "text", text: "a" }, { type: "text", text: "b" }], isError: true })
  ),
  none: Effect.succeed(new McpSchema.CallToolResult({ content: [] })),
  annotated: Effect.succeed(
    new McpSchema.CallToolResult({
      content: [{ type: "text", text: "for you", annotations: { audience: ["user"], priority: 0.5 } }]
    })
  ),
  meta: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "text", text: "x", _meta: { a: 1 } }], _meta: { b: 2 } })
  ),
  image: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "image", data: bytes, mimeType: "image/png" }] })
  ),
  audio: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "audio", data: bytes, mimeType: "audio/wav" }] })
  ),
  link: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "resource_link", uri: "test://a", name: "a" }] })
  ),
  embedded: Effect.succeed(
    new McpSchema.CallToolResult({
      content: [
        { type: "resource", resource: { uri: "test://t", mimeType: "text/plain", text: "t" } },
        { type: "resource", resource: { uri: "test://b", blob: bytes } }
      ]
    })
  ),
  mirrored: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "text", text: "\"s\"" }], structuredContent: "s" })
  ),
  structured: Effect.succeed(
    new McpSchema.CallToolResult({ content: [{ type: "text", text: "see there" }], structuredContent: { a: [1] } })
  ),
  structured_odd: Effect.succeed(
    new McpSchema.CallToolResult({ content: [], structuredContent: { at: new Date(0) } })
  ),
  input: Effect.succeed(new McpSchema.InputRequired({ requestState: "s" })),
  invalid: Effect.fail(new McpSchema.InvalidParams({ message: "Not like this" })),
  internal: Effect.fail(new McpSchema.InternalError({ message: "Not today" }))
}

export const outcomeNames: ReadonlyArray<string> = Object.keys(outcomes)

const Content = Layer.effectDiscard(Effect.gen(function*() {
  const server = yield* McpServer.McpServer
  yield* server.addTool({
    tool: new McpSchema.Tool({
      name: "content",
      title: "Content",
      description: "Any outcome",
      inputSchema: { type: "object", properties: { what: { type: "string" }, free: true } },
      icons: [{ src: "https://example.org/icon.png" }],
      _meta: { "example.org/kind": "low-level" }
    }),
    annotations: Context.empty(),
    handle: ({ what }: { readonly what: string }) => outcomes[what] ?? Effect.die(new Error(`no outcome ${what}`))
  })
}))

// -----------------------------------------------------------------------------
// resources and prompts
// -----------------------------------------------------------------------------

const param = Schema.NumberFromString

const Resources = Layer.mergeAll(
  McpServer.resource({
    uri: "test://text",
    name: "text",
    description: "A text",
    mimeType: "text/plain",
    content: Effect.succeed("content")
  }),
  McpServer.resource({ uri: "test://binary", name: "binary", mimeType: "image/png", content: Effect.succeed(bytes) }),
  McpServer.resource({ uri: "test://fails", name: "fails", content: Effect.fail(new Unlucky({ message: "secret" })) }),
  McpServer.resource({ uri: "test://dies", name: "dies", content: Effect.die(new Error("secret")) }),
  McpServer.resource({ uri: "refused", name: "refused", content: Effect.succeed("never") }),
  McpServer.resource({ uri: "admin", name: "admin", content: Effect.succeed("hidden") }).pipe(
    Layer.provide(adminsOnly.layer)
  ),
  McpServer.resource`test://item/${McpSchema.param("id", param)}`({
    name: "item",
    description: "An item",
    completion: { id: (input: string) => Effect.succeed([1, 2, 3].filter((n) => String(n).startsWith(input))) },
    content: (uri, id) => Effect.succeed(`${uri}: ${id}`)
  })
)

const Prompts = Layer.mergeAll(
  McpServer.prompt({ name: "simple", description: "A prompt", content: () => Effect.succeed("Say hello") }),
  McpServer.prompt({
    name: "args",
    title: "With arguments",
    description: "A prompt with arguments",
    parameters: { city: Schema.String, days: Schema.optionalKey(Schema.NumberFromString) },
    completion: {
      city: (input: string) => Effect.succeed(["Paris", "Prague"].filter((city) => city.startsWith(input)))
    },
    content: ({ city, days }) =>
      Effect.succeed<Array<McpSchema.PromptMessage>>([
        { role: "user", content: { type: "text", text: `${days ?? 1} days in ${city}` } },
        { role: "assistant", content: { type: "image", data: bytes, mimeType: "image/png" } },
        { role: "user", content: { type: "resource", resource: { uri: "test://text", text: "content" } } }
      ])
  }),
  McpServer.prompt({ name: "fails", content: () => Effect.fail(new Unlucky({ message: "secret" })) }),
  McpServer.prompt({ name: "refused", content: () => Effect.succeed("never") })
)

/** Everything, into the `McpServer` service of the caller. */
export const registrations = (register: Register): Layer.Layer<never, never, McpServer.McpServer> =>
  Layer.mergeAll(
    register(Results).pipe(Layer.provide(ResultsLive)),
    register(Failures).pipe(Layer.provide(FailuresLive)),
    register(Contextual).pipe(Layer.provide(adminsOnly.combine(withUser).layer), Layer.provide(ContextualLive)),
    register(Gated).pipe(Layer.provide(GatedLive)),
    register(Modern).pipe(Layer.provide(ModernLive)),
    Content,
    Resources,
    Prompts,
    gate
  ) as Layer.Layer<never, never, McpServer.McpServer>

// -----------------------------------------------------------------------------
// requests
// -----------------------------------------------------------------------------

export interface TestRequest {
  readonly label: string
  readonly method: string
  readonly params: Readonly<Record<string, Schema.Json>>
  readonly headers?: Readonly<Record<string, string>>
}

const call = (
  name: string,
  args?: Readonly<Record<string, Schema.Json>>,
  more?: Partial<TestRequest>
): TestRequest => ({
  label: `tools/call ${name} ${JSON.stringify(args ?? null)}`,
  method: "tools/call",
  params: { name, ...(args === undefined ? {} : { arguments: args }) },
  ...more
})

const request = (method: string, params: Readonly<Record<string, Schema.Json>> = {}): TestRequest => ({
  label: `${method} ${JSON.stringify(params)}`,
  method,
  params
})

const root = { "x-user": "root" }

export const requests: ReadonlyArray<TestRequest> = [
  request("tools/list"),
  { ...request("tools/list"), label: "tools/list as root", headers: root },
  request("resources/list"),
  request("resources/templates/list"),
  request("prompts/list"),
  call("echo", { text: "hi" }),
  call("echo", { text: "" }),
  call("echo", { text: "\"quoted\" \u2028 \ud83d\ude00" }),
  call("echo", { text: "hi", more: 1 }),
  call("echo", { text: 1 }),
  call("echo", {}),
  call("echo"),
  call("quote"),
  call("sum", { a: 1, b: 2 }),
  call("sum", { a: 1 }),
  call("sum", { a: "1", b: [] }),
  call("nothing"),
  call("nothing", { unexpected: true }),
  ...["numbers", "number", "yes", "null", "nested", "optional", "when", "preliminary", "preliminary_bad"].map((name) =>
    call(name)
  ),
  call("encoded", { n: "41" }),
  call("encoded", { n: 41 }),
  ...[...Object.keys(odd), "undefined"].map((what) => call("anything", { what })),
  call("strict", { a: 1 }),
  call("strict", { a: 1, b: 2 }),
  call("dynamic", { any: "x", other: [1] }),
  call("dynamic"),
  ...[
    "declared",
    "declared_empty",
    "declared_encoded",
    "undeclared",
    "undeclared_mcp",
    "undeclared_string",
    "schema_error",
    "defect",
    "throws",
    "interrupt",
    "fail_and_die",
    "well"
  ].flatMap((how) => [call("fails", { how }), call("fails_returned", { how })]),
  call("fails_returned", { how: 1 }),
  call("bad_result"),
  call("bad_result_returned"),
  call("who"),
  call("who", {}, { headers: root }),
  {
    ...request("tools/call", { name: "who", _meta: { progressToken: "p", "example.org/x": [1] } }),
    label: "tools/call who with _meta"
  },
  call("greet"),
  call("admin"),
  call("admin", {}, { headers: root, label: "tools/call admin as root" }),
  call("refused"),
  call("gate_dies"),
  call("modern"),
  call("unknown"),
  ...outcomeNames.map((what) => call("content", { what })),
  call("content", { what: "no such" }),
  request("tools/call", {}),
  request("tools/call", { name: 1 }),
  request("tools/call", { name: "echo", arguments: "x" }),
  ...[
    "test://text",
    "test://binary",
    "test://fails",
    "test://dies",
    "refused",
    "admin",
    "test://item/7",
    "test://item/x"
  ]
    .map((uri) => request("resources/read", { uri })),
  { ...request("resources/read", { uri: "admin" }), label: "resources/read admin as root", headers: root },
  request("resources/read", {}),
  request("prompts/get", { name: "simple" }),
  request("prompts/get", { name: "args", arguments: { city: "Rome" } }),
  request("prompts/get", { name: "args", arguments: { city: "Rome", days: "3" } }),
  request("prompts/get", { name: "args", arguments: { city: "Rome", days: "many" } }),
  request("prompts/get", { name: "args" }),
  request("prompts/get", { name: "args", arguments: { city: 1 } }),
  request("prompts/get", { name: "fails" }),
  request("prompts/get", { name: "refused" }),
  request("prompts/get", { name: "unknown" }),
  request("completion/complete", {
    ref: { type: "ref/prompt", name: "args" },
    argument: { name: "city", value: "Pr" }
  }),
  request("completion/complete", { ref: { type: "ref/prompt", name: "args" }, argument: { name: "days", value: "1" } }),
  request("completion/complete", { ref: { type: "ref/prompt", name: "nope" }, argument: { name: "a", value: "" } }),
  request("completion/complete", {
    ref: { type: "ref/resource", uri: "test://item/{id}" },
    argument: { name: "id", value: "" }
  }),
  request("completion/complete", { ref: { type: "ref/other", name: "x" }, argument: { name: "a", value: "" } }),
  request("no/such/method"),
  request("ping")
]
