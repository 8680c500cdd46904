/** A front, and what it makes of an application that answers, restarts, refuses or is not there. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Redacted } from "effect"
import type { StateType } from "../../src/reboot/internal/Application.ts"
import * as Remote from "../../src/reboot/internal/remote.ts"
import * as RebootBackend from "../../src/reboot/internal/store.ts"
import * as FakeEnvoy from "./FakeEnvoy.ts"

const front = (url: URL, options?: { readonly secret?: string; readonly outageTimeout?: string }) =>
  Remote.make({
    url,
    secret: Redacted.make(options?.secret ?? FakeEnvoy.secret),
    callTimeout: "5 seconds",
    outageTimeout: options?.outageTimeout as "1 second" ?? "10 seconds"
  })

const session = (id: string) => ({ _tag: "OpenSession", id, principal: "p", data: "{}" }) as const
const request = (id: string) => ({ writes: [session(id)], now: 1 })

describe("a front", () => {
  it.live("writes and reads states, and takes one that was never written for empty", () =>
    Effect.gen(function*() {
      const { url } = yield* FakeEnvoy.make
      const application = yield* front(url)
      assert.strictEqual((yield* application.read("Session", "a")).version, 0)
      const { response, state } = yield* application.write("Session", "a", request("a"))
      assert.deepStrictEqual(response.outcomes, [{ _tag: "Made", fresh: true }])
      assert.isUndefined(state)
      assert.strictEqual((yield* application.read("Session", "a")).version, 1)
    }))

  it.live("is told what others write, and not what it writes itself", () =>
    Effect.gen(function*() {
      const { url } = yield* FakeEnvoy.make
      const [mine, other] = yield* Effect.all([front(url), front(url)])
      const told: Array<string> = []
      const theirs = yield* Deferred.make<void>()
      yield* mine.watch((type, id) => {
        told.push(`${type}/${id}`)
        if (id === "theirs") Deferred.doneUnsafe(theirs, Effect.void)
      })
      yield* mine.write("Session", "mine", request("mine"))
      yield* other.write("Session", "theirs", request("theirs"))
      yield* Deferred.await(theirs)
      assert.deepStrictEqual(told, ["Session/theirs"])
    }))

  it.live("reads a state once, until it hears that it has changed", () =>
    Effect.gen(function*() {
      const envoy = yield* FakeEnvoy.make
      const store = yield* Effect.flatMap(front(envoy.url), (application) => RebootBackend.make(application))
      const other = yield* Effect.flatMap(front(envoy.url), (application) => RebootBackend.make(application))
      const watch = store.watch({ _tag: "Session", id: "s" })
      yield* other.commit([session("s")])
      yield* watch.next
      yield* store.session("s")
      const reads = envoy.calls.length
      for (let i = 0; i < 10; i++) yield* store.session("s")
      assert.strictEqual(envoy.calls.length, reads)
      yield* other.commit([{ _tag: "EndSession", id: "s" }])
      yield* watch.next
      assert.strictEqual((yield* store.session("s")).valueOrUndefined?.ended, true)
      watch.close()
    }))

  it.live("waits while the application restarts, and believes nothing that it read before", () =>
    Effect.gen(function*() {
      const envoy = yield* FakeEnvoy.make
      const application = yield* front(envoy.url)
      yield* application.write("Session", "a", request("a"))
      yield* application.read("Session", "a")
      const outdated = yield* Deferred.make<readonly [StateType, string]>()
      yield* application.watch((type, id) => Deferred.doneUnsafe(outdated, Effect.succeed([type, id] as const)))
      envoy.status = 503
      envoy.breakConnections()
      const again = Effect.andThen(Effect.sleep(300), Effect.sync(() => envoy.status = undefined))
      const [state] = yield* Effect.all([application.read("Session", "a"), again], { concurrency: 2 })
      assert.strictEqual(state.version, 1)
      assert.deepStrictEqual(yield* Deferred.await(outdated), ["Session", "a"])
    }))

  it.live("says what is wrong when the application stays away", () =>
    Effect.gen(function*() {
      const envoy = yield* FakeEnvoy.make
      const application = yield* front(envoy.url, { outageTimeout: "300 millis" })
      envoy.status = 503
      const error = yield* Effect.flip(application.read("Session", "a"))
      assert.strictEqual(error.reason, "Io")
      assert.match(error.message, /could not read Session a: Envoy says "upstream connect error" \(503\)/)
    }))

  it.live("is not built where nobody answers, or where its secret is refused", () =>
    Effect.gen(function*() {
      const envoy = yield* FakeEnvoy.make
      const refused = yield* Effect.flip(front(envoy.url, { secret: "another one" }))
      assert.match(refused.message, /refused the secret/)
      const nobody = yield* Effect.flip(front(new URL("http://127.0.0.1:9"), { outageTimeout: "300 millis" }))
      assert.match(nobody.message, /No Reboot application answers at http:\/\/127\.0\.0\.1:9\. Start it first/)
    }))

  it.live("lets each server process flush", () =>
    Effect.gen(function*() {
      const envoy = yield* FakeEnvoy.make
      const application = yield* front(envoy.url)
      yield* application.flush
      assert.deepStrictEqual(envoy.flushed.toSorted(), ["app-c000000", "app-c000001"])
    }))
})
