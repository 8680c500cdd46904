import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as stateId from "../../src/reboot/internal/stateId.ts"
import * as streamToken from "../../src/reboot/internal/streamToken.ts"

/** Ids that look alike, and like what is made of ids. */
const Id = Schema.Union([
  Schema.Literals(["a", "~a", "a~b", "b", "~", ".", "a_b", "1_a", "1-YQ", "ключ", "😀", "a:b", "a/b", "a\\b", "YQ"]),
  Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(200)),
  Schema.Literals([60, 64, 65, 128, 1_024]).pipe(Schema.check(Schema.isGreaterThan(0)))
])
const idOf = (id: string | number): string => typeof id === "number" ? "x".repeat(id) : id

describe("stateId", () => {
  it.prop(
    "every id has a legal one, and no two have the same",
    { a: Id, b: Id, in: Schema.Literals(["", "n", "a", "a.b", "n".repeat(32)]), inB: Schema.Literals(["", "n", "a"]) },
    ({ a: anA, b: aB, in: nA, inB: nB }) => {
      const [a, b] = [idOf(anA), idOf(aB)]
      const [idA, idB] = [stateId.make(a, nA), stateId.make(b, nB)]
      assert.match(idA, /^[A-Za-z0-9._~-]{1,128}$/)
      assert.isTrue(stateId.isStateId(idA))
      assert.strictEqual(idA === idB, a === b && nA === nB)
    },
    { arbitrary: { runs: 2_000 } }
  )

  it("an id that is legal stays as it is", () => {
    assert.strictEqual(stateId.make("AbC-123_x.y"), "AbC-123_x.y")
    assert.strictEqual(stateId.make("AbC", "test"), "test~AbC")
    assert.strictEqual(stateId.make("a:b").length, 44)
  })

  it("knows what is no state's id, and no namespace", () => {
    for (const id of ["", "a:b", "a/b", "a\\b", "a b", "ü", "x".repeat(129), "a~b~c"]) {
      assert.isFalse(stateId.isStateId(id), id)
    }
    assert.deepStrictEqual(["", "a", "a~b", "x".repeat(33)].map(stateId.isNamespace), [true, true, false, false])
  })
})

describe("streamToken", () => {
  it.prop(
    "a token holds its id",
    { a: Id, nonce: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4_294_967_295 })) },
    ({ a, nonce }) => {
      const id = idOf(a).toWellFormed()
      const token = streamToken.make({ id, nonce })
      assert.match(token, /^[A-Za-z0-9_-]+$/)
      assert.deepStrictEqual(streamToken.parse(token), { id, nonce })
    },
    { arbitrary: { runs: 2_000 } }
  )

  it("what is no token is none, and a token has one spelling", () => {
    for (const text of ["", "a", "1", "_a", "1_", "1-", "01_a", "1_ü", "A_a", "1-YR", "1-YQ", "1:2", "1_a:2"]) {
      assert.isUndefined(streamToken.parse(text), text)
    }
    assert.deepStrictEqual(streamToken.parse("1_a"), { id: "a", nonce: 1 })
    assert.deepStrictEqual(streamToken.parse("z-w7w"), { id: "ü", nonce: 35 })
  })
})
