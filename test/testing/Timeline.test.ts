/**
 * A timeline is read when something is wrong: it must be whole, say who died of
 * what, and never be more than text, whatever a server said.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Durable, DurableMcp } from "effect-durable-mcp"
import { CrashTest, Timeline, World } from "effect-durable-mcp/testing"
import { Tool, Toolkit } from "effect/ai"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"

const entry = (at: number, process: number, lane: Timeline.Lane, text: string): Timeline.Entry => ({
  at,
  process,
  lane,
  text
})

const booking: Timeline.Timeline = [
  entry(0, 1, "process", "starts"),
  entry(0, 1, "store", "1 read drive"),
  entry(0, 1, "store", "2 commit OpenSession"),
  entry(1000, 1, "step", "charge begins"),
  entry(1000, 1, "world", "charge"),
  entry(1000, 1, "fault", "cut@3"),
  entry(1000, 1, "store", "3 commit RecordStep charge"),
  entry(1000, 1, "fault", "crash@4/1"),
  entry(1100, 2, "process", "starts"),
  entry(1100, 2, "world", "charge"),
  entry(1100, 2, "violation", "charge took place twice:\n  once by process 1"),
  entry(600_000, 2, "client", "call 1 gets 1:1 {\"jsonrpc\":\"2.0\",\"id\":1}"),
  entry(600_000, 3, "process", "starts"),
  entry(600_000, 2, "store", "9 read session")
]

describe("Timeline.toText", () => {
  it("separates processes and says what the one before died of", () => {
    const lines = Timeline.toText(booking).split("\n")
    assert.deepStrictEqual(lines.filter((line) => line.startsWith("-- ")).map((line) => line.replace(/ -+$/, "")), [
      "-- process 1",
      "-- process 2, after crash@4/1",
      "-- process 3, after the one before was stopped",
      "-- process 2 goes on"
    ])
  })

  it("marks faults, with their meaning, and violations", () => {
    const lines = Timeline.toText(booking).split("\n")
    assert.deepStrictEqual(lines.filter((line) => line.startsWith("**")), [
      "**      1.000s  fault      cut@3: all connections are cut at this operation",
      "**      1.000s  fault      crash@4/1: the process dies at this operation, with 1 of its writes applied"
    ])
    const at = lines.findIndex((line) => line.startsWith(">>"))
    assert.strictEqual(lines[at], ">>      1.100s  violation  charge took place twice:")
    assert.strictEqual(lines[at + 1], "                            once by process 1")
  })

  it("of a part begins with the process in which the part begins", () => {
    assert.match(Timeline.toText(booking.slice(9)), /^-- process 2 -+\n/)
  })

  it("of nothing is nothing", () => {
    assert.strictEqual(Timeline.toText([]), "")
  })
})

/** Names of elements that are open, in order; fails where one is closed that was not opened last. */
const elementsOf = (html: string): ReadonlyArray<string> => {
  const open: Array<string> = []
  const all: Array<string> = []
  for (const [tag, closing, name = "", rest = ""] of html.matchAll(/<(\/?)([a-zA-Z][\w-]*)((?:[^<>"]|"[^"<>]*")*)>/g)) {
    if (closing === "/") {
      assert.strictEqual(name, open.pop(), `before ${html.slice(html.indexOf(tag), 80)}`)
      continue
    }
    all.push(name)
    if (name !== "meta" && !rest.endsWith("/")) {
      open.push(name)
    }
  }
  assert.deepStrictEqual(open, [])
  return all
}

describe("Timeline.toHtml", () => {
  it("holds every entry in full, and the text", () => {
    const html = Timeline.toHtml(booking, { token: "cut@3,crash@4/1", violations: ["charge took place 2 times"] })
    elementsOf(html)
    assert.include(html, "call 1 gets 1:1 {&quot;jsonrpc&quot;:&quot;2.0&quot;,&quot;id&quot;:1}</title>")
    assert.include(html, "<li>charge took place 2 times</li>")
    assert.include(html, "CrashTest.replay(options, &quot;cut@3,crash@4/1&quot;)")
    assert.include(html, "-- process 2, after crash@4/1")
    assert.strictEqual(html.split("class=\"death\"").length - 1, 1)
    assert.strictEqual(html.split("class=\"violation-row\"").length - 1, 1)
    // a second and ten minutes; 100 ms is none
    assert.strictEqual(html.split("class=\"gap\"").length - 1, 2)
  })

  it("loads nothing and runs nothing", () => {
    const elements = new Set(elementsOf(Timeline.toHtml(booking, { title: "A run" })))
    const known = "body circle details div g h1 head html li line meta p pre rect span style summary svg text title ul"
    assert.deepStrictEqual([...elements].toSorted(), known.split(" "))
    assert.notMatch(Timeline.toHtml(booking), /(src|href|url)\s*[=(]/)
  })

  it.prop(
    "takes whatever a server says as text",
    { text: Schema.String, title: Schema.String },
    ({ text, title }) => {
      const nasty = `</text></svg><script>alert("${text}")</script><img src=x onerror='x'>\u0000\ud800${text}`
      const timeline = (["client", "violation", "fault", "world", "process"] as const).map((lane) =>
        entry(0, 1, lane, nasty)
      )
      const html = Timeline.toHtml(timeline, { title: `${title}${nasty}`, token: nasty, violations: [nasty] })
      const elements = elementsOf(html)
      assert.notInclude(elements, "script")
      assert.notInclude(elements, "img")
      assert.isTrue(html.isWellFormed())
      assert.notInclude(html, "\u0000")
    }
  )

  it("is drawn for nothing and for five hundred entries", () => {
    elementsOf(Timeline.toHtml([]))
    const many = Array.from(
      { length: 500 },
      (_, i) => entry(i * i, 1 + Math.floor(i / 90), i % 3 === 0 ? "store" : "client", `${i} commit ${"x".repeat(i)}`)
    )
    const html = Timeline.toHtml(many)
    elementsOf(html)
    assert.strictEqual(html.split("<circle").length - 1, 500)
  })

  it("is the same for the same timeline", () => {
    assert.strictEqual(Timeline.toHtml(booking), Timeline.toHtml(booking))
  })
})

const Pay = Toolkit.make(Tool.make("pay", { success: Schema.String }))

/** Charges twice when it is cut off, since the bank is not told the key. */
const careless = CrashTest.define({
  registrations: DurableMcp.toolkit(Pay).pipe(Layer.provide(Pay.toLayer(Effect.map(World.World, (world) =>
    Pay.of({
      pay: () => Durable.step("charge", () => Effect.as(world.effect("charge"), "paid"))
    }))))),
  script: (client) => client.callTool("pay"),
  expect: { exactlyOnce: ["charge"] }
})

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-durable-mcp-timeline-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

describe("Options.timeline", () => {
  it.effect("is a file for the run that failed, and the failure names it", () =>
    Effect.gen(function*() {
      const timeline = join(yield* folder, "below", "charge.html")
      const error = yield* Effect.flip(CrashTest.exhaustive({ ...careless, timeline }))
      assert.include(error.message, `Drawn in ${timeline}`)
      const html = readFileSync(timeline, "utf8")
      elementsOf(html)
      assert.strictEqual(
        html,
        Timeline.toHtml(error.timeline, { token: error.token, violations: error.violations })
      )
    }))

  it.effect("that cannot be written does not hide the failure", () =>
    Effect.gen(function*() {
      const timeline = yield* folder
      const error = yield* Effect.flip(CrashTest.exhaustive({ ...careless, timeline }))
      assert.include(error.message, `Not drawn in ${timeline}: EISDIR`)
      assert.include(error.message, "charge took place 2 times")
    }))

  it.effect("is not needed for a message that says what happened, once", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(CrashTest.exhaustive(careless))
      assert.isTrue(error.message.startsWith(`Schedule ${error.token} (`), error.message)
      assert.include(error.message, Timeline.toText(error.timeline))
      // as a test runner shows an error
      for (const violation of error.violations) {
        assert.strictEqual(inspect(error).split(violation).length - 1, 1)
      }
    }))
})
