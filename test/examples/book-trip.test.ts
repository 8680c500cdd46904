import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"

const demo = fileURLToPath(new URL("../../examples/book-trip/demo.ts", import.meta.url))

describe("book-trip", () => {
  it.live("the demo keeps its promises over three kills", () =>
    Effect.gen(function*() {
      const handle = yield* ChildProcess.make(
        process.execPath,
        ["--conditions=effect-durable-mcp", demo, "--kills", "3", "--seed", "2"],
        { killSignal: "SIGKILL" }
      )
      const output = yield* handle.all.pipe(Stream.decodeText(), Stream.mkString)
      assert.strictEqual(yield* handle.exitCode, 0, output)
      assert.match(
        output,
        /kills 3 · attempts \d+ · effects \d · duplicate effects 0 · questions asked 1 · events lost 0 · events doubled 0/
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 120_000)
})
