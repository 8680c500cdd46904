import { assert, describe, it } from "@effect/vitest"
import * as routes from "../../src/reboot/internal/routes.ts"
import type { Write } from "../../src/store/Store.ts"
import { StoreError } from "../../src/store/StoreError.ts"
import { append, openStream, start } from "../store/harness.ts"

describe("routes", () => {
  const groups = (writes: ReadonlyArray<Write>, maxPayloadBytes?: number) => {
    const found = routes.groupsOf(writes, maxPayloadBytes)
    return StoreError.is(found) ? found.reason : found.map(({ id, type, writes }) => `${type} ${id}: ${writes.length}`)
  }

  it("what goes to one state goes in one write", () => {
    const session: Write = { _tag: "OpenSession", id: "a", principal: "ann", data: "{}" }
    assert.deepStrictEqual(
      groups([session, openStream("a"), start("a"), append("a", "1"), append("b", "1"), { _tag: "Forget", id: "a" }]),
      ["Session a: 1", "Call a: 3", "Call b: 1", "Call a: 1"]
    )
  })

  it("a value that a state holds itself is not as large as one that goes into chunks", () => {
    const value = (bytes: number) => "x".repeat(bytes)
    const key = (bytes: number): Write => ({ _tag: "PutKey", name: "k", value: value(bytes) })
    const data = (bytes: number): Write => ({ _tag: "Append", stream: "a", key: "k", data: value(bytes) })
    const { maxInStateBytes } = routes
    assert.deepStrictEqual(groups([key(maxInStateBytes)]), [`Chunk ${routes.keyId("k")}: 1`])
    assert.strictEqual(groups([key(maxInStateBytes + 1)]), "PayloadTooLarge")
    assert.deepStrictEqual(groups([data(maxInStateBytes + 1)]), ["Call a: 1"])
    assert.strictEqual(groups([key(11)], 10), "PayloadTooLarge")
    assert.strictEqual(groups([data(11)], 10), "PayloadTooLarge")
  })
})
