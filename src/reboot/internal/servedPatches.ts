/**
 * What is changed in Reboot's private parts where it has several processes
 * (`rbt dev`, `rbt serve`): a parent with the database and Envoy, and a process
 * for each server. See `patches.ts`.
 *
 * As shipped all of them listen on all addresses, and the database asks for no
 * credential. Here the servers listen on loopback, where their authorizers ask
 * for the secret, and the database is a Unix socket that only this user can
 * open. Envoy's public port listens where the settings say.
 *
 * @internal
 */
import * as Http from "node:http"
import type { Loaded } from "./generated.ts"
import { checkPackage, databaseSocket, importPy, logging, python, shards, wheel } from "./patches.ts"

/** Servers and their WebSockets; who runs on another machine comes through Envoy. */
const loopback = `
import reboot.aio.react as react, reboot.controller.server_managers as managers
_set(managers, "EVERY_LOCAL_NETWORK_ADDRESS", "127.0.0.1")
_set(react, "EVERY_LOCAL_NETWORK_ADDRESS", "127.0.0.1")
`

/** The database is found by the path of its socket, which Reboot would take for a host and a port. */
const databaseClient = `
import asyncio, reboot.server.database as clients
async def make_channel(cls, target):
    limit = clients.MAX_DATABASE_GRPC_MESSAGE_LENGTH_BYTES
    channel = clients.grpc.aio.insecure_channel(
        target,
        options=clients.make_retry_channel_options(
            max_send_message_length=limit,
            max_receive_message_length=limit,
        ),
        interceptors=clients.aio_client_interceptors(),
    )
    await asyncio.wait_for(channel.channel_ready(), timeout=45)
    return channel
_set(clients.DatabaseClient, "_make_database_channel", classmethod(make_channel))
`

/** The database's socket is relative to the working directory in which Reboot is made. */
const database = (sockets: string): string => `
${databaseSocket}
import reboot.aio.reboot as base
sockets = ${python(sockets)}
construct = base.Reboot.__init__
def construct_there(self, *args, **kwargs):
    before = os.getcwd()
    os.chdir(sockets)
    try:
        construct(self, *args, **kwargs)
    finally:
        os.chdir(before)
_set(base.Reboot, "__init__", construct_there)
_set(database.DatabaseServer, "address", property(lambda self: f"unix:{sockets}/s0"))
`

/** Who has started the application is there to start it again, or the application ends. */
const starter = `
import ctypes, signal
system = ctypes.CDLL(None)
if hasattr(system, "prctl") and os.getppid() != 1:
    system.prctl(1, signal.SIGTERM)
`

/**
 * Envoy's public port on one address, and an end of the whole application with
 * Envoy: without it no server is reached, and Reboot would not notice. Envoy ends
 * with this process, however that ends, and not when a terminal or a supervisor
 * tells the whole group to end: servers that drain still need it.
 */
const envoy = (host: string): string => `
import asyncio, sys
import reboot.routing.envoy_config as config, reboot.server.executable_local_envoy as executable
listeners = config.listeners
def listeners_there(*args, **kwargs):
    made = listeners(*args, **kwargs)
    public = [listener for listener in made if listener.name == "public"]
    if len(public) != 1:
        raise Exception("Envoy has no public port")
    public[0].address.socket_address.address = ${python(host)}
    return made
_set(config, "listeners", listeners_there)
def end_with_parent():
    os.setsid()
    if hasattr(system, "prctl"):
        system.prctl(1, signal.SIGKILL)
start, stop = executable.ExecutableLocalEnvoy._start, executable.ExecutableLocalEnvoy._stop
async def start_watched(self):
    create = asyncio.create_subprocess_exec
    def create_bound(*args, **kwargs):
        return create(*args, preexec_fn=end_with_parent, **kwargs)
    asyncio.create_subprocess_exec = create_bound
    try:
        await start(self)
    finally:
        asyncio.create_subprocess_exec = create
    async def watch():
        await self._process.wait()
        print("Envoy has ended; the application ends too", file=sys.stderr, flush=True)
        os._exit(1)
    self._effect_durable_mcp_watch = asyncio.create_task(watch())
async def stop_watched(self):
    self._effect_durable_mcp_watch.cancel()
    await stop(self)
_set(executable.ExecutableLocalEnvoy, "_start", start_watched)
_set(executable.ExecutableLocalEnvoy, "_stop", stop_watched)
`

/** How Python names the end of a pipe from which the names of states are read, and Envoy's port for this machine. */
const answers = {
  durable: "EFFECT_DURABLE_MCP_REBOOT_DURABLE",
  envoy: "EFFECT_DURABLE_MCP_REBOOT_ENVOY"
} as const

/**
 * Writes that have become durable are told through a pipe: a writer method ends
 * before that, and Reboot tells only who called.
 */
const durable = `
import asyncio, reboot.aio.state_managers as states
read_end, write_end = os.pipe()
os.set_blocking(write_end, False)
waiting = bytearray()
def tell():
    try:
        while len(waiting) > 0:
            del waiting[:os.write(write_end, waiting)]
    except BlockingIOError:
        asyncio.get_running_loop().call_later(0.005, tell)
store = states.SidecarStateManager._store
async def store_and_tell(self, *, state_type, state_ref, effects=None, **kwargs):
    await store(self, state_type=state_type, state_ref=state_ref, effects=effects, **kwargs)
    if effects is not None and effects.state is not None:
        isTold = len(waiting) == 0
        version = getattr(effects.state, "version", 0)
        waiting.extend(f"{state_type}:{version}:{state_ref.id}\\n".encode("utf-8"))
        if isTold:
            tell()
_set(states.SidecarStateManager, "_store", store_and_tell)
os.environ["${answers.durable}"] = str(read_end)
`

/** Reboot hands each of its server processes what it needs to know. */
const trustedEnvoy = `
import base64, pickle
args = pickle.loads(base64.b64decode(os.environ["REBOOT_NODEJS_SERVER_BASE64_ARGS"]))
os.environ["${answers.envoy}"] = args["envoy_trusted_address"]
`

/** Reboot waits for its servers in threads, and Node is there first. */
const quietThreads = `
import threading
report = threading.excepthook
def report_others(args):
    if args.exc_type is not ChildProcessError:
        report(args)
threading.excepthook = report_others
`

/** @internal */
export interface ParentSettings {
  /** An existing folder that nobody else can enter. */
  readonly sockets: string
  /** On which Envoy's public port listens. */
  readonly host: string
}

/**
 * For the parent process.
 *
 * @internal
 */
export const applyToParent = (loaded: Loaded, settings: ParentSettings): void => {
  checkPackage(loaded)
  importPy(
    loaded,
    "effect_durable_mcp.parent_patches",
    [wheel, loopback, databaseClient, database(settings.sockets), starter, envoy(settings.host), quietThreads, logging]
      .join("\n"),
    "Reboot cannot be patched"
  )
}

/** @internal */
export interface Server {
  /** A file descriptor: a line `<state type>:<version>:<id>` for each write, when it is durable. */
  readonly durable: number
  /** Envoy's port for processes of this machine, without TLS. */
  readonly envoy: URL
}

/**
 * For a server process.
 *
 * @internal
 */
export const applyToServer = (loaded: Loaded): Server => {
  checkPackage(loaded)
  importPy(
    loaded,
    "effect_durable_mcp.server_patches",
    [wheel, loopback, databaseClient, shards, durable, trustedEnvoy, logging].join("\n"),
    "Reboot cannot be patched"
  )
  patchExpress(loaded)
  const server = {
    durable: Number(process.env[answers.durable]),
    envoy: new URL(`http://${process.env[answers.envoy]}`)
  }
  for (const name of Object.values(answers)) delete process.env[name]
  return server
}

/** The application's own routes on loopback: they too are reached through Envoy. */
const patchExpress = (loaded: Loaded): void => {
  const express: {
    readonly application?: {
      listen?: (this: Http.RequestListener, port: number, listening: () => void) => Http.Server
    }
  } = loaded.require("express")
  if (typeof express.application?.listen !== "function") {
    throw new Error("Reboot cannot be patched: express has no application.listen")
  }
  express.application.listen = function(port, listening) {
    return Http.createServer(this).listen(port, "127.0.0.1", listening)
  }
}
