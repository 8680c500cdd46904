/**
 * Stock handlers in durable calls: what they ask and say through Effect's own
 * services is on disk, and survives the end of the process.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Option, Schema, Scope } from "effect"
import { McpSchema, McpServer, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as Durable from "../../src/Durable.ts"
import { type Call, Calls } from "../../src/engine/Calls.ts"
import * as Driver from "../../src/engine/Driver.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Stock from "../../src/protocol/stock.ts"
import * as StockDispatch from "../../src/protocol/StockDispatch.ts"
import * as StockWire from "../../src/protocol/StockWire.ts"
import { toolkit } from "../../src/protocol/toolkit.ts"
import * as Facts from "../../src/session/Facts.ts"
import * as Ids from "../../src/session/Ids.ts"
import type * as JsonRpc from "../../src/session/JsonRpc.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import type { Register } from "./fixture.ts"

class NoSeats extends Schema.TaggedError<NoSeats>("NoSeats")("NoSeats", { message: Schema.String }) {}

const reason = (cause: Cause.Cause<unknown>): string => {
  const failure = Cause.squash(cause)
  return failure instanceof Error ? String(failure) : JSON.stringify(failure)
}

class User extends Context.Service<User, { readonly name: string }>()("test/User") {}

const withUser = McpServer.middleware<{ provides: User }>()((effect, { headers, sessionId }) =>
  Effect.provideService(effect, User, { name: `${headers["x-user"]} of ${sessionId}` })
)

/** The outside world. */
class World extends Context.Service<World, { readonly happened: Array<string> }>()("test/World") {}

const Asking = Toolkit.make(
  Tool.make("party", {
    success: Schema.Unknown,
    failure: McpSchema.ElicitationDeclined,
    dependencies: [McpSchema.McpServerClient, McpServer.McpServer]
  }),
  Tool.make("host", { success: Schema.String, dependencies: [McpSchema.McpServerClient, User] }),
  Tool.make("unlucky", { failure: NoSeats }),
  Tool.make("poet", { success: Schema.Unknown, dependencies: [McpSchema.McpServerClient, Scope.Scope] })
)

const AskingLive = Asking.toLayer(Effect.map(World, ({ happened }) => ({
  host: Effect.fnUntraced(function*() {
    yield* McpServer.elicit({ message: "Ready?", schema: Schema.Struct({ ok: Schema.Boolean }) }).pipe(Effect.orDie)
    return (yield* User).name
  }),
  unlucky: Effect.fnUntraced(function*() {
    yield* Durable.step("reserve", Effect.sync(() => happened.push("reserved")), {
      compensate: (_, cause) => Effect.sync(() => happened.push(`released: ${reason(cause)}`))
    })
    return yield* new NoSeats({ message: "Sold out" })
  }),
  party: Effect.fnUntraced(function*() {
    const server = yield* McpServer.McpServer
    yield* server.notifications["notifications/progress"]({ progressToken: "p", progress: 1, message: "asking" })
    yield* server.notifications["notifications/message"]({ level: "info", data: { about: "the party" } })
    return yield* McpServer.elicit({ message: "With guests?", schema: Schema.Struct({ guests: Schema.Boolean }) })
  }),
  poet: Effect.fnUntraced(function*() {
    const client = yield* Effect.flatMap(McpSchema.McpServerClient, (_) => _.getClient)
    const { roots } = yield* client.listRoots()
    const { content } = yield* client.createMessage({
      messages: [{ role: "user", content: { type: "text", text: "A poem" } }],
      maxTokens: 5
    })
    return { roots: roots.length, content }
  }, Effect.orDie)
})))

/** One process on a disk that outlives it. */
const app = (register: Register, disk: MemoryStore.Disk, happened: Array<string> = []) =>
  Driver.layer.pipe(
    Layer.provideMerge(Engine.layer),
    Layer.provideMerge([StockDispatch.layer, StockWire.layer]),
    Layer.provide(Stock.layer({ name: "test", version: "0" })),
    Layer.provide(
      register(Asking).pipe(
        Layer.provide(withUser.layer),
        Layer.provide(AskingLive),
        Layer.provide(Layer.succeed(World, { happened }))
      ) as Layer.Layer<never, never, McpServer.McpServer>
    ),
    Layer.provide(McpServer.McpServer.layer),
    Layer.provideMerge(Ids.layer),
    Layer.provideMerge(MemoryStore.layerWith({ disk })),
    Layer.fresh
  )

/** Ids have 22 characters. */
const idOf = (name: string) => name.padEnd(22, "-")

const callOf = (name: string, id = idOf(name)): Call => ({
  id,
  digest: name,
  request: {
    version: "2025-11-25",
    method: "tools/call",
    params: { name, _meta: { progressToken: "p" } },
    requestId: 7,
    profile: {
      principal: "anonymous",
      clientCapabilities: { elicitation: {}, sampling: {}, roots: {} },
      clientInfo: { name: "c", version: "0" },
      headers: {}
    }
  }
})

/** The messages of a call's stream as soon as there are `count`, or no more to come. */
const messages = Effect.fnUntraced(function*(stream: string, count: number) {
  const store = yield* Store
  const watch = yield* Effect.acquireRelease(
    Effect.sync(() => store.watch({ _tag: "Stream", stream })),
    (watch) => Effect.sync(() => watch.close())
  )
  while (true) {
    const { closed, events } = yield* store.events(stream, 0, 100)
    if (closed || events.length >= count) {
      return events.flatMap(({ data }) => data === undefined ? [] : [JSON.parse(data)])
    }
    yield* watch.next
  }
}, Effect.scoped)

/** Lets time pass until the execution is out of memory. */
const untilParked = Effect.fnUntraced(function*(id: string) {
  const store = yield* Store
  while (true) {
    const { parked } = Option.getOrThrow(yield* store.execution(id))
    if (parked !== undefined) {
      return parked
    }
    yield* TestClock.adjust("1 second")
  }
})

const answer = (wireId: string, answer: JsonRpc.Answer, session?: string) =>
  Effect.flatMap(Calls, (calls) => calls.answer({ wireId, session, principal: "anonymous", answer }))

describe.each(
  [["McpServer.toolkit", McpServer.toolkit], ["DurableMcp.toolkit", toolkit]] as const
)("%s: stock handlers in durable calls", (_, register) => {
  it.effect("a question of McpServer.elicit is asked once, and answered to the next process", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const first = yield* Scope.make()
      const before = yield* Effect.gen(function*() {
        yield* (yield* Calls).start(callOf("party"))
        return yield* messages(idOf("party"), 3)
      }).pipe(Effect.provide(yield* Layer.buildWithScope(app(register, disk), first)))
      yield* Scope.close(first, Exit.void)
      assert.deepStrictEqual(before.map(({ method }) => method), [
        "notifications/progress",
        "notifications/message",
        "elicitation/create"
      ])
      assert.deepStrictEqual(before[0].params, { progressToken: "p", progress: 1, message: "asking" })
      assert.deepStrictEqual(before[2].params, {
        mode: "form",
        message: "With guests?",
        requestedSchema: { type: "object", properties: { guests: { type: "boolean" } }, required: ["guests"] }
      })

      const after = yield* Effect.gen(function*() {
        const result = { action: "accept", content: { guests: true } }
        assert.strictEqual(yield* answer(before[2].id, { result }), "Accepted")
        return yield* messages(idOf("party"), 4)
      }).pipe(Effect.provide(app(register, disk)))
      assert.deepStrictEqual(after.slice(0, 3), before)
      assert.deepStrictEqual(after.slice(3), [{
        jsonrpc: "2.0",
        id: 7,
        result: {
          content: [{ type: "text", text: JSON.stringify({ guests: true }) }],
          structuredContent: { guests: true },
          isError: false
        }
      }])
    }).pipe(Effect.scoped))

  it.effect("a handler that waits is parked, and does not hang in the toolkit's queue (effect-seams 2.4, trap 1)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      yield* Effect.gen(function*() {
        const store = yield* Store
        yield* (yield* Calls).start(callOf("party"))
        const [, , question] = yield* messages(idOf("party"), 3)
        const parked = yield* untilParked(idOf("party"))
        assert.strictEqual(parked.state, "waiting")
        yield* answer(question.id, { result: { action: "accept", content: { guests: false } } })
        const last = (yield* messages(idOf("party"), 4)).at(-1)
        assert.deepStrictEqual(last.result.structuredContent, { guests: false })
        assert.isDefined(Option.getOrThrow(yield* store.execution(idOf("party"))).result)
      }).pipe(Effect.provide(app(register, disk)))
    }).pipe(Effect.scoped))

  it.effect("a declined question is the handler's failure, a cancelled one ends it (S-E4)", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      yield* Effect.gen(function*() {
        const calls = yield* Calls
        for (const action of ["decline", "cancel"]) {
          const call = callOf("party", idOf(action))
          yield* calls.start(call)
          const [, , question] = yield* messages(call.id, 3)
          yield* answer(question.id, { result: { action } })
          const last = (yield* messages(call.id, 4)).at(-1)
          if (action === "decline") {
            assert.strictEqual(last.result.isError, true)
          } else {
            assert.strictEqual(last.error.code, -32603)
          }
        }
      }).pipe(Effect.provide(app(register, disk)))
    }).pipe(Effect.scoped))

  it.effect("middleware sees the headers that came with the call, also in the next process", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const first = yield* Scope.make()
      const call = callOf("host")
      const profile = { ...call.request.profile, session: "s", headers: { "x-user": "Ann" } }
      const [question] = yield* Effect.gen(function*() {
        const store = yield* Store
        yield* store.commit([
          { _tag: "OpenSession", id: "s", principal: "anonymous", data: "{}" },
          { _tag: "SetSession", id: "s", name: Facts.initialized, writeKey: "1", value: "true" }
        ])
        yield* (yield* Calls).start({ ...call, request: { ...call.request, profile } })
        return yield* messages(call.id, 1)
      }).pipe(Effect.provide(yield* Layer.buildWithScope(app(register, disk), first)))
      yield* Scope.close(first, Exit.void)
      yield* Effect.gen(function*() {
        yield* answer(question.id, { result: { action: "accept", content: { ok: true } } }, "s")
        const last = (yield* messages(call.id, 2)).at(-1)
        assert.deepStrictEqual(last.result.content, [{ type: "text", text: "Ann of s" }])
      }).pipe(Effect.provide(app(register, disk)))
    }).pipe(Effect.scoped))

  it.effect("sampling and roots are questions too", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      yield* Effect.gen(function*() {
        yield* (yield* Calls).start(callOf("poet"))
        const [roots] = yield* messages(idOf("poet"), 1)
        assert.strictEqual(roots.method, "roots/list")
        yield* answer(roots.id, { result: { roots: [{ uri: "file:///a" }] } })
        const [, sample] = yield* messages(idOf("poet"), 2)
        assert.deepStrictEqual(sample.params, {
          messages: [{ role: "user", content: { type: "text", text: "A poem" } }],
          maxTokens: 5
        })
        yield* answer(sample.id, {
          result: { role: "assistant", content: { type: "text", text: "Roses" }, model: "m" }
        })
        const last = (yield* messages(idOf("poet"), 3)).at(-1)
        assert.deepStrictEqual(last.result.structuredContent, { roots: 1, content: { type: "text", text: "Roses" } })
      }).pipe(Effect.provide(app(register, disk)))
    }).pipe(Effect.scoped))

  it.effect("a declared failure is compensated for, and compensations know why", () =>
    Effect.gen(function*() {
      const disk = MemoryStore.makeDisk()
      const happened: Array<string> = []
      yield* Effect.gen(function*() {
        yield* (yield* Calls).start(callOf("unlucky"))
        const [last] = yield* messages(idOf("unlucky"), 1)
        assert.deepStrictEqual(last.result, { content: [{ type: "text", text: "Sold out" }], isError: true })
      }).pipe(Effect.provide(app(register, disk, happened)))
      // The stock registration encodes a failure before anyone can see it.
      const cause = register === toolkit ? "NoSeats: Sold out" : "Sold out"
      assert.strictEqual(happened.length, 2)
      assert.strictEqual(happened[0], "reserved")
      assert.include(happened[1], cause)
    }).pipe(Effect.scoped))
})
