/**
 * Conversations about one call: what its handler does, and what its client
 * answers.
 */
import type { Schema } from "effect"
import type { Client, Message, Reply } from "./conversation.ts"
import { message } from "./raw.ts"
import type { Action, Single } from "./script.ts"

export interface Scenario {
  readonly label: string
  readonly actions: ReadonlyArray<Action>
  /** Of the client. Default: all there are. */
  readonly capabilities?: Record<string, unknown>
  /** Of the request. Default "token"; null for none. */
  readonly progressToken?: string | number | null
  /** What the client sends before. */
  readonly before?: ReadonlyArray<object>
  readonly client?: Client
  /** What 2025-11-25 hears, by method: that there is something to compare. */
  readonly hears?: ReadonlyArray<string>
}

export const everything = {
  elicitation: { form: {}, url: {} },
  sampling: { tools: {}, context: {} },
  roots: { listChanged: true }
}

// -----------------------------------------------------------------------------
// what handlers do
// -----------------------------------------------------------------------------

export const together = (...actions: ReadonlyArray<Single>): Action => ({ _tag: "Together", actions })

export const progress = (
  progress: number,
  more?: { total?: number; message?: string; token?: string | number }
): Single => ({
  _tag: "Progress",
  token: "token",
  progress,
  ...more
})

export const levels = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] as const

export const log = (level: (typeof levels)[number], data: Schema.Json, logger?: string): Single => ({
  _tag: "Log",
  level,
  data,
  ...(logger === undefined ? {} : { logger })
})

export const consent: Single = { _tag: "Elicit", form: "consent" }
const demand: Single = { _tag: "Demand" }
const note: Single = { _tag: "Elicit", form: "optional" }
const page: Single = { _tag: "Page", url: "https://example.org/login", elicitationId: "e1" }
export const roots: Single = { _tag: "Roots" }

export const form = (properties: Readonly<Record<string, Schema.Json>>, required?: ReadonlyArray<string>): Single => ({
  _tag: "Form",
  requestedSchema: { type: "object", properties, ...(required === undefined ? {} : { required }) }
})

const text = (text: string) => ({ role: "user", content: { type: "text", text } })

export const sample = (params?: Readonly<Record<string, Schema.Json>>): Single => ({
  _tag: "Sample",
  params: { messages: [text("A joke")], maxTokens: 10, ...params }
})

const tool = { name: "dice", inputSchema: { type: "object" } }

// -----------------------------------------------------------------------------
// what clients answer
// -----------------------------------------------------------------------------

export const accept = (content: unknown): Reply => ({ result: { action: "accept", content } })
const refuse: Reply = { error: { code: -1, message: "User rejected", data: { why: [1] } } }
const joke = { role: "assistant", model: "m", content: { type: "text", text: "Ha" }, stopReason: "endTurn" }

export const willing = ({ method }: Message): Reply => {
  switch (method) {
    case "roots/list":
      return { result: { roots: [{ uri: "file:///a", name: "a" }, { uri: "file:///b" }] } }
    case "sampling/createMessage":
      return { result: joke }
    default:
      return accept({ ok: true })
  }
}

export const always = (reply: Reply): Client => ({ answer: () => reply })

// -----------------------------------------------------------------------------
// scenarios
// -----------------------------------------------------------------------------

export const requestId = 7
export const cancellation = {
  jsonrpc: "2.0",
  method: "notifications/cancelled",
  params: { requestId, reason: "Enough" }
}

export const scenarios: ReadonlyArray<Scenario> = [
  {
    label: "all that can be said, in its order (S-P12, S-G3)",
    actions: [
      progress(1, { total: 3, message: "one" }),
      log("info", { a: [1, null, "x"] }, "me"),
      consent,
      progress(2),
      sample(),
      log("error", "text"),
      roots,
      page,
      progress(2.5)
    ],
    hears: [
      "notifications/progress",
      "notifications/message",
      "elicitation/create",
      "notifications/progress",
      "sampling/createMessage",
      "notifications/message",
      "roots/list",
      "elicitation/create",
      "notifications/progress"
    ]
  },
  { label: "nothing", actions: [], hears: [] },

  { label: "progress under a number (S-G1)", actions: [progress(1, { token: 0 })], progressToken: 0 },
  { label: "progress that nobody asked for (S-G1)", actions: [progress(1)], progressToken: null },
  { label: "progress of another token (S-G1)", actions: [progress(1, { token: 1 })], progressToken: "1" },
  {
    label: "progress that does not increase (S-G2)",
    actions: [-1, 0, 0, 5, 4, 5.5].map((value) => progress(value)),
    hears: Array.from({ length: 6 }, () => "notifications/progress")
  },

  {
    label: "log messages of all levels where none is set (S-LG2)",
    actions: levels.map((level) => log(level, level)),
    hears: Array.from({ length: 7 }, () => "notifications/message")
  },
  ...levels.map((level): Scenario => ({
    label: `log messages from ${level} (S-LG2)`,
    actions: levels.map((level) => log(level, level)),
    before: [message(1, "logging/setLevel", { level })]
  })),
  {
    label: "log messages after the level was set twice, and not at all",
    actions: levels.map((level) => log(level, level)),
    before: [
      message(1, "logging/setLevel", { level: "emergency" }),
      message(2, "logging/setLevel", { level: "error" }),
      message(3, "logging/setLevel", { level: "loud" })
    ]
  },
  { label: "log messages with any data", actions: [null, true, 1.5, "", [], {}].map((data) => log("info", data)) },

  ...["accept", "decline", "cancel"].map((action): Scenario => ({
    label: `a form: ${action} (S-E4)`,
    actions: [note],
    client: always({ result: action === "accept" ? { action, content: { note: "x" } } : { action } }),
    hears: ["elicitation/create"]
  })),
  { label: "a form: accepted without content", actions: [note], client: always({ result: { action: "accept" } }) },
  { label: "a form: something else than was asked (S-E5)", actions: [consent], client: always(accept({ ok: 1 })) },
  { label: "a form: more than was asked", actions: [consent], client: always(accept({ ok: false, more: "x" })) },
  { label: "a form: an error", actions: [consent], client: always(refuse) },
  {
    label: "fields of all types (S-E2)",
    actions: [form({
      name: { type: "string", title: "Name", description: "Yours", minLength: 1, maxLength: 9 },
      mail: { type: "string", format: "email" },
      size: { type: "number", minimum: 0.5 },
      age: { type: "integer", maximum: 150 },
      ok: { type: "boolean", default: true }
    }, ["name"])],
    client: always(accept({ name: "Ada", mail: "a@example.org", size: 1.5, age: 36, ok: false })),
    hears: ["elicitation/create"]
  },
  ...["accept", "decline", "cancel"].map((action): Scenario => ({
    label: `a call that ends with its form: ${action} (S-E4)`,
    actions: [demand, log("info", "after")],
    client: always(action === "accept" ? accept({ ok: true }) : { result: { action } })
  })),
  { label: "a call that ends with an answer that it cannot use (S-E5)", actions: [demand], client: always(accept({})) },
  { label: "a call that ends with the client's error", actions: [demand], client: always(refuse) },
  { label: "a call that ends because it cannot ask", actions: [demand], capabilities: {} },
  { label: "a call that dies in the middle", actions: [progress(1), roots, { _tag: "Die" }, progress(2)] },

  { label: "a page: consent", actions: [page], client: always({ result: { action: "accept" } }) },
  { label: "a page: decline", actions: [page], client: always({ result: { action: "decline" } }) },

  {
    label: "sampling with all that can be asked",
    actions: [sample({
      systemPrompt: "Be funny",
      temperature: 0.5,
      stopSequences: ["."],
      modelPreferences: { hints: [{ name: "m" }], costPriority: 1 },
      metadata: { a: 1 },
      includeContext: "none"
    })],
    hears: ["sampling/createMessage"]
  },
  {
    label: "sampling with tools (S-A1)",
    actions: [sample({ tools: [tool], toolChoice: { mode: "auto" } })],
    client: always({
      result: { ...joke, stopReason: "toolUse", content: [{ type: "tool_use", id: "t", name: "dice", input: {} }] }
    })
  },
  {
    label: "sampling of an image",
    actions: [sample()],
    client: always({ result: { ...joke, content: { type: "image", data: "AQID", mimeType: "image/png" } } })
  },
  { label: "sampling that the user refuses (S-A3)", actions: [sample()], client: always(refuse) },
  { label: "roots that the client refuses", actions: [roots], client: always(refuse) },
  { label: "no roots", actions: [roots], client: always({ result: { roots: [] } }) },

  ...Object.entries({
    "without capabilities (S-L4)": {},
    "with forms only (S-E1)": { elicitation: {} },
    "with pages only (S-E1)": { elicitation: { url: {} } },
    "with plain sampling (S-A1)": { sampling: {} }
  }).map(([label, capabilities]): Scenario => ({
    label: `a client ${label}`,
    actions: [consent, page, sample(), sample({ tools: [tool] }), sample({ includeContext: "thisServer" }), roots],
    capabilities
  })),

  {
    label: "questions at the same time, answered last first",
    actions: [together(sample(), roots), log("info", "after")],
    client: { answer: willing, hold: 2 },
    hears: ["sampling/createMessage", "roots/list", "notifications/message"]
  },
  {
    label: "a client that cancels its call: the question is withdrawn, and no answer comes (S-C1, S-C4, S-C6)",
    actions: [log("info", "before"), roots, log("info", "never")],
    client: { say: (heard) => heard.method === "roots/list" ? cancellation : undefined },
    hears: ["notifications/message", "roots/list", "notifications/cancelled"]
  },
  {
    label: "a client that ends the session (S-S8)",
    actions: [log("info", "before"), roots, log("info", "never")],
    client: { say: (heard) => heard.method === "roots/list" ? "DELETE" : undefined },
    hears: ["notifications/message", "roots/list", "notifications/cancelled"]
  },
  {
    label: "a client that cancels another call (S-C2)",
    actions: [roots],
    client: {
      answer: willing,
      say: (heard) =>
        heard.method === "roots/list" ? { ...cancellation, params: { requestId: String(requestId) } } : undefined
    }
  }
]

// -----------------------------------------------------------------------------
// what random conversations are made of
// -----------------------------------------------------------------------------

export const anyActions: ReadonlyArray<Action> = [
  ...[-1, 0, 1, 2, 3, 4.5].map((value) => progress(value, { total: 5 })),
  progress(9, { token: "other" }),
  ...levels.map((level) => log(level, [level], "any")),
  consent,
  demand,
  { _tag: "Die" },
  note,
  page,
  form({ age: { type: "integer" }, name: { type: "string", title: "Name" } }, ["age"]),
  sample(),
  sample({ tools: [tool] }),
  sample({ includeContext: "allServers" }),
  roots,
  together(roots, sample())
]

export const anyReplies: ReadonlyArray<(question: Message) => Reply> = [
  willing,
  willing,
  () => refuse,
  (question) => question.method === "elicitation/create" ? accept({ note: "x", age: 1 }) : willing(question),
  (question) => question.method === "elicitation/create" ? { result: { action: "decline" } } : refuse,
  (question) => question.method === "elicitation/create" ? { result: { action: "cancel" } } : willing(question)
]
