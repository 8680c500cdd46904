/**
 * Several MCP servers in front of one Reboot application: any of them answers any
 * request of a session, resumes any stream and takes any answer, and a process
 * that is killed takes no call with it.
 */
import { assert, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js"
import { Context, Effect, Layer } from "effect"
import { hasTasks, readers, stateTypes, tasks, writers } from "../../src/reboot/internal/methods.ts"
import { describeWithReboot } from "./installed.ts"
import * as Replicated from "./Replicated.ts"

interface Event {
  readonly id: string
  readonly message: any
}

/** One session, by raw requests: each goes to the front that is named. */
class Conversation {
  session: string | undefined
  #requests = 0

  post(front: URL, message: object): Promise<Response> {
    return fetch(new URL("/mcp", front), {
      method: "POST",
      headers: this.#headers,
      body: JSON.stringify({ jsonrpc: "2.0", ...message })
    })
  }

  request(front: URL, method: string, params: object): Promise<Response> {
    return this.post(front, { id: ++this.#requests, method, params })
  }

  resume(front: URL, lastEventId: string): Promise<Response> {
    return fetch(new URL("/mcp", front), { headers: { ...this.#headers, "last-event-id": lastEventId } })
  }

  async open(initialize: URL, initialized: URL): Promise<void> {
    const response = await this.request(initialize, "initialize", {
      protocolVersion: "2025-11-25",
      capabilities: { elicitation: {} },
      clientInfo: { name: "replicas", version: "1.0.0" }
    })
    this.session = response.headers.get("mcp-session-id")!
    await response.text()
    assert.strictEqual((await this.post(initialized, { method: "notifications/initialized" })).status, 202)
  }

  get #headers(): Record<string, string> {
    return {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(this.session === undefined
        ? {}
        : { "mcp-session-id": this.session, "mcp-protocol-version": "2025-11-25" })
    }
  }
}

/** The events of a response, the priming one too, as they come. */
async function* eventsOf(response: Response): AsyncGenerator<Event> {
  assert.strictEqual(response.status, 200)
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of response.body!) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n")
    rest = blocks.pop()!
    for (const block of blocks) {
      const id = /^id: (.*)$/m.exec(block)?.[1]
      const data = /^data: (.+)$/m.exec(block)?.[1]
      if (id !== undefined) yield { id, message: data === undefined ? undefined : JSON.parse(data) }
    }
  }
}

const bookTrip = (city: string) => ({ name: "book_trip", arguments: { city }, _meta: { progressToken: city } })

const isQuestion = ({ message }: Event): boolean => message?.method === "elicitation/create"
const isResult = ({ message }: Event): boolean => message?.result !== undefined || message?.error !== undefined

/** Reads on, also on another front when this one is killed, until the result. */
const follow = async (
  conversation: Conversation,
  fronts: ReadonlyArray<URL>,
  first: Response,
  on: (event: Event) => Promise<void>
): Promise<ReadonlyArray<Event>> => {
  const seen: Array<Event> = []
  let response = first
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      for await (const event of eventsOf(response)) {
        if (event.message === undefined && seen.length > 0) continue
        seen.push(event)
        await on(event)
        if (isResult(event)) return seen
      }
    } catch {
      // the front is gone, or its connection
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
    response = await conversation.resume(fronts[attempt % fronts.length]!, seen.at(-1)!.id).catch(() => response)
  }
  throw new Error(`No result: ${JSON.stringify(seen)}`)
}

/** What a trip must look like, whatever was killed. */
const assertBooked = (city: string, events: ReadonlyArray<Event>): void => {
  const last = events.at(-1)!.message
  assert.deepStrictEqual(last.result?.structuredContent, { id: `receipt-${city}`, city }, JSON.stringify(last))
  // each event once, and none is missing
  const numbers = events.map(({ id }) => Number(id.split(":")[1]))
  assert.deepStrictEqual(numbers, numbers.map((_, i) => i))
  assert.deepStrictEqual(
    events.filter(({ message }) => message?.method === "notifications/progress").map(({ message }) =>
      message.params.progress
    ),
    [1, 2, 3]
  )
}

const isWriter = (method: string): boolean => Object.values<string>(writers).includes(method)

/** World, application and three fronts, for all tests. */
class Replicas extends Context.Service<Replicas, {
  readonly world: Replicated.World
  readonly application: Replicated.RebootApplication
  readonly urls: readonly [URL, URL, URL]
  readonly killFront: (nth: 0 | 1 | 2) => Effect.Effect<void>
  /** Calls of the fronts to Reboot, so far. */
  readonly calls: { reads: number; writes: number }
}>()("test/reboot/Replicas") {
  static readonly layer = Layer.effect(
    Replicas,
    Effect.gen(function*() {
      const world = yield* Replicated.world(400)
      const application = yield* Replicated.application(world)
      const calls = { reads: 0, writes: 0 }
      const counting = yield* Replicated.proxy((request) => {
        const method = /Methods\/(\w+)$/.exec(request.url!)?.[1]
        if (method !== undefined) calls[isWriter(method) ? "writes" : "reads"]++
        return application.url
      })
      const front = Replicated.front(counting)
      const fronts = yield* Effect.all([front, front, front], { concurrency: 3 })
      const urls = [fronts[0].url, fronts[1].url, fronts[2].url] as const
      return { world, application, urls, killFront: (nth) => fronts[nth].kill("SIGKILL"), calls }
    })
  )
}

/** Much more than any of it takes: several programs may share this machine. */
const timeout = 180_000

describeWithReboot("replicas", () => {
  it.layer(Replicas.layer, { excludeTestServices: true, timeout })("of two servers and three fronts", (it) => {
    it.effect(
      "an official client is served by three fronts in turn, as if they were one",
      () =>
        Effect.gen(function*() {
          const { calls, urls, world } = yield* Replicas
          const ledger = yield* world.ledger
          let turn = 0
          const proxy = yield* Replicated.proxy(() => urls[turn++ % urls.length]!)
          yield* Effect.promise(async () => {
            const client = new Client({ name: "replicas", version: "1.0.0" }, { capabilities: { elicitation: {} } })
            client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { ok: true } }))
            await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", proxy)))
            assert.deepStrictEqual((await client.listTools()).tools.map(({ name }) => name), ["book_trip"])
            const before = { ...calls }
            const progress: Array<number> = []
            const result = await client.callTool(
              { name: "book_trip", arguments: { city: "Oslo" } },
              CallToolResultSchema,
              { onprogress: ({ progress: value }) => progress.push(value) }
            )
            assert.deepStrictEqual(result.structuredContent, { id: "receipt-Oslo", city: "Oslo" })
            assert.deepStrictEqual(progress, [1, 2, 3])
            console.log(
              `a call of three steps with a question: ${calls.writes - before.writes} writes and `
                + `${calls.reads - before.reads} reads of its fronts`
            )
            await client.close()
          })
          const { duplicates, effects } = yield* world.ledger
          assert.deepStrictEqual([duplicates, effects - ledger.effects], [0, 3])
          assert.isAtLeast(turn, 5)
        }),
      timeout
    )

    /** `kill` happens while the flight is being reserved. */
    const trip = (city: string, kill: Effect.Effect<void>) =>
      Effect.gen(function*() {
        const { urls: [first, second, third], world } = yield* Replicas
        const ledger = yield* world.ledger
        const conversation = new Conversation()
        yield* Effect.promise(() => conversation.open(first, second))
        const response = yield* Effect.promise(() => conversation.request(third, "tools/call", bookTrip(city)))
        const events = Effect.promise(() =>
          follow(conversation, [first, second], response, async (event) => {
            if (!isQuestion(event)) return
            // any front takes the answer
            const { id } = event.message
            const answer = { id, result: { action: "accept", content: { ok: true } } }
            assert.strictEqual((await conversation.post(second, answer)).status, 202)
          })
        )
        const reserving = Replicated.eventually(() =>
          world.lines.find((line) => line.includes(`reserve a seat (${city}`))
        )
        const [seen] = yield* Effect.all([events, Effect.andThen(reserving, kill)], { concurrency: 2 })
        assertBooked(city, seen)
        // a seat, a charge and a mail, each once
        const { duplicates, effects } = yield* world.ledger
        assert.deepStrictEqual([duplicates, effects - ledger.effects], [0, 3])
      })

    const killed = (which: (processes: Replicated.Processes) => number) =>
      Effect.gen(function*() {
        const { application } = yield* Replicas
        return Effect.map(application.processes, (processes) => void process.kill(which(processes), "SIGKILL"))
      })

    it.effect("a call survives kill -9 of a server process", () =>
      Effect.gen(function*() {
        yield* trip("Bergen", yield* killed(({ servers }) => servers[0]!))
      }), timeout)

    it.effect("a call survives kill -9 of the other server process", () =>
      Effect.gen(function*() {
        yield* trip("Bodo", yield* killed(({ servers }) => servers[1]!))
      }), timeout)

    it.effect("a call survives kill -9 of Envoy", () =>
      Effect.gen(function*() {
        yield* trip("Drammen", yield* killed(({ envoy }) => envoy))
      }), timeout)

    it.effect("a call survives kill -9 of the parent of all", () =>
      Effect.gen(function*() {
        yield* trip("Hamar", yield* killed(({ parent }) => parent))
      }), timeout)

    it.effect("a stream is resumed where it was left, on any front", () =>
      Effect.gen(function*() {
        const { urls: [first, second, third] } = yield* Replicas
        const conversation = new Conversation()
        const events = yield* Effect.promise(async () => {
          await conversation.open(first, second)
          const response = await conversation.request(third, "tools/call", bookTrip("Alta"))
          const seen: Array<Event> = []
          for await (const event of eventsOf(response)) {
            seen.push(event)
            if (isQuestion(event)) break // and hangs up
          }
          const question = seen.at(-1)!.message
          await conversation.post(first, { id: question.id, result: { action: "accept", content: { ok: true } } })
          for await (const event of eventsOf(await conversation.resume(second, seen.at(-1)!.id))) {
            if (event.message !== undefined) seen.push(event)
          }
          return seen
        })
        assertBooked("Alta", events)
        // a session that ends at one front has ended at all
        yield* Effect.promise(async () => {
          const headers = { "mcp-session-id": conversation.session! }
          assert.strictEqual((await fetch(new URL("/mcp", first), { method: "DELETE", headers })).status, 204)
          const status = async () => (await conversation.request(third, "tools/list", {})).status
          assert.strictEqual(await status(), 404)
        })
      }), timeout)

    it.effect("a stranger at Envoy's port gets nothing", () =>
      Effect.gen(function*() {
        const { application: { url } } = yield* Replicas
        const rpc = (type: string, method: string, headers: Record<string, string>) =>
          Effect.promise(async () => {
            const path = `/__/reboot/rpc/${
              encodeURIComponent(`effmcp.v1.${type}:x`)
            }/effmcp.v1.${type}Methods/${method}`
            const response = await fetch(new URL(path, url), {
              method: "POST",
              headers: { "content-type": "application/json", ...headers },
              body: JSON.stringify(isWriter(method) ? { request: "{}" } : {})
            })
            return { status: response.status, text: await response.text() }
          })
        const server = yield* Effect.promise(async () => {
          const response = await fetch(new URL("/effmcp/wake", url), {
            headers: { authorization: `Bearer ${Replicated.secret}` }
          })
          for await (const chunk of response.body!) return JSON.parse(new TextDecoder().decode(chunk)).server as string
          throw new Error("The host says nothing")
        })
        const strangers: ReadonlyArray<Record<string, string>> = [
          {},
          { authorization: "Bearer wrong" },
          // what makes a call internal to the application, were it believed
          { "x-reboot-caller-id": `application_id=${server.split("-")[0]}` }
        ]
        for (const type of stateTypes) {
          for (const headers of strangers) {
            for (const method of [writers[type], readers[type]]) {
              const { status, text } = yield* rpc(type, method, headers)
              assert.strictEqual(status, 403, `${type}.${method} ${JSON.stringify(headers)}: ${text}`)
            }
            if (hasTasks(type)) {
              // a workflow is called by a schedule, and only so
              const scheduled = { ...headers, "x-reboot-task-schedule": new Date().toISOString() }
              const { status, text } = yield* rpc(type, tasks[type], scheduled)
              assert.strictEqual(status, 403, `${type}.${tasks[type]} ${JSON.stringify(headers)}: ${text}`)
            }
          }
        }
        for (const [path, method] of [["/effmcp/wake", "GET"], ["/effmcp/flush", "POST"]] as const) {
          for (const headers of strangers) {
            const response = yield* Effect.promise(() => fetch(new URL(path, url), { method, headers }))
            yield* Effect.promise(() => response.text())
            assert.strictEqual(response.status, 401)
          }
        }
      }), timeout)

    // The last one: this front is not started again.
    it.effect("a call survives kill -9 of the front that has its stream", () =>
      Effect.gen(function*() {
        const { killFront } = yield* Replicas
        yield* trip("Tromso", killFront(2))
      }), timeout)
  })
})
