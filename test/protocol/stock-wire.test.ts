import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { McpServer } from "effect/ai"
import type { Request } from "../../src/engine/Dispatch.ts"
import { type Question, Wire } from "../../src/engine/Wire.ts"
import * as Stock from "../../src/protocol/stock.ts"
import * as StockWire from "../../src/protocol/StockWire.ts"

const Live = StockWire.layer.pipe(
  Layer.provideMerge(Stock.layer({ name: "test", version: "0" })),
  Layer.provide(McpServer.McpServer.layer)
)

const versions = ["2025-03-26", "2025-06-18", "2025-11-25"] as const

const capabilities = {
  elicitation: { form: {}, url: {} },
  sampling: { tools: {}, context: {} },
  roots: { listChanged: true }
}

const requestOf = (
  version: string,
  clientCapabilities: Readonly<Record<string, Schema.Json>> = capabilities
): Request => ({
  version,
  method: "tools/call",
  params: { name: "t" },
  requestId: 1,
  profile: { principal: "anonymous", clientCapabilities, clientInfo: { name: "c", version: "0" }, headers: {} }
})

const asked = (request: Request, question: Question) =>
  Effect.gen(function*() {
    const wire = yield* Wire
    const text = yield* wire.question(request, "w1", question)
    return text === undefined ? undefined : JSON.parse(text)
  })

const form: Question = {
  _tag: "Elicit",
  message: "Who?",
  requestedSchema: {
    type: "object",
    properties: { name: { type: "string", minLength: 1 }, ok: { type: "boolean", default: true } },
    required: ["name"]
  }
}

const page: Question = { _tag: "ElicitUrl", message: "Log in", url: "https://example.org/login", elicitationId: "e1" }

const sample: Question = {
  _tag: "Sample",
  params: { messages: [{ role: "user", content: { type: "text", text: "Hi" } }], maxTokens: 10 }
}

const roots: Question = { _tag: "Roots" }

layer(Live)("StockWire", (it) => {
  describe("notifications", () => {
    const Meta = Schema.optional(Schema.Record(Schema.String, Schema.Json))

    const Progress = Schema.Struct({
      meta: Meta,
      progress: Schema.Finite,
      total: Schema.optional(Schema.Finite),
      message: Schema.optional(Schema.String),
      token: Schema.Union([Schema.String, Schema.Int])
    })

    it.effect.prop(
      "progress has the text of the adapter, in all versions",
      { value: Progress },
      ({ value }) =>
        Effect.gen(function*() {
          const wire = yield* Wire
          const stock = yield* Stock.Stock
          for (const version of versions) {
            const text = yield* wire.notification(version, { _tag: "Progress", ...value })
            const theirs = yield* stock.at(version).notification({
              _tag: "Progress",
              ...value,
              progressToken: value.token,
              metadata: value.meta
            })
            assert.deepStrictEqual(JSON.parse(text!), JSON.parse(theirs!))
          }
        })
    )

    const Log = Schema.Struct({
      meta: Meta,
      level: Schema.Literals(["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]),
      logger: Schema.optional(Schema.String),
      data: Schema.Json
    })

    it.effect.prop(
      "log messages have the text of the adapter, in all versions",
      { value: Log },
      ({ value }) =>
        Effect.gen(function*() {
          const wire = yield* Wire
          const stock = yield* Stock.Stock
          for (const version of versions) {
            const text = yield* wire.notification(version, { _tag: "Log", ...value })
            const theirs = yield* stock.at(version).notification({
              _tag: "LoggingMessage",
              ...value,
              metadata: value.meta
            })
            assert.deepStrictEqual(JSON.parse(text!), JSON.parse(theirs!))
          }
        })
    )

    it.effect("what is not JSON is not sent", () =>
      Effect.gen(function*() {
        const wire = yield* Wire
        assert.isUndefined(yield* wire.notification("2025-11-25", { _tag: "Progress", token: 1, progress: Infinity }))
        for (const data of [undefined, () => 1, { a: 1n }] as ReadonlyArray<unknown>) {
          assert.isUndefined(
            yield* wire.notification("2025-11-25", { _tag: "Log", level: "info", data: data as Schema.Json })
          )
        }
      }))

    it.effect("cancels a question of ours (S-C4)", () =>
      Effect.gen(function*() {
        const wire = yield* Wire
        for (const version of versions) {
          assert.deepStrictEqual(
            JSON.parse((yield* wire.notification(version, { _tag: "Cancelled", requestId: "w1", reason: "late" }))!),
            { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "w1", reason: "late" } }
          )
        }
      }))

    it.effect("says that a page is done only from 2025-11-25 on (S-E8)", () =>
      Effect.gen(function*() {
        const wire = yield* Wire
        const done = { _tag: "ElicitationComplete", elicitationId: "e1" } as const
        assert.isUndefined(yield* wire.notification("2025-03-26", done))
        assert.isUndefined(yield* wire.notification("2025-06-18", done))
        assert.deepStrictEqual(JSON.parse((yield* wire.notification("2025-11-25", done))!), {
          jsonrpc: "2.0",
          method: "notifications/elicitation/complete",
          params: { elicitationId: "e1" }
        })
      }))
  })

  describe("questions", () => {
    it.effect("a form has a mode in 2025-11-25, none in 2025-06-18, and does not exist before (1.5)", () =>
      Effect.gen(function*() {
        const { message, requestedSchema } = form
        const envelope = { jsonrpc: "2.0", id: "w1", method: "elicitation/create" }
        assert.deepStrictEqual(yield* asked(requestOf("2025-11-25"), form), {
          ...envelope,
          params: { mode: "form", message, requestedSchema }
        })
        assert.deepStrictEqual(yield* asked(requestOf("2025-06-18"), form), {
          ...envelope,
          params: { message, requestedSchema }
        })
        assert.isUndefined(yield* asked(requestOf("2025-03-26"), form))
      }))

    it.effect("a page can be shown from 2025-11-25 on (S-E7)", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* asked(requestOf("2025-11-25"), page), {
          jsonrpc: "2.0",
          id: "w1",
          method: "elicitation/create",
          params: { mode: "url", message: "Log in", url: "https://example.org/login", elicitationId: "e1" }
        })
        assert.isUndefined(yield* asked(requestOf("2025-06-18"), page))
        assert.isUndefined(yield* asked(requestOf("2025-03-26"), page))
      }))

    it.effect("only what the client declared is asked (S-E1, S-A1, S-O1)", () =>
      Effect.gen(function*() {
        const only = (declared: Readonly<Record<string, Schema.Json>>) => requestOf("2025-11-25", declared)
        for (const question of [form, page, sample, roots]) {
          assert.isUndefined(yield* asked(only({}), question))
          assert.isUndefined(yield* asked({ ...requestOf("2025-11-25"), canAsk: false }, question))
        }
        assert.isDefined(yield* asked(only({ elicitation: {} }), form))
        assert.isUndefined(yield* asked(only({ elicitation: {} }), page))
        assert.isUndefined(yield* asked(only({ elicitation: { url: {} } }), form))
        assert.isDefined(yield* asked(only({ elicitation: { url: {} } }), page))
        assert.isDefined(yield* asked(only({ roots: {} }), roots))
        const params = { ...(sample as { readonly params: object }).params, includeContext: "allServers" }
        assert.isDefined(yield* asked(only({ sampling: {} }), sample))
        assert.isUndefined(yield* asked(only({ sampling: {} }), { _tag: "Sample", params }))
        assert.isDefined(yield* asked(only({ sampling: { context: {} } }), { _tag: "Sample", params }))
      }))

    it.effect("choices have titles in 2025-11-25, enumNames in 2025-06-18 (1.5, S-E3)", () =>
      Effect.gen(function*() {
        const question: Question = {
          _tag: "Elicit",
          message: "Which?",
          requestedSchema: {
            type: "object",
            properties: {
              plain: { type: "string", enum: ["a", "b"], default: "a" },
              titled: { type: "string", oneOf: [{ const: "a", title: "A" }, { const: "b", title: "B" }], default: "b" },
              legacy: { type: "string", enum: ["a"], enumNames: ["A"] },
              count: { type: "integer", minimum: 1, default: 2 },
              text: { type: "string", format: "email", default: "a@b.c" },
              ok: { type: "boolean", default: false }
            }
          }
        }
        assert.deepStrictEqual(
          (yield* asked(requestOf("2025-11-25"), question)).params.requestedSchema,
          question.requestedSchema
        )
        assert.deepStrictEqual((yield* asked(requestOf("2025-06-18"), question)).params.requestedSchema, {
          type: "object",
          properties: {
            plain: { type: "string", enum: ["a", "b"] },
            titled: { type: "string", enum: ["a", "b"], enumNames: ["A", "B"] },
            legacy: { type: "string", enum: ["a"], enumNames: ["A"] },
            count: { type: "integer", minimum: 1 },
            text: { type: "string", format: "email" },
            ok: { type: "boolean", default: false }
          }
        })
      }))

    it.effect("several choices have no form in 2025-06-18 (1.5)", () =>
      Effect.gen(function*() {
        const question: Question = {
          _tag: "Elicit",
          message: "Which?",
          requestedSchema: {
            type: "object",
            properties: { all: { type: "array", items: { type: "string", enum: ["a", "b"] }, default: ["a"] } }
          }
        }
        assert.deepStrictEqual(
          (yield* asked(requestOf("2025-11-25"), question)).params.requestedSchema,
          question.requestedSchema
        )
        assert.isUndefined(yield* asked(requestOf("2025-06-18"), question))
      }))

    it.effect("a form that MCP has no words for cannot be asked (S-E2)", () =>
      Effect.gen(function*() {
        const question: Question = {
          _tag: "Elicit",
          message: "Where?",
          requestedSchema: { type: "object", properties: { address: { type: "object", properties: {} } } }
        }
        for (const version of versions) {
          assert.isUndefined(yield* asked(requestOf(version), question))
        }
      }))

    it.effect("sampling and roots exist in all versions", () =>
      Effect.gen(function*() {
        for (const version of versions) {
          assert.deepStrictEqual(yield* asked(requestOf(version), sample), {
            jsonrpc: "2.0",
            id: "w1",
            method: "sampling/createMessage",
            params: { messages: [{ role: "user", content: { type: "text", text: "Hi" } }], maxTokens: 10 }
          })
          assert.deepStrictEqual(yield* asked(requestOf(version), roots), {
            jsonrpc: "2.0",
            id: "w1",
            method: "roots/list"
          })
        }
      }))

    it.effect("tools in a sampling request need 2025-11-25 and sampling.tools (S-A1)", () =>
      Effect.gen(function*() {
        const question: Question = {
          _tag: "Sample",
          params: {
            messages: [{ role: "user", content: { type: "text", text: "Hi" } }],
            maxTokens: 10,
            tools: [{ name: "t", inputSchema: { type: "object" } }]
          }
        }
        assert.isDefined(yield* asked(requestOf("2025-11-25"), question))
        assert.isUndefined(yield* asked(requestOf("2025-11-25", { sampling: {} }), question))
        assert.isUndefined(yield* asked(requestOf("2025-06-18"), question))
      }))
  })

  describe("tools in a sampling request", () => {
    const use = (id: string) => ({ type: "tool_use", id, name: "t", input: {} })
    const result = (toolUseId: string) => ({ type: "tool_result", toolUseId, content: [] })
    const text = { type: "text", text: "Hi" }
    const sampled = (...messages: ReadonlyArray<Schema.Json>) =>
      asked(requestOf("2025-11-25"), {
        _tag: "Sample",
        params: { messages, maxTokens: 10, tools: [{ name: "t", inputSchema: { type: "object" } }] }
      })
    const user = (content: Schema.Json) => ({ role: "user", content })
    const model = (content: Schema.Json) => ({ role: "assistant", content })

    it.effect("go out where each use has its result in the next message (S-A2)", () =>
      Effect.gen(function*() {
        const loops = [
          [user(text), model(use("a")), user(result("a"))],
          [user(text), model([text, use("a"), use("b")]), user([result("b"), result("a")]), model(text), user(text)],
          [user(text), model([use("a")]), user([result("a")]), model(use("b")), user(result("b"))]
        ]
        for (const loop of loops) {
          assert.strictEqual((yield* sampled(...loop)).params.messages.length, loop.length)
        }
      }))

    it.effect("are a defect of the handler otherwise (S-A2)", () =>
      Effect.gen(function*() {
        const flaws = [
          [[user(text), model(use("a"))], "The tool_use a"],
          [[user(text), model(use("a")), user(text)], "The tool_use a"],
          [[user(text), model([use("a"), use("b")]), user(result("a"))], "The tool_use b"],
          [[user(text), model(use("a")), user(text), user(result("a"))], "The tool_use a"],
          [[user(text), model(use("a")), user([result("a"), text])], "nothing but tool_results"]
        ] as const
        for (const [messages, message] of flaws) {
          const exit = yield* Effect.exit(sampled(...messages))
          assert.include(String(exit), message)
        }
      }))
  })

  describe("answers", () => {
    const read = (version: string, question: Question, answer: Schema.Json) =>
      Effect.flatMap(Wire, (wire) => wire.reply(requestOf(version), question, { result: answer }))

    it.effect("accept, decline and cancel of a form (S-E4)", () =>
      Effect.gen(function*() {
        for (const version of ["2025-06-18", "2025-11-25"]) {
          for (
            const result of [
              { action: "accept", content: { name: "Ann", ok: true } },
              { action: "decline" },
              { action: "cancel" }
            ]
          ) {
            assert.deepStrictEqual(yield* read(version, form, result), { _tag: "Result", result })
          }
        }
        assert.deepStrictEqual(yield* read("2025-11-25", form, { action: "accept", content: { all: ["a", "b"] } }), {
          _tag: "Result",
          result: { action: "accept", content: { all: ["a", "b"] } }
        })
      }))

    it.effect("a sampled message, with an image (S-A3)", () =>
      Effect.gen(function*() {
        for (const version of versions) {
          for (
            const content of [
              { type: "text", text: "Hello" },
              { type: "image", data: "AQID", mimeType: "image/png" }
            ]
          ) {
            const result = { role: "assistant", content, model: "m", stopReason: "endTurn" }
            assert.deepStrictEqual(yield* read(version, sample, result), { _tag: "Result", result })
          }
        }
      }))

    it.effect("roots (S-O1)", () =>
      Effect.gen(function*() {
        const result = { roots: [{ uri: "file:///a", name: "A" }, { uri: "file:///b" }] }
        for (const version of versions) {
          assert.deepStrictEqual(yield* read(version, roots, result), { _tag: "Result", result })
        }
      }))

    it.effect("an error of the client (S-A3)", () =>
      Effect.gen(function*() {
        const wire = yield* Wire
        const error = { code: -1, message: "User rejected sampling request" }
        assert.deepStrictEqual(yield* wire.reply(requestOf("2025-11-25"), sample, { error }), { _tag: "Error", error })
      }))

    it.effect("what is no answer to the question", () =>
      Effect.gen(function*() {
        const malformed = { _tag: "Malformed" } as const
        for (const version of versions) {
          assert.deepStrictEqual(yield* read(version, sample, { role: "assistant" }), malformed)
          assert.deepStrictEqual(yield* read(version, roots, { roots: "none" }), malformed)
          assert.deepStrictEqual(yield* read(version, roots, null), malformed)
        }
        assert.deepStrictEqual(yield* read("2025-11-25", form, { action: "maybe" }), malformed)
        assert.deepStrictEqual(yield* read("2025-11-25", form, []), malformed)
      }))

    it.effect("a call of tools that were not offered (S-A1)", () =>
      Effect.gen(function*() {
        const wire = yield* Wire
        const result = {
          role: "assistant",
          content: { type: "tool_use", id: "1", name: "t", input: {} },
          model: "m",
          stopReason: "toolUse"
        }
        assert.deepStrictEqual(
          yield* wire.reply(requestOf("2025-11-25", { sampling: {} }), sample, { result }),
          { _tag: "Malformed" }
        )
      }))
  })
})
