/**
 * The server of the kill-point matrix: a tool for each kind of promise that a
 * crash could break. What its tools do outside goes through `World`, so the same
 * registrations run in the kit's simulation and in a process of their own.
 */
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { McpServer, Tool, Toolkit } from "effect/ai"
import { World } from "../../src/testing/World.ts"

/**
 * What is deployed:
 *
 * - `first`
 * - `second`: one tool more, and `report` says something else.
 * - `bare`: without resources.
 */
export type Release = "first" | "second" | "bare"

const Report = Schema.Struct({ release: Schema.String })

const Tools = Toolkit.make(
  Tool.make("charge", { success: Schema.String }),
  Tool.make("hesitate", { success: Schema.String }),
  Tool.make("mail", { success: Schema.String }),
  Tool.make("post", { success: Schema.String, failure: Durable.StepInterrupted }),
  Tool.make("walk", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.String }),
  Tool.make("ask", { success: Schema.String }),
  Tool.make("patient", { success: Schema.String }),
  Tool.make("talk", { success: Schema.String }),
  Tool.make("roots", { success: Schema.String }),
  Tool.make("touch", { success: Schema.String }),
  Tool.make("report", { success: Report })
)

/** The URI to subscribe to. */
export const watched = "test://watched"

/** How long `hesitate` does nothing at first. */
export const hesitation = "300 millis"

const handlers = (release: Release) =>
  Tools.toLayer(Effect.gen(function*() {
    const { effect } = yield* World
    const server = yield* McpServer.McpServer
    const keyed = (name: string) => Durable.step(name, ({ key }) => Effect.as(effect(name, { key }), name))
    /** Mail cannot be unsent, and its service knows no keys. */
    const mail = Durable.step("mail", () => Effect.as(effect("mail"), "sent"), { atMostOnce: true })
    return Tools.of({
      charge: () => keyed("charge"),
      hesitate: () => Effect.andThen(Effect.sleep(hesitation), keyed("charge")),
      mail: () => Effect.catchTag(mail, "StepInterrupted", () => Effect.succeed("unknown")),
      post: () => mail,
      walk: Effect.fnUntraced(function*({ n }) {
        for (let i = 1; i <= n; i++) {
          yield* keyed(`step ${i}`)
          yield* Durable.progress({ progress: i, total: n })
        }
        return `walked ${n}`
      }),
      ask: Effect.fnUntraced(function*() {
        const answer = yield* Durable.elicit("people", {
          message: "How many people?",
          schema: Schema.Struct({ people: Schema.Int })
        })
        const people = answer._tag === "Accepted" ? answer.content.people : answer._tag
        yield* keyed("book")
        return `booked for ${people}`
      }),
      patient: Effect.fnUntraced(function*() {
        yield* Durable.step("seat", ({ key }) => Effect.as(effect("seat", { key }), "seat"), {
          compensate: (_seat, _cause, { key }) => Effect.asVoid(effect("undo seat", { key }))
        })
        yield* Durable.progress({ progress: 1, total: 2 })
        yield* Durable.sleep("patience", "1 hour")
        return yield* keyed("late")
      }),
      talk: Effect.fnUntraced(function*() {
        yield* Durable.log("quiet", { level: "debug" })
        yield* Durable.log("loud", { level: "error" })
        return "said"
      }),
      roots: () => Effect.orDie(Effect.map(Durable.roots, (roots) => roots.map(({ uri }) => uri).join())),
      touch: () => Effect.as(server.notifications["notifications/resources/updated"]({ uri: watched }), "touched"),
      report: () => Effect.succeed({ release })
    })
  }))

const resource = McpServer.resource({ uri: watched, name: "Watched", content: Effect.succeed("text") })

const More = Toolkit.make(Tool.make("more", { success: Schema.String }))
const more = DurableMcp.toolkit(More).pipe(Layer.provide(More.toLayer({ more: () => Effect.succeed("more") })))

/** What this release offers. */
export const registrations = (release: Release = "first") => {
  const tools = DurableMcp.toolkit(Tools).pipe(Layer.provide(handlers(release)))
  switch (release) {
    case "first":
      return Layer.merge(tools, resource)
    case "second":
      return Layer.mergeAll(tools, resource, more)
    case "bare":
      return tools
  }
}
