/**
 * What a stranger gets from an embedded Reboot: somebody on another machine, in
 * another account of this one, or in this account but without the secret.
 */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { installation } from "../../src/reboot/internal/installation.ts"
import { startProgram } from "../store/sqlite/StoreProcess.ts"
import * as StateDirectory from "./embedded/StateDirectory.ts"
import { describeWithReboot } from "./installed.ts"

interface Line {
  readonly pid?: number
  readonly ports?: ReadonlyArray<string>
  readonly reason?: string
}

const child = (...args: ReadonlyArray<string>) =>
  startProgram<Line>(new URL("embedded/child.ts", import.meta.url), args)

/** Of the database, of the planner of servers, of the server. */
const socketsOf = (directory: string): ReadonlyArray<string> => {
  const folder = Path.join(directory, "sockets")
  return Fs.readdirSync(folder).map((name) => Path.join(folder, name))
}

/** Answers of a gRPC server to one who claims to be inside the application, by method and metadata. */
const askedByStranger = (socket: string, name: string, state: string) =>
  Effect.gen(function*() {
    const { environment, venv } = yield* installation()
    const program = fileURLToPath(new URL("embedded/stranger.py", import.meta.url))
    return yield* Effect.callback<Record<string, string>>((resume) => {
      ChildProcess.execFile(
        Path.join(venv, "bin", "python"),
        [program, socket, name, state],
        { env: { ...process.env, ...environment }, timeout: 40_000 },
        (error, stdout, stderr) =>
          resume(
            error === null ? Effect.sync(() => JSON.parse(stdout)) : Effect.die(new Error(stderr, { cause: error }))
          )
      )
    })
  })

const slow = 60_000

describeWithReboot("a stranger at an embedded Reboot", () => {
  it.live("finds no open port", () =>
    Effect.gen(function*() {
      const process = yield* child("ports", yield* StateDirectory.make)
      yield* process.next
      assert.deepStrictEqual((yield* process.next).ports, [])
    }), slow)

  it.live("cannot open its sockets from another account, nor read its files", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      Fs.chmodSync(directory, 0o711)
      const state = Path.join(directory, "state")
      const process = yield* child("step", state)
      yield* process.next
      yield* process.next
      for (const folder of [state, Path.join(state, "p000000"), Path.join(state, "sockets")]) {
        assert.strictEqual(Fs.statSync(folder).mode & 0o777, 0o700, folder)
      }
      const sockets = socketsOf(state)
      assert.lengthOf(sockets, 3)
      for (const socket of sockets) {
        const stranger = yield* child("connect", socket)
        assert.strictEqual((yield* stranger.next).reason, globalThis.process.getuid?.() === 0 ? "EACCES" : "connected")
      }
    }), slow)

  it.live("is asked for the secret, whatever he says who he is", () =>
    Effect.gen(function*() {
      const directory = yield* StateDirectory.make
      const process = yield* child("step", directory)
      yield* process.next
      assert.strictEqual((yield* process.next).reason, undefined)
      let served = 0
      for (const socket of socketsOf(directory)) {
        const answers = yield* askedByStranger(socket, "child", "execution")
        for (const [method, answer] of Object.entries(answers)) {
          assert.notStrictEqual(answer, "answered", `${method} at ${socket}`)
        }
        if (Object.values(answers).some((answer) => answer.startsWith("PERMISSION_DENIED"))) served++
      }
      assert.strictEqual(served, 1, "one of the sockets serves states")
    }), slow)
})
