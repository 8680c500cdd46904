/**
 * What a front sees of an application of two server processes: Envoy's port, with
 * state machines in memory behind it.
 */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import * as Http from "node:http"
import type { States, StateType } from "../../src/reboot/internal/Application.ts"
import { machines } from "../../src/reboot/internal/machines.ts"
import { readers, stateTypes } from "../../src/reboot/internal/methods.ts"
import { flushPath } from "../../src/reboot/internal/remote.ts"
import { callerOf, serverHeader } from "../../src/reboot/internal/rpc.ts"
import * as Wakeups from "../../src/reboot/internal/wakeups.ts"

export const secret = "a-secret-of-32-characters-or-more"

const names = ["app-c000000", "app-c000001"] as const

export interface FakeEnvoy {
  readonly url: URL
  /** Methods that were called: `Commit`, `Fetch` and so on. */
  readonly calls: Array<string>
  /** Server processes that were asked to flush. */
  readonly flushed: Array<string>
  /** Answers every request with this, until it is undefined again. */
  status: number | undefined
  /** Breaks all connections, as the end of the application does. */
  readonly breakConnections: () => void
}

/** Until the scope closes. */
export const make: Effect.Effect<FakeEnvoy, never, Scope.Scope> = Effect.gen(function*() {
  const states = new Map<string, States[StateType]["state"]>()
  const hubs = new Map(names.map((name) => [name as string, Wakeups.hub()]))
  let next = 0

  const envoy = { calls: [] as Array<string>, flushed: [] as Array<string>, status: undefined as number | undefined }

  const method = (type: StateType, id: string, name: string, body: string, cookie: string | null) => {
    envoy.calls.push(name)
    const key = `${type}/${id}`
    const state = states.get(key)
    if (name === readers[type]) {
      return state === undefined
        ? {
          status: 409,
          body: { code: 10, details: [{ "@type": "type.googleapis.com/rbt.v1alpha1.StateNotConstructed" }] }
        }
        : { status: 200, body: { state: JSON.stringify(state) } }
    }
    const machine = machines[type]
    const applied = machine.apply((state ?? machine.empty) as never, JSON.parse(JSON.parse(body).request))
    states.set(key, applied.state)
    if (applied.state !== state) hubs.get(names[0])!.publish([type, id, callerOf(cookie)])
    return { status: 200, body: { response: JSON.stringify(applied.response) } }
  }

  const server = Http.createServer(async (request, response) => {
    let body = ""
    for await (const chunk of request) body += chunk
    const isKnown = request.headers.authorization === `Bearer ${secret}`
    if (envoy.status !== undefined) return response.writeHead(envoy.status).end("upstream connect error")
    const name = String(request.headers[serverHeader] ?? names[next++ % names.length])
    if (request.url === Wakeups.path) {
      if (!isKnown) return response.writeHead(401).end()
      if (!hubs.has(name)) return response.writeHead(502).end("Unknown server")
      response.writeHead(200)
      return hubs.get(name)!.attach(response, { server: name, servers: names.length, boot: name })
    }
    if (request.url === flushPath) {
      envoy.flushed.push(name)
      return response.writeHead(200).end()
    }
    const [, , , , ref = "", service = "", called = ""] = request.url!.split("/")
    const [, type, id] = /^effmcp\.v1\.(\w+):(.*)$/.exec(decodeURIComponent(ref)) ?? []
    const found = stateTypes.find((known) => known === type)
    if (found === undefined || id === undefined || service !== `effmcp.v1.${type}Methods`) {
      return response.writeHead(404).end()
    }
    if (!isKnown) return response.writeHead(403).end()
    const answer = method(found, id, called, body, request.headers.cookie ?? null)
    return response.writeHead(answer.status).end(JSON.stringify(answer.body, null, 1))
  }).listen(0, "127.0.0.1")

  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      for (const hub of hubs.values()) hub.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
  )
  yield* Effect.promise(async () => server.listening || await once(server, "listening"))
  const { port } = server.address() as { readonly port: number }
  return Object.assign(envoy, {
    url: new URL(`http://127.0.0.1:${port}`),
    breakConnections: () => server.closeAllConnections()
  })
})
