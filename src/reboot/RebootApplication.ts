/**
 * A Reboot application that hosts handlers, for MCP servers that run elsewhere:
 * several of them, on any machine, serve the same sessions (`RebootStore.layerClient`).
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import type * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { Store } from "../store/Store.ts"
import { StoreError } from "../store/StoreError.ts"
import * as Generated from "./internal/generated.ts"
import * as Host from "./internal/host.ts"
import * as Installation from "./internal/installation.ts"
import { failed } from "./internal/limits.ts"
import { flushPath } from "./internal/remote.ts"
import * as Rpc from "./internal/rpc.ts"
import * as ServedPatches from "./internal/servedPatches.ts"
import * as RebootBackend from "./internal/store.ts"
import * as Supervision from "./internal/supervision.ts"
import * as Wakeups from "./internal/wakeups.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options<A, E, R> {
  /**
   * What fronts must show, and server processes show each other: 32 characters or
   * more. Whoever has it reads and writes everything.
   */
  readonly secret: Redacted.Redacted<string>
  /** `DurableMcp.layerHost` with what its handlers need. Built in each server process. */
  readonly handlers: Layer.Layer<A, E, R>
  /** The address on which Envoy listens. Default 127.0.0.1; behind TLS and a firewall, 0.0.0.0. */
  readonly host?: string | undefined
  /**
   * The folder whose `node_modules` holds Reboot. Default: that of the environment
   * variable `EFFECT_DURABLE_MCP_REBOOT`; else where `npm run reboot:setup` puts it.
   */
  readonly reboot?: string | undefined
  /** Largest payload, event, exit or value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
  /** For one attempt to read or write a state. Default 10 s. */
  readonly callTimeout?: Duration.Input | undefined
}

/**
 * The main program of a Reboot application, for `rbt dev run` and
 * `rbt serve run --servers=2`: does not return.
 *
 * **Details**
 *
 * Reboot starts the program once as the parent of all, with database and Envoy,
 * and once for each server. Handlers run in the servers, each call in the one
 * where its state lives. When any of these processes ends, or Envoy, all end:
 * start the application again, and what ran goes on. SIGTERM and SIGINT end it in
 * order: running steps finish, the rest goes on with the next start.
 *
 * **Gotchas**
 *
 * Everything listens on 127.0.0.1, Envoy's port too unless `host` says otherwise.
 *
 * **Example**
 *
 * ```ts
 * NodeRuntime.runMain(RebootApplication.run({
 *   secret: Redacted.make(process.env.SECRET!),
 *   handlers: DurableMcp.layerHost({ name: "trips", version: "1.0.0", registrations: TripsLive })
 * }))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const run = <A, E, R>(
  options: Options<A, E, R>
): Effect.Effect<never, StoreError | E, Exclude<R, Store>> =>
  Effect.scoped(Effect.gen(function*() {
    if (Redacted.value(options.secret).length < shortestSecret) {
      return yield* misconfigured(`The secret must have ${shortestSecret} characters or more.`)
    }
    if (process.env["RBT_SERVE"] !== "true" && process.env["RBT_DEV"] !== "true") {
      return yield* misconfigured("A Reboot application is started by `rbt dev run` or `rbt serve run`.")
    }
    return yield* isServer() ? server(options) : parent(options)
  }))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const shortestSecret = 32

/** For servers to drain; see `Limits.DrainTimeout`. */
const stopTimeout: Duration.Input = "20 seconds"

/** A server process that does not answer takes the others along: nobody waits for it longer, least of all at the end. */
const outageTimeout: Duration.Input = "3 seconds"

const misconfigured = (message: string): StoreError => new StoreError({ reason: "Io", message })

const isServer = (): boolean => process.env["REBOOT_NODEJS_SERVER"] === "true"

/** Reboot, loaded in a process that is all its own. */
const load = Effect.fnUntraced(function*(options: Pick<Options<never, never, never>, "reboot">) {
  const found = yield* Installation.installation({ reboot: options.reboot })
  Object.assign(process.env, found.environment)
  return yield* Effect.tryPromise({ try: () => Generated.load(found), catch: notStarted })
})

const notStarted = (cause: unknown): StoreError =>
  failed({ what: "start", advice: "Run npm run reboot:setup again if Reboot was moved or changed." }, cause)

const patched = <A>(patch: () => A): Effect.Effect<A, StoreError> => Effect.try({ try: patch, catch: notStarted })

const parent = <A, E, R>(options: Options<A, E, R>): Effect.Effect<never, StoreError, Scope.Scope> =>
  Effect.gen(function*() {
    const sockets = yield* socketFolder
    // Of all this ends first: the servers still need the database.
    const serverEnded = yield* Supervision.servers(stopTimeout)
    const { RBT_STATE_DIRECTORY: stateDirectory } = process.env
    if (stateDirectory !== undefined) {
      // Reboot's database is opened from another working directory.
      process.env["RBT_STATE_DIRECTORY"] = Path.resolve(stateDirectory)
    }
    const loaded = yield* load(options)
    yield* patched(() => ServedPatches.applyToParent(loaded, { sockets, host: options.host ?? "127.0.0.1" }))
    const { servicers } = Host.make({
      loaded,
      secret: Redacted.value(options.secret),
      boot: "",
      onWritten: () => {}
    })
    // The routes of the servers, which Envoy is told of here.
    return yield* Effect.raceFirst(running(new loaded.library.Application({ servicers })), serverEnded)
  })

const server = <A, E, R>(
  options: Options<A, E, R>
): Effect.Effect<never, StoreError | E, Scope.Scope | Exclude<R, Store>> =>
  Effect.gen(function*() {
    Supervision.endWithParent()
    const secret = Redacted.value(options.secret)
    const boot = Crypto.randomUUID()
    const loaded = yield* load(options)
    const { durable, envoy } = yield* patched(() => ServedPatches.applyToServer(loaded))
    const hub = yield* Effect.acquireRelease(Effect.sync(Wakeups.hub), (hub) => Effect.sync(hub.close))
    const host = Host.make({ loaded, secret, boot, onWritten: hub.publish })
    const application = new loaded.library.Application({ servicers: host.servicers })
    const runPromise = Effect.runPromiseWith(yield* Effect.context<never>())

    application.http.get(
      Wakeups.path,
      onlyWith(secret, (request, response) => {
        response.writeHead(200, { "content-type": "application/x-ndjson" })
        hub.attach(response, {
          server: String(request.headers[Rpc.serverHeader]),
          servers: Number(process.env["RBT_SERVERS"] ?? 1),
          boot
        })
      })
    )
    application.http.post(
      flushPath,
      onlyWith(secret, (_request, response) => {
        runPromise(host.flush).then(
          () => response.writeHead(200).end(),
          (cause: unknown) => response.writeHead(503).end(String(cause))
        )
      })
    )
    yield* readDurable(durable, host.durable)

    const rpc = Rpc.make({
      url: envoy,
      secret: options.secret,
      callTimeout: options.callTimeout ?? "10 seconds",
      outageTimeout
    })
    const hosting = Effect.gen(function*() {
      const others = yield* Wakeups.follow({
        url: envoy,
        secret: options.secret,
        boot,
        onNote: host.noted,
        onGap: host.missed
      })
      yield* others.connected
      const flushOthers = Effect.suspend(() =>
        Effect.forEach(others.servers(), (server) => rpc.post(flushPath, server), { discard: true })
      )
      const store = yield* RebootBackend.make(host.application(rpc, flushOthers), {
        boot,
        maxPayloadBytes: options.maxPayloadBytes
      })
      return yield* Layer.launch(Layer.provide(options.handlers, Layer.succeed(Store)(store)))
    })
    return yield* Effect.raceFirst(running(application), hosting)
  })

/** Does not return, unless Reboot fails. */
const running = (application: Generated.RebootApplication): Effect.Effect<never, StoreError> =>
  Effect.flatMap(
    Effect.tryPromise({ try: () => application.run(), catch: notStarted }),
    () => Effect.fail(misconfigured("Reboot has ended. See what it has printed."))
  )

/** Reboot hands a handler of three parameters a context of its own first. */
const onlyWith = (
  secret: string,
  handle: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
) => {
  const digest = (text: string) => Crypto.createHash("sha256").update(text).digest()
  const expected = digest(`Bearer ${secret}`)
  return (_context: unknown, request: Http.IncomingMessage, response: Http.ServerResponse): void => {
    if (Crypto.timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) {
      handle(request, response)
    } else {
      response.writeHead(401).end()
    }
  }
}

/** What Reboot writes into its end of the pipe. */
const readDurable = (
  fd: number,
  durable: Host.Host["durable"]
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const pipe = new Net.Socket({ fd, readable: true, writable: false })
      createInterface({ input: pipe }).on("line", (line) => {
        const parsed = Host.parseDurable(line)
        if (parsed !== undefined) durable(...parsed)
      })
      return pipe
    }),
    (pipe) => Effect.sync(() => pipe.destroy())
  ))

/** A folder that nobody else can enter. */
const socketFolder = Effect.acquireRelease(
  Effect.try({
    try: () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-durable-mcp-")),
    catch: notStarted
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)
