/**
 * A tool that does what its caller says, by Effect's own means: for comparing
 * what becomes of it on the wire.
 */
import { Cause, Context, Effect, Layer, Schema } from "effect"
import { McpSchema, McpServer, Tool, Toolkit } from "effect/ai"
import type { Registrations } from "./endpoints.ts"

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(schema)

const Single = Schema.Union([
  Schema.TaggedStruct("Progress", {
    token: Schema.Union([Schema.String, Schema.Int]),
    progress: Schema.Finite,
    total: optional(Schema.Finite),
    message: optional(Schema.String)
  }),
  Schema.TaggedStruct("Log", {
    level: McpSchema.LoggingLevel,
    data: Schema.Json,
    logger: optional(Schema.String)
  }),
  /** `McpServer.elicit` for a form of the program's. */
  Schema.TaggedStruct("Elicit", { form: Schema.Literals(["consent", "optional"]) }),
  /** The same, and what it fails with is the tool's own failure. */
  Schema.TaggedStruct("Demand", {}),
  Schema.TaggedStruct("Die", {}),
  /** A form as it is, without a schema of the program's. */
  Schema.TaggedStruct("Form", { requestedSchema: Schema.Json }),
  Schema.TaggedStruct("Page", { url: Schema.String, elicitationId: Schema.String }),
  Schema.TaggedStruct("Sample", { params: Schema.Json }),
  Schema.TaggedStruct("Roots", {}),
  /** Adds a tool. */
  Schema.TaggedStruct("Grow", { name: Schema.String })
])

const Action = Schema.Union([
  Single,
  /** All at the same time. */
  Schema.TaggedStruct("Together", { actions: Schema.Array(Single) })
])

export type Action = typeof Action.Type
export type Single = typeof Single.Type

const forms = {
  consent: Schema.Struct({ ok: Schema.Boolean }),
  optional: Schema.Struct({ note: Schema.optionalKey(Schema.String) })
}

const Scripts = Toolkit.make(
  Tool.make("act", {
    description: "Does as it is told, and tells what came of it",
    parameters: Schema.Struct({ actions: Schema.Array(Action) }),
    success: Schema.Array(Schema.Unknown),
    failure: McpSchema.ElicitationDeclined,
    dependencies: [McpSchema.McpServerClient]
  })
)

const ScriptsLive = Scripts.toLayer(Effect.gen(function*() {
  const server = yield* McpServer.McpServer

  const perform = Effect.fnUntraced(function*(action: Single) {
    const client = yield* Effect.flatMap(McpSchema.McpServerClient, ({ getClient }) => getClient)
    switch (action._tag) {
      case "Progress": {
        const { message, progress, token, total } = action
        yield* server.notifications["notifications/progress"]({ progressToken: token, progress, total, message })
        return "told"
      }
      case "Log": {
        const { data, level, logger } = action
        yield* server.notifications["notifications/message"]({ level, logger, data })
        return "told"
      }
      case "Elicit":
        return yield* Effect.matchCause(
          McpServer.elicit<Schema.Codec<unknown, Record<string, unknown>>>({
            message: `About ${action.form}`,
            schema: forms[action.form] as Schema.Codec<any, any>
          }),
          { onFailure: describe, onSuccess: (value) => ({ accepted: value }) }
        )
      case "Demand":
        return yield* McpServer.elicit({ message: "Well?", schema: forms.consent })
      case "Die":
        return yield* Effect.die(new Error("secret"))
      case "Form":
        return yield* outcome(
          Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.Elicit.payloadSchema))({
            mode: "form",
            message: "A form",
            requestedSchema: action.requestedSchema
          }).pipe(Effect.orDie, Effect.flatMap(client.elicit))
        )
      case "Page":
        return yield* outcome(
          client.elicit(
            new McpSchema.ElicitRequestURLParams({
              mode: "url",
              message: "A page",
              url: action.url,
              elicitationId: action.elicitationId
            })
          )
        )
      case "Sample":
        return yield* outcome(
          Schema.decodeUnknownEffect(Schema.toCodecJson(McpSchema.CreateMessage.payloadSchema))(action.params).pipe(
            Effect.orDie,
            Effect.flatMap(client.createMessage)
          )
        )
      case "Roots":
        return yield* outcome(client.listRoots())
      case "Grow":
        yield* server.addTool({
          tool: new McpSchema.Tool({ name: action.name, inputSchema: { type: "object" } }),
          annotations: Context.empty(),
          handle: () => Effect.succeed(new McpSchema.CallToolResult({ content: [] }))
        })
        return "grown"
    }
  }, Effect.scoped)

  return Scripts.of({
    act: ({ actions }) =>
      Effect.forEach(actions, (action) =>
        action._tag === "Together"
          ? Effect.forEach(action.actions, perform, { concurrency: "unbounded" })
          : perform(action))
  })
}))

export const registrations: Registrations = (register) =>
  register(Scripts).pipe(Layer.provide(ScriptsLive)) as Layer.Layer<never, never, McpServer.McpServer>

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const outcome = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
  Effect.matchCause(effect, { onFailure: describe, onSuccess: (result) => ({ result }) })

/** What a handler can tell of a failure. Texts are the server's own; codes and messages of a client's are not. */
const describe = (cause: Cause.Cause<unknown>): unknown =>
  Cause.hasInterruptsOnly(cause) ? "interrupted" : { failed: shapeOf(Cause.squash(cause)) }

const shapeOf = (u: unknown): unknown => {
  if (typeof u !== "object" || u === null) return u
  const { _tag, cause, code, data, message, operation } = u as Record<string, unknown>
  return {
    _tag,
    operation,
    ...(typeof code === "number" ? { code, message, data } : {}),
    ...(cause === undefined ? {} : { cause: shapeOf(cause) })
  }
}
