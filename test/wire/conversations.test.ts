/**
 * The same conversations with Effect's server and with ours: what a handler
 * says, asks and hears before its answer is the same, message by message.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Arbitrary, Context, Effect, Latch, Layer, Schema } from "effect"
import { converse, type Line, type Message } from "./conversation.ts"
import * as Endpoints from "./endpoints.ts"
import { message, messagesOf, open, type Raw, reader } from "./raw.ts"
import {
  accept,
  always,
  anyActions,
  anyReplies,
  cancellation,
  consent,
  everything,
  form,
  levels,
  log,
  progress,
  requestId,
  roots,
  sample,
  type Scenario,
  scenarios,
  willing
} from "./scenarios.ts"
import { registrations } from "./script.ts"

const { url, versions } = Endpoints

class Servers extends Context.Service<Servers, Endpoints.Endpoints>()("test/Servers") {
  static readonly layer = Layer.effect(Servers)(Endpoints.make(registrations))
}

const oneOf = <A>(items: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: items.length - 1 }))),
    (index) => items[index]!
  )

const connect = (version: Endpoints.Version, { fetch }: Endpoints.Endpoint, scenario?: Scenario) =>
  Effect.tap(
    open(fetch, url, { version, capabilities: scenario?.capabilities ?? everything }),
    (peer) => Effect.forEach(scenario?.before ?? [], (message) => peer.post(message), { discard: true })
  )

const act = ({ actions, progressToken = "token" }: Scenario, id = requestId) => ({
  ...message(id, "tools/call", {
    name: "act",
    arguments: { actions },
    ...(progressToken === null ? {} : { _meta: { progressToken } })
  })
})

const play = (version: Endpoints.Version, endpoint: Endpoints.Endpoint, scenario: Scenario) =>
  Effect.flatMap(
    connect(version, endpoint, scenario),
    (peer) => converse(endpoint.fetch, peer, act(scenario), scenario.client ?? { answer: willing })
  )

// -----------------------------------------------------------------------------
// deliberate differences
// -----------------------------------------------------------------------------

/** What stock says, as ours says it. */
const deliberate = (lines: ReadonlyArray<Line>, { progressToken = "token" }: Scenario): ReadonlyArray<Line> => {
  let last = -Infinity
  return lines.flatMap((line): ReadonlyArray<Line> => {
    if (!("server" in line)) return [line]
    switch (line.server.method) {
      case "notifications/progress": {
        const { params } = line.server
        // Only for the request's own token (S-G1), and only what increases (S-G2).
        if (params.progressToken !== progressToken || params.progress <= last) return []
        last = params.progress
        return [line]
      }
      case "notifications/tools/list_changed":
        return [] // Has nothing to do with the call, so it is on the GET stream (S-P17).
      case "roots/list": {
        const { params, ...server } = line.server
        assert.isNull(params) // No JSON-RPC: params are an object or absent.
        return [{ server }]
      }
      default:
        return [line]
    }
  })
}

const heard = (lines: ReadonlyArray<Line>) =>
  lines.flatMap((line) => "server" in line && line.server.method !== undefined ? [line.server.method] : [])

const assertSame = Effect.fnUntraced(function*(version: Endpoints.Version, scenario: Scenario) {
  const { ours, stock } = yield* Servers
  const theirs = yield* play(version, stock, scenario)
  for (const endpoint of ours) {
    assert.deepStrictEqual(yield* play(version, endpoint, scenario), deliberate(theirs, scenario), endpoint.name)
  }
  return theirs
})

layer(Servers.layer)("conversations", (it) => {
  describe.each(versions)("%s", (version) => {
    for (const scenario of scenarios) {
      it.effect(scenario.label, () =>
        Effect.gen(function*() {
          const theirs = yield* assertSame(version, scenario)
          if (scenario.hears !== undefined && version === "2025-11-25") {
            assert.deepStrictEqual(heard(theirs), scenario.hears)
          }
        }))
    }

    it.effect.prop(
      "whatever a handler says and asks, and whatever it is answered",
      {
        actions: Arbitrary.array(oneOf(anyActions), { maxLength: 8 }),
        replies: Arbitrary.array(oneOf(anyReplies), { minLength: 1, maxLength: 5 }),
        level: oneOf(levels),
        capabilities: oneOf([everything, { roots: {}, sampling: {} }, { elicitation: {} }])
      },
      ({ actions, capabilities, level, replies }) =>
        assertSame(version, {
          label: "random",
          actions,
          capabilities,
          before: [message(1, "logging/setLevel", { level })],
          client: { answer: (question, index) => replies[index % replies.length]!(question) }
        }),
      { arbitrary: { runs: 50 } }
    )

    it.effect("calls at the same time: each stream has its own messages only (S-P18, S-P19)", () =>
      Effect.gen(function*() {
        const { ours, stock } = yield* Servers
        const scenarioOf = (name: string): Scenario => ({
          label: name,
          actions: [
            log("info", name),
            roots,
            progress(1, { token: name, message: name }),
            sample(),
            log("error", name)
          ],
          progressToken: name
        })
        const playBoth = Effect.fnUntraced(function*(endpoint: Endpoints.Endpoint) {
          const peer = yield* connect(version, endpoint)
          const bothAsk = yield* barrier(2)
          return yield* Effect.forEach(
            ["a", "b"],
            (name, index) =>
              converse(endpoint.fetch, peer, act(scenarioOf(name), index), { answer: willing, wait: bothAsk }),
            {
              concurrency: "unbounded"
            }
          )
        })
        const theirs = yield* playBoth(stock)
        for (const endpoint of ours) {
          assert.deepStrictEqual(
            yield* playBoth(endpoint),
            [deliberate(theirs[0]!, scenarioOf("a")), deliberate(theirs[1]!, scenarioOf("b"))],
            endpoint.name
          )
        }
      }))

    it.effect("an answer that comes too late, or again, is accepted and changes nothing (S-C3)", () =>
      Effect.gen(function*() {
        const { ours, stock } = yield* Servers
        for (const endpoint of [stock, ...ours]) {
          for (const cancelled of [true, false]) {
            const peer = yield* connect(version, endpoint)
            let wireId: Message["id"]
            const lines = yield* converse(endpoint.fetch, peer, act({ label: "late", actions: [roots] }), {
              answer: (question) => cancelled ? undefined : willing(question),
              say: ({ id, method }) => {
                if (method !== "roots/list") return undefined
                wireId = id
                return cancelled ? cancellation : undefined
              }
            })
            assert.strictEqual(heard(lines).at(-1), cancelled ? "notifications/cancelled" : "roots/list")
            const late = yield* peer.post({ jsonrpc: "2.0", id: wireId, result: { roots: [] } })
            assert.deepStrictEqual([late.status, late.text], [202, ""], endpoint.name)
          }
        }
      }))
  })

  describe.each(versions)("%s: not as the stock server", (version) => {
    it.effect("an answer that is none fails the question as its type says; stock dies of it (S-A3)", () =>
      Effect.gen(function*() {
        const { ours, stock } = yield* Servers
        for (const result of [null, [], {}, { action: "maybe", roots: 1, role: "x" }]) {
          const scenario: Scenario = { label: "garbage", actions: [sample(), roots], client: always({ result }) }
          assert.deepStrictEqual(resultOf(yield* play(version, stock, scenario)), [
            { failed: { _tag: "SchemaError" } },
            { failed: { _tag: "SchemaError" } }
          ])
          for (const endpoint of ours) {
            const result = resultOf(yield* play(version, endpoint, scenario))
            assert.deepStrictEqual(
              result.map(({ failed: { _tag, operation } }) => [_tag, operation]),
              [
                ["McpReverseOperationError", "sampling/createMessage"],
                ["McpReverseOperationError", "roots/list"]
              ]
            )
          }
        }
      }))

    it.effect("a new tool is announced on the GET stream; stock, which has none, tells running calls (S-T9, S-P17)", () =>
      Effect.gen(function*() {
        const { ours, stock } = yield* Servers
        const grow = (endpoint: Endpoints.Endpoint, peer: Raw) =>
          converse(
            endpoint.fetch,
            peer,
            act({ label: "grow", actions: [{ _tag: "Grow", name: `grown-${version}` }, roots] }),
            {
              answer: willing
            }
          )
        const toolsOf = (peer: Raw) =>
          Effect.map(peer.post(message(99, "tools/list")), ({ text }) => JSON.parse(text).result.tools)

        const theirPeer = yield* connect(version, stock)
        assert.strictEqual((yield* theirPeer.get()).status, 405)
        const theirs = yield* grow(stock, theirPeer)
        const announcement = theirs.find((line) =>
          "server" in line && line.server.method === "notifications/tools/list_changed"
        )
        assert(announcement !== undefined && "server" in announcement)
        for (const endpoint of ours) {
          const peer = yield* connect(version, endpoint)
          const events = reader(yield* peer.get())
          assert.deepStrictEqual(yield* grow(endpoint, peer), deliberate(theirs, { label: "", actions: [] }))
          let event = yield* events.next
          while (event?.data === "") event = yield* events.next
          assert.deepStrictEqual(JSON.parse(event!.data), announcement.server)
          yield* events.cancel
          assert.deepStrictEqual(yield* toolsOf(peer), yield* toolsOf(theirPeer))
        }
      }))
  })

  it.effect("2025-03-26: a batch is one array, without room for what a call says (A9)", () =>
    Effect.gen(function*() {
      const { ours, stock } = yield* Servers
      const batch = [
        message("ping", "ping"),
        act({ label: "", actions: [log("info", "heard by stock's clients"), progress(1)] }, 1),
        { jsonrpc: "2.0", method: "notifications/initialized" },
        message("1", "unknown"),
        act({ label: "", actions: [consent] }, 2)
      ]
      const exchange = (endpoint: Endpoints.Endpoint) =>
        Effect.flatMap(connect("2025-03-26", endpoint), (peer) => peer.post(batch))
      const theirs = messagesOf(yield* exchange(stock))
      assert.deepStrictEqual(theirs.slice(0, -1).map(({ method }) => method), [
        "notifications/message",
        "notifications/progress"
      ])
      for (const endpoint of ours) {
        const received = yield* exchange(endpoint)
        assert.strictEqual(received.headers.get("content-type"), "application/json")
        // In any order: stock's is that of completion.
        assert.sameDeepMembers(JSON.parse(received.text), theirs.at(-1), endpoint.name)
      }
    }))

  describe("2025-06-18: forms keep their choices, which stock drops or refuses (S-E2)", () => {
    const unsupported = [{ failed: { _tag: "McpReverseOperationUnsupported", operation: "elicitation/create" } }]
    const titled = [{ const: "a", title: "A" }, { const: "b", title: "B" }]
    const choices = { type: "string", enum: ["a", "b"] }

    const cases: ReadonlyArray<readonly [field: Record<string, Schema.Json>, theirs: unknown, ours: unknown]> = [
      [choices, { type: "string" }, choices],
      [{ type: "string", oneOf: titled }, undefined, { ...choices, enumNames: ["A", "B"] }],
      [{ type: "string", default: "a" }, undefined, { type: "string" }],
      [{ type: "integer", default: 1 }, undefined, { type: "integer" }],
      [{ type: "array", items: choices }, undefined, undefined]
    ]

    /** What the client is shown of the field; undefined where it is not asked. */
    const shown = Effect.fnUntraced(function*(endpoint: Endpoints.Endpoint, field: Record<string, Schema.Json>) {
      const lines = yield* play("2025-06-18", endpoint, {
        label: "choices",
        actions: [form({ field })],
        client: always(accept({ field: "a" }))
      })
      if (heard(lines).length === 0) {
        assert.deepStrictEqual(resultOf(lines), unsupported)
        return undefined
      }
      const [question] = lines
      assert(question !== undefined && "server" in question)
      assert.deepStrictEqual(resultOf(lines), [{ result: { action: "accept", content: { field: "a" } } }])
      return question.server.params.requestedSchema.properties.field
    })

    for (const [field, theirs, our] of cases) {
      it.effect(JSON.stringify(field), () =>
        Effect.gen(function*() {
          const { ours, stock } = yield* Servers
          assert.deepStrictEqual(yield* shown(stock, field), theirs)
          for (const endpoint of ours) {
            assert.deepStrictEqual(yield* shown(endpoint, field), our, endpoint.name)
          }
        }))
    }
  })
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** What the handler of a call says of it. */
const resultOf = (lines: ReadonlyArray<Line>): ReadonlyArray<any> => {
  const last = lines.at(-1)
  assert(last !== undefined && "server" in last && last.server.result !== undefined, JSON.stringify(last))
  return JSON.parse(last.server.result.content[0].text)
}

/** Passed when so many have come to it. */
const barrier = (count: number): Effect.Effect<Effect.Effect<void>> => {
  let missing = count
  return Effect.map(
    Latch.make(),
    (latch) => Effect.suspend(() => --missing > 0 ? latch.await : latch.open)
  )
}
