import { it } from "@effect/vitest"
import { Effect } from "effect"
import { converse } from "./conversation.ts"
import * as Endpoints from "./endpoints.ts"
import { call, open } from "./raw.ts"
import { registrations } from "./script.ts"

const capabilities = { elicitation: { form: {}, url: {} }, sampling: { tools: {}, context: {} }, roots: {} }
const replies: Record<string, any> = {
  "elicitation/create": { result: { action: "accept", content: { ok: true } } },
  "sampling/createMessage": { result: { role: "assistant", model: "m", content: { type: "text", text: "hi" } } },
  "roots/list": { result: { roots: [{ uri: "file:///a", name: "a" }] } }
}
const scripts: any = {
  mixed: [[
    { _tag: "Progress", token: "p", progress: 1, total: 3, message: "x" },
    { _tag: "Log", level: "info", data: { a: 1 } },
    { _tag: "Elicit", form: "consent" },
    { _tag: "Progress", token: "p", progress: 1 },
    { _tag: "Progress", token: "p", progress: 2 },
    { _tag: "Sample", params: { messages: [{ role: "user", content: { type: "text", text: "Hi" } }], maxTokens: 10 } },
    { _tag: "Roots" },
    { _tag: "Page", url: "https://example.org", elicitationId: "e" }
  ], {}],
  together: [[{ _tag: "Together", actions: [{ _tag: "Elicit", form: "consent" }, { _tag: "Roots" }] }], { hold: 2 }],
  refused: [[{ _tag: "Elicit", form: "consent" }, { _tag: "Roots" }], {
    answer: () => ({ error: { code: -1, message: "no", data: 1 } })
  }],
  malformed: [[{ _tag: "Elicit", form: "consent" }, { _tag: "Roots" }], { answer: () => ({ result: { x: 1 } }) }],
  wrong: [[{ _tag: "Elicit", form: "person" }], {}],
  cancelled: [[{ _tag: "Elicit", form: "person" }], { answer: () => ({ result: { action: "cancel" } }) }],
  stop: [[{ _tag: "Elicit", form: "person" }], {
    answer: () => undefined,
    say: (m: any) =>
      m.method === "elicitation/create"
        ? { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7, reason: "because" } }
        : undefined
  }],
  grow: [[{ _tag: "Grow", name: "g" }, { _tag: "Roots" }], {}]
}

for (const version of Endpoints.versions) {
  it.live(version, () =>
    Effect.gen(function*() {
      const { ours, stock } = yield* Endpoints.make(registrations)
      for (const [name, [actions, client]] of Object.entries<any>(scripts)) {
        for (const { fetch, name: server } of [stock, ...ours]) {
          const peer = yield* open(fetch, Endpoints.url, { version, capabilities })
          const message = call(7, "act", { actions })
          ;(message.params as any)._meta = { progressToken: "p" }
          const lines = yield* Effect.timeoutOption(
            converse(fetch, peer, message, { answer: (q) => replies[q.method!], ...client }),
            2000
          )
          console.log(
            version,
            name,
            server,
            lines._tag === "None" ? "TIMEOUT" : lines.value.map((l) => JSON.stringify(l)).join("\n   ")
          )
        }
      }
    }))
}
