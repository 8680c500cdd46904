/**
 * Every random or derived id of the program, so that tests can seed them all.
 *
 * Derived ids are base64url of the first 128 bits of an HMAC-SHA-256 (key in
 * the store) over a length-prefixed tuple. They are 22 characters of
 * `[A-Za-z0-9_-]`; `1` and `"1"` differ; users' text cannot collide; a secret
 * that goes in (a session id) does not come out.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createHmac, createSecretKey, randomBytes } from "node:crypto"
import { Store } from "../store/Store.ts"
import type { StoreError } from "../store/StoreError.ts"

/**
 * @category services
 * @since 0.1.0
 */
export class Ids extends Context.Service<Ids, {
  /** A new secret of 192 random bits, visible ASCII: a session id (S-S2, S-S3). */
  readonly secret: () => string
  /** Names this start of the process. */
  readonly boot: string
  /** The id derived from a tuple. The same tuple always gives the same id. */
  readonly derive: (...tuple: ReadonlyArray<string | number>) => string
}>()("effect-durable-mcp/session/Ids") {}

/**
 * Name under which the store keeps the HMAC key.
 *
 * @category constants
 * @since 0.1.0
 */
export const keyName = "ids/1"

const encodeTuple = (tuple: ReadonlyArray<string | number>): string => {
  let out = ""
  for (const part of tuple) {
    const text = String(part)
    out += `${typeof part === "number" ? "n" : "s"}${text.length}:${text}`
  }
  return out
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly key: Redacted.Redacted<string>
  readonly randomBytes: (size: number) => Uint8Array
}): Ids["Service"] => {
  // A key that is made once: with bytes, an id costs four times as much.
  const key = createSecretKey(Redacted.value(options.key), "base64url")
  const secret = () => Buffer.from(options.randomBytes(24)).toString("base64url")
  return {
    secret,
    boot: secret(),
    derive: (...tuple) => createHmac("sha256", key).update(encodeTuple(tuple)).digest().toString("base64url", 0, 16)
  }
}

/**
 * Ids of this machine's random source; the HMAC key is made once per store.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Ids, StoreError, Store> = Layer.effect(Ids)(layerEffect(randomBytes))

/**
 * Ids of a given random source, for tests that must repeat.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (random: (size: number) => Uint8Array): Layer.Layer<Ids, StoreError, Store> =>
  Layer.effect(Ids)(layerEffect(random))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

function layerEffect(random: (size: number) => Uint8Array): Effect.Effect<Ids["Service"], StoreError, Store> {
  return Effect.gen(function*() {
    const store = yield* Store
    const existing = yield* store.key(keyName)
    if (Option.isSome(existing)) {
      return make({ key: existing.value, randomBytes: random })
    }
    const value = Buffer.from(random(32)).toString("base64url")
    const [outcome] = yield* store.commit([{ _tag: "PutKey", name: keyName, value }])
    const stands = outcome?._tag === "Stands" ? outcome.value : value
    return make({ key: Redacted.make(stands), randomBytes: random })
  })
}
