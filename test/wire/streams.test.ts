/**
 * Which message is on which stream, and what an event looks like there.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { MemoryStore } from "effect-durable-mcp"
import { Doors, start } from "./fixture.ts"
import { call, eventsOf, messagesOf, open, type Raw, reader } from "./raw.ts"

const everything = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} }

const post = (url: URL, peer: Raw, body: unknown) =>
  Effect.promise(() => fetch(url, { method: "POST", headers: peer.headers, body: JSON.stringify(body) }))

/** Reads a stream to the first request of the server. */
const question = Effect.fnUntraced(function*(response: Response) {
  const { cancel, next } = reader(response)
  for (;;) {
    const event = yield* next
    if (event === undefined) return yield* Effect.die(new Error("The stream ended without a question"))
    const message = event.data === "" ? undefined : JSON.parse(event.data)
    if (message?.id !== undefined && message.method !== undefined) {
      yield* cancel
      return { event: event.id!, message }
    }
  }
})

describe("questions", () => {
  it.live("are on the stream of their call only, and nowhere else after a restart (S-O2, S-P12, S-P17)", () =>
    Effect.gen(function*() {
      const store = MemoryStore.layerWith({ disk: MemoryStore.makeDisk() })
      const doors = new Doors()
      const { stop, url: before } = yield* start(store, doors)
      const peer = yield* open(fetch, before, { capabilities: everything })
      const standalone = reader(yield* peer.get())
      const primed = yield* standalone.next
      const asked = yield* question(yield* post(before, peer, call(1, "ask")))
      yield* stop
      // It was open all the time, and has nothing but its priming event.
      assert.isUndefined(yield* standalone.next)
      // Elsewhere: sockets to the old port may be closing.
      const { url } = yield* start(store, doors)
      const get = (headers?: Record<string, string>) =>
        Effect.map(Effect.promise(() => fetch(url, { headers: { ...peer.headers, ...headers } })), reader)
      const again = yield* get()
      const resumed = yield* get({ "last-event-id": primed!.id! })
      const answer = { jsonrpc: "2.0", id: asked.message.id, result: { action: "accept", content: { ok: true } } }
      assert.strictEqual((yield* post(url, peer, answer)).status, 202)
      // The call's own stream goes on behind the question.
      const rest = yield* get({ "last-event-id": asked.event })
      const seen: Array<any> = []
      for (let event = yield* rest.next; event !== undefined; event = yield* rest.next) {
        if (event.data !== "") seen.push(JSON.parse(event.data))
      }
      assert.deepStrictEqual(seen.map(({ id, method }) => [id, method]), [[1, undefined]])
      yield* Effect.promise(() => fetch(url, { method: "DELETE", headers: peer.headers }))
      for (const stream of [again, resumed]) {
        for (let event = yield* stream.next; event !== undefined; event = yield* stream.next) {
          assert.strictEqual(event.data, "")
        }
      }
    }))

  it.live("that a client did not declare are the handler's to do without: it gets a result, no -32042 (S-E1, S-E9)", () =>
    Effect.gen(function*() {
      const { url } = yield* start(MemoryStore.layer, new Doors())
      for (const elicitation of [undefined, {}, { form: {} }]) {
        const capabilities = elicitation === undefined ? {} : { elicitation }
        const peer = yield* open(fetch, url, { capabilities })
        const messages = messagesOf(yield* peer.post(call(1, "page")))
        assert.strictEqual(messages.length, 1)
        assert.strictEqual(messages[0].result.content[0].text, "Unsupported")
      }
    }))

  it.live("have ids of their own in all calls of all sessions, before and after a restart (S-O3, D-4)", () =>
    Effect.gen(function*() {
      const store = MemoryStore.layerWith({ disk: MemoryStore.makeDisk() })
      const doors = new Doors()
      const ids: Array<unknown> = []
      const ask = Effect.fnUntraced(function*(url: URL, peer: Raw, id: number) {
        for (const [i, tool] of ["ask", "page", "model", "roots"].entries()) {
          ids.push((yield* question(yield* post(url, peer, call(id * 10 + i, tool)))).message.id)
        }
      })
      const { stop, url } = yield* start(store, doors)
      const one = yield* open(fetch, url, { capabilities: everything })
      yield* ask(url, one, 1)
      yield* ask(url, yield* open(fetch, url, { capabilities: everything }), 1)
      yield* stop
      yield* ask((yield* start(store, doors)).url, one, 2)
      assert.isTrue(ids.every((id) => typeof id === "string" && /^[\x21-\x7e]+$/.test(id)))
      assert.strictEqual(new Set(ids).size, ids.length)
    }))
})

describe("an event", () => {
  it.live("is one message on one data line, under an id that names its stream (S-R2, S-R11)", () =>
    Effect.gen(function*() {
      const { url } = yield* start(MemoryStore.layer, new Doors())
      for (const version of ["2025-11-25", "2025-06-18", "2025-03-26"]) {
        const peer = yield* open(fetch, url, { version })
        const text = "a\nb\r\nc\rd\u2028e\u2029f\u0085g\u0000h: i\n\nid: 9:9\ndata: {}\n\n"
        const streams = new Set<string>()
        for (const body of [call(1, "echo", { text }), call(2, "walk", { n: 3 })]) {
          const received = yield* peer.post({
            ...body,
            params: { ...body.params as {}, _meta: { progressToken: text } }
          })
          assert.strictEqual(received.headers.get("content-type"), "text/event-stream")
          const blocks = received.text.split("\n\n").filter((block) => block !== "" && block !== ":")
          assert.strictEqual(blocks.length, eventsOf(received.text).length)
          const ids = blocks.map((block) => {
            const lines = block.split(/\r\n|\r|\n/)
            assert.deepStrictEqual(lines.map((line) => line.split(": ", 1)[0]).filter((name) => name !== "retry"), [
              "id",
              "data"
            ])
            return lines[0]!.slice("id: ".length)
          })
          const [stream, ...others] = new Set(ids.map((id) => id.slice(0, id.lastIndexOf(":"))))
          assert.deepStrictEqual(others, [])
          streams.add(stream!)
          const messages = eventsOf(received.text).filter(({ data }) => data !== "").map(({ data }) => JSON.parse(data))
          assert.isTrue(messages.every((message) => !Array.isArray(message) && message.jsonrpc === "2.0"))
          if (body.id === 1) assert.strictEqual(messages.at(-1).result.content[0].text, text)
          else assert.isTrue(messages.slice(0, -1).every(({ params }) => params.progressToken === text))
        }
        assert.strictEqual(streams.size, 2)
      }
    }))
})
