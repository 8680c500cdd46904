/**
 * Whatever the client was told holds after a crash: at every operation on the
 * store, with any number of its writes applied (7.2).
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { McpServer } from "effect/ai"
import * as Facts from "../../src/session/Facts.ts"
import { anonymous, Sessions } from "../../src/session/Sessions.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { everyCrash, Faults } from "../session/harness.ts"
import {
  call,
  get,
  initializeRequest,
  notification,
  outline,
  post,
  process,
  readAll,
  readNow,
  remove,
  request,
  World
} from "./era.ts"

/** What the client has heard. */
interface Heard {
  session?: string
  initialized?: boolean
  level?: boolean
  subscribed?: boolean
  rootsChanged?: boolean
  answer?: unknown
  updates: number
  deleting?: boolean
  deleted?: boolean
}

const updated = McpServer.McpServer.use((server) =>
  server.notifications["notifications/resources/updated"]({ uri: "file://a" })
)

const script = Effect.fnUntraced(function*(heard: Heard) {
  const opened = yield* post({}, initializeRequest("2025-11-25"))
  assert(opened._tag === "Json")
  heard.session = opened.headers!["mcp-session-id"]!
  const headers = { "mcp-session-id": heard.session }
  yield* post(headers, notification("notifications/initialized"))
  heard.initialized = true
  yield* post(headers, request(1, "logging/setLevel", { level: "error" }))
  heard.level = true
  yield* post(headers, request(2, "resources/subscribe", { uri: "file://a" }))
  heard.subscribed = true
  yield* post(headers, notification("notifications/roots/list_changed"))
  heard.rootsChanged = true
  heard.answer = yield* readAll(yield* post(headers, call(3, "echo", { text: "a" })))
  yield* updated
  heard.updates += (yield* readNow(yield* get(headers))).length
  yield* post(headers, call(4, "wait"))
  heard.deleting = true
  yield* remove(headers)
  heard.deleted = true
})

const check = Effect.fnUntraced(function*(heard: Heard, where: string) {
  if (heard.session === undefined) return
  const sessions = yield* Sessions
  const headers = { "mcp-session-id": heard.session }
  const pong = outline(yield* post(headers, request("p", "ping")))
  const gone = [404, -32600, "p"]
  if (heard.deleted === true) assert.deepStrictEqual(pong, gone, where)
  if (heard.deleting !== true) assert.deepStrictEqual(pong, [200, { jsonrpc: "2.0", id: "p", result: {} }], where)
  if ((yield* sessions.find(heard.session, anonymous)) === undefined) {
    // The call that was open when it ended is cancelled, by whom it may be.
    const store = yield* Store
    while ((yield* Stream.runHead(store.list({})))._tag === "Some") yield* Effect.yieldNow
    return
  }
  const fact = (name: string) => sessions.fact(heard.session!, name)
  if (heard.initialized === true) assert.strictEqual(yield* fact(Facts.initialized), "true", where)
  if (heard.level === true) assert.strictEqual(yield* fact(Facts.logLevel), "\"error\"", where)
  if (heard.subscribed === true) assert.strictEqual(yield* fact(Facts.subscriptions), "[\"file://a\"]", where)
  if (heard.rootsChanged === true) assert.strictEqual(yield* fact(Facts.rootsGeneration), "1", where)
  if (heard.answer !== undefined) {
    const again = yield* readAll(yield* post(headers, call(3, "echo", { text: "a" })))
    assert.deepStrictEqual(again, heard.answer, where)
    assert.deepStrictEqual((yield* World).ran, [], where)
  }
})

describe("a crash at any operation on the store", () => {
  it.effect("takes back nothing that the client was told (D-0, D-1)", () =>
    Effect.gen(function*() {
      const crashes = yield* everyCrash(Effect.fnUntraced(function*(nth, applied) {
        const disk = MemoryStore.makeDisk()
        const heard: Heard = { updates: 0 }
        const operation = yield* Effect.gen(function*() {
          const faults = yield* Faults
          // those of the program's start are not the script's
          faults.dieAt(nth, applied)
          yield* Effect.exit(Effect.raceFirst(script(heard), faults.died))
          return faults.diedAt()
        }).pipe(Effect.provide(process({ disk })))
        if (operation === undefined) {
          assert.isTrue(heard.deleted)
          assert.strictEqual(heard.updates, 1)
          return undefined
        }
        yield* check(heard, `crash at operation ${nth} (${operation.what}) after ${applied} writes`).pipe(
          Effect.provide(process({ disk }))
        )
        return operation
      }))
      assert.isAtLeast(crashes, 45)
    }))
})
