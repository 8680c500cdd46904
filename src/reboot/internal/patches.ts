/**
 * All that is changed in Reboot's private parts, in this file and, where Reboot
 * has several processes, in `servedPatches.ts`. Each patch first makes sure that
 * it meets version 1.0.4 and what it replaces; if not, Reboot is not started.
 *
 * Reboot's harness for tests runs in one process, but with a temporary state
 * directory, four servers and Envoy. These patches give it a directory and one
 * server. They also close its ports: as shipped it listens on all addresses, its
 * database asks for no credential, and "internal to the application" is a header
 * that anybody can send. Here everything is a Unix socket in a folder that only
 * the user of this process can enter, and no port is open.
 *
 * The Python half stores what went wrong where JavaScript can read it, since a
 * Python exception that leaves `importPy` or a constructor ends the process.
 *
 * @internal
 */
import type * as Http from "node:http"
import * as Zlib from "node:zlib"
import type { StateType } from "./Application.ts"
import type { Harness, Loaded } from "./generated.ts"
import { version } from "./installation.ts"
import { readers, stateTypes, writers } from "./methods.ts"

/** The Python module that the patches are, and what they define. */
const patchesModule = "effect_durable_mcp.patches"

/** How Python answers: it shares the environment with this process. */
const answer = "EFFECT_DURABLE_MCP_REBOOT_ANSWER"

// -----------------------------------------------------------------------------
// Python
// -----------------------------------------------------------------------------

/**
 * What follows it is run with the answer "ok", or with the exception.
 *
 * `_set` replaces an attribute that must be there.
 */
const attempt = (body: string): string => `
import os
def _attempt():
    def _set(owner, name, value):
        if not hasattr(owner, name):
            raise Exception(f"{owner!r} has no {name}")
        setattr(owner, name, value)
${body.trim().split("\n").map((line) => `    ${line}`).join("\n")}
try:
    _attempt()
    os.environ["${answer}"] = "ok"
except BaseException as error:
    os.environ["${answer}"] = f"{type(error).__name__}: {error}"
`

/** @internal */
export const wheel = `
import importlib.metadata
found = importlib.metadata.version("reboot")
if found != "${version}":
    raise Exception(f"the Python package reboot is version {found}, expected ${version}")
`

/**
 * One server, no Envoy, a state directory. An opening puts its settings into
 * `reboot.aio.tests`; a constructor that fails leaves the reason there, since
 * nothing may be thrown out of it.
 */
const harness = `
import reboot.aio.reboot as base, reboot.aio.tests as tests
from pathlib import Path
if not issubclass(tests.Reboot, base.Reboot):
    raise Exception("reboot.aio.tests.Reboot is another class")
up = tests.Reboot.up
def construct(self):
    opening = tests.effect_durable_mcp
    try:
        with opening.working_directory():
            base.Reboot.__init__(
                self,
                in_process=True,
                application_name=opening.name,
                state_directory=Path(opening.state_directory),
                initialize_tracing=False,
            )
        os.environ["${answer}"] = "ok"
    except BaseException as error:
        os.environ["${answer}"] = f"{type(error).__name__}: {error}"
async def up_alone(self, application, local_envoy=None, local_envoy_port=0):
    from reboot.aio.contexts import EffectValidation
    return await up(
        self,
        application,
        local_envoy=False,
        servers=1,
        effect_validation=EffectValidation[tests.effect_durable_mcp.effect_validation],
    )
_set(tests.Reboot, "__init__", construct)
_set(tests.Reboot, "up", up_alone)
`

/**
 * Each gRPC server binds a Unix socket; what Reboot takes for its port is the
 * number of the socket. The database is number 0 (see below).
 */
const sockets = `
import grpc, itertools
numbers = itertools.count(1)
make_server, make_channel = grpc.aio.server, grpc.aio.insecure_channel
def path_of(number):
    return f"{tests.effect_durable_mcp.sockets}/s{number}"
def server(*args, **kwargs):
    made = make_server(*args, **kwargs)
    bind = made.add_insecure_port
    def add_insecure_port(address):
        number = next(numbers)
        bind(f"unix:{path_of(number)}")
        return number
    made.add_insecure_port = add_insecure_port
    return made
def insecure_channel(target, *args, **kwargs):
    host, number = target.rsplit(":", 1)
    if host not in ("localhost", "127.0.0.1", "0.0.0.0"):
        raise Exception(f"Reboot wants to connect to {target}, which is none of its sockets")
    return make_channel(f"unix:{path_of(int(number))}", *args, **kwargs)
_set(grpc.aio, "server", server)
_set(grpc.aio, "insecure_channel", insecure_channel)
`

/**
 * The database is native code that binds "0.0.0.0:" and a port. The literal is
 * overwritten in memory with a path of the same length, relative to the working
 * directory at that moment, which the opening sets.
 */
export const databaseSocket = `
import ctypes, mmap, reboot.server.database as database
literal, socket = b"0.0.0.0:", b"unix:./s"
maps = [line.split() for line in open("/proc/self/maps") if line.rstrip().endswith("/libdatabase_native.so")]
if len(maps) == 0:
    raise Exception("libdatabase_native.so is not loaded")
with open(maps[0][-1], "rb") as file:
    data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
at = data.find(literal + b"\\0")
if at < 0 or data.find(literal + b"\\0", at + 1) >= 0:
    raise Exception("libdatabase_native.so does not hold its address once")
libc = ctypes.CDLL(None, use_errno=True)
def protect(address, protection):
    page = address & ~(mmap.PAGESIZE - 1)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(address + len(literal) - page), protection) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
for line in maps:
    low, high = (int(bound, 16) for bound in line[0].split("-"))
    offset = int(line[2], 16)
    if offset <= at and at + len(literal) <= offset + high - low:
        address = low + at - offset
        if ctypes.string_at(address, len(literal)) != literal:
            raise Exception("the address of libdatabase_native.so is already changed")
        protect(address, mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.memmove(address, socket, len(literal))
        protect(address, mmap.PROT_READ)
        break
else:
    raise Exception("the address of libdatabase_native.so is not mapped")
`

const database = `
${databaseSocket}
_set(database.DatabaseServer, "address", property(lambda self: "127.0.0.1:0"))
`

/** No WebSockets: nobody outside reads from states. */
const react = `
import reboot.aio.react as react
async def start(self, websocket_port):
    return 0
async def stop(self):
    pass
_set(react.ReactServicer, "start", start)
_set(react.ReactServicer, "stop", stop)
`

/** Reboot walks along up to 16,384 shards on each call, a third of what a write costs. */
export const shards = `
import bisect, hashlib, reboot.aio.placement as placement
client = placement.PlanOnlyPlacementClient
if "_shard_list_by_application" not in client.shard_for_actor.__code__.co_names:
    raise Exception("PlanOnlyPlacementClient finds shards in another way")
def shard_for_actor(self, application_id, state_ref):
    found = self._shard_list_by_application.get(application_id)
    if not found:
        raise placement.UnknownApplicationError(application_id)
    keys = getattr(self, "_effect_durable_mcp_keys", None)
    if keys is None or keys[0] is not found:
        keys = self._effect_durable_mcp_keys = (found, [entry.first_key for entry in found])
    digest = hashlib.sha1(state_ref.components()[0].to_str().encode("utf-8")).digest()
    return found[bisect.bisect_right(keys[1], digest) - 1].shard_id
_set(client, "shard_for_actor", shard_for_actor)
`

/**
 * Reboot keeps every state that it has loaded, for ever. Here those go from its
 * memory that were not used for longest, when all are more than `kept` bytes: the
 * next use loads them again. One that is in use stays.
 */
const boundedMemory = `
import collections, reboot.aio.state_managers as state_managers
for name in ("_states", "_mutator_locks", "_transaction_writer_locks", "_loads", "_streaming_readers",
             "_participant_transactions"):
    if name not in state_managers.SidecarStateManager.__init__.__code__.co_names:
        raise Exception(f"SidecarStateManager has no {name}")
class Recent:
    kept = 16 * 1024 * 1024
    # what the objects around a small state take
    overhead = 4096
    def __init__(self, manager):
        self._manager = manager
        self._sizes = collections.OrderedDict()
        self._total = 0
    def used(self, type, ref):
        state = self._manager._states[type].get(ref)
        self._total -= self._sizes.pop((type, ref), 0)
        size = self.overhead + (0 if state is None else state.ByteSize())
        self._sizes[(type, ref)] = size
        self._total += size
        for _ in range(len(self._sizes)):
            if self._total <= self.kept:
                break
            (type, ref), size = self._sizes.popitem(last=False)
            if self._is_in_use(type, ref):
                self._sizes[(type, ref)] = size
            else:
                self._total -= size
                self._manager._states[type].pop(ref, None)
                self._manager._mutator_locks[type].pop(ref, None)
                self._manager._transaction_writer_locks[type].pop(ref, None)
    def _is_in_use(self, type, ref):
        lock = self._manager._mutator_locks[type].get(ref)
        return (
            (lock is not None and (lock.locked() or bool(lock._waiters)))
            or ref in self._manager._loads[type]
            or ref in self._manager._streaming_readers[type]
            or ref in self._manager._participant_transactions[type]
        )
`

/**
 * Methods called from this process, without gRPC in between and without a key
 * for each call, which Reboot would keep for ever: our writes may be repeated as
 * they are. Half of what a write costs otherwise. What needs no socket needs no
 * secret: the token is that by which Reboot calls itself.
 */
const directMethods = `
import sys, reboot.aio.servers as servers
from reboot.aio.headers import AUTHORIZATION_HEADER, STATE_REF_HEADER
from reboot.aio.internals.contextvars import use_application_id
from reboot.aio.types import StateRef
for name in ("_middleware_by_state_type_name", "_application_id", "_state_manager"):
    if name not in servers.ServiceServer.__init__.__code__.co_names:
        raise Exception(f"ServiceServer has no {name}")
serve = servers.ServiceServer.start
async def start_server(self):
    await serve(self)
    tests.effect_durable_mcp.server = self
    tests.effect_durable_mcp.recent = Recent(self._state_manager)
_set(servers.ServiceServer, "start", start_server)
class Failed(Exception):
    pass
class Call:
    # what a method asks of the gRPC call that it serves
    def __init__(self, metadata):
        self._metadata = metadata
    def invocation_metadata(self):
        return self._metadata
    async def abort(self, code, details=""):
        raise Failed(f"{code.name} {details}")
    async def abort_with_status(self, status):
        found = dict(status.trailing_metadata or ())
        if b"StateNotConstructed" in found.get("grpc-status-details-bin", b""):
            raise LookupError()
        raise Failed(status.details or status.code.name)
class DirectCalls:
    # for all states of one type; the options of a call are the id of the state
    class _Schedule:
        pass
    def __init__(self, application_id, state_id, schedule_type):
        self._type = f"effmcp.v1.{state_id}"
    async def _writer(self, method, context, request_type, text, id):
        return (await self._call(method, request_type(request=text), id)).response
    async def _reader(self, method, context, request_type, text, id):
        try:
            return (await self._call(method, request_type(), id)).state
        except LookupError:
            return ""
    async def _call(self, method, request, id):
        server = tests.effect_durable_mcp.server
        middleware = server._middleware_by_state_type_name[self._type]
        token = vars(sys.modules[type(middleware).__module__])["__internal_magic_token__"]
        ref = StateRef.from_id(self._type, id)
        call = Call((
            (STATE_REF_HEADER, ref.to_str()),
            (AUTHORIZATION_HEADER, f"Bearer {token}"),
        ))
        try:
            with use_application_id(server._application_id):
                return await getattr(middleware, method)(request, call)
        except grpc.aio.AioRpcError as error:  # the database's
            raise Failed(error.details())
        finally:
            tests.effect_durable_mcp.recent.used(self._type, ref)
globals()["DirectCalls"] = DirectCalls
`

/**
 * No news: that a state was never written, since we read what may not be there;
 * and that a task is cancelled that runs for as long as its execution does.
 */
export const logging = `
import log.log
expected = ("not constructed", "cancelled tasks to finish", "Waiting for task with UUID")
class Expected:
    def filter(self, record):
        message = record.getMessage()
        return not any(text in message for text in expected)
log.log.stream_handler.addFilter(Expected())
`

const opening = (settings: Settings): string => `
import contextlib, reboot.aio.tests as tests
class Opening:
    name = ${python(settings.name)}
    state_directory = ${python(settings.stateDirectory)}
    sockets = ${python(settings.sockets)}
    effect_validation = ${python(settings.effectValidation)}
    @staticmethod
    @contextlib.contextmanager
    def working_directory():
        before = os.getcwd()
        os.chdir(Opening.sockets)
        try:
            yield
        finally:
            os.chdir(before)
tests.effect_durable_mcp = Opening
`

/** A JSON string is a Python string. */
export const python = (text: string): string => JSON.stringify(text)

// -----------------------------------------------------------------------------
// JavaScript
// -----------------------------------------------------------------------------

/** One opening of a state directory. */
export interface Settings {
  readonly name: string
  readonly stateDirectory: string
  /** An existing folder that nobody else can enter, for the sockets. Its path is short (a socket's has 107 bytes). */
  readonly sockets: string
  readonly effectValidation: "QUIET" | "DISABLED"
}

/** What Python said last; throws when that is no success. */
const expectOk = (what: string): void => {
  const said = process.env[answer]
  delete process.env[answer]
  if (said !== "ok") {
    throw new Error(`${what}: ${said ?? "Python did not answer, Reboot needs the main thread of a process"}`)
  }
}

/**
 * Runs Python, once for each `module`. Throws when it failed.
 *
 * @internal
 */
export const importPy = (loaded: Loaded, module: string, source: string, what: string): void => {
  delete process.env[answer]
  loaded.library.reboot_native.importPy(module, Zlib.gzipSync(attempt(source)).toString("base64"))
  expectOk(what)
}

/**
 * Patches Reboot, once for each process. Throws when it is not the version that
 * the patches are for.
 *
 * @internal
 */
export const apply = (loaded: Loaded): void => {
  checkPackage(loaded)
  importPy(
    loaded,
    patchesModule,
    [wheel, harness, sockets, database, react, shards, boundedMemory, directMethods, logging].join("\n"),
    "Reboot cannot be patched"
  )
  patchExpress(loaded)
}

/** @internal */
export const checkPackage = (loaded: Loaded): void => {
  const found: unknown = loaded.require("@reboot-dev/reboot/package.json").version
  if (found !== version) {
    throw new Error(`the npm package @reboot-dev/reboot is version ${String(found)}, expected ${version}`)
  }
}

/** Each application starts an HTTP server. It listens nowhere: we serve nothing with it. */
const patchExpress = (loaded: Loaded): void => {
  const express: { readonly application?: { listen?: unknown } } = loaded.require("express")
  if (typeof express.application?.listen !== "function") {
    throw new Error("Reboot cannot be patched: express has no application.listen")
  }
  express.application.listen = (_port: number, listening: () => void): Pick<Http.Server, "address" | "close"> => {
    queueMicrotask(listening)
    const server = {
      address: () => ({ address: "", family: "IPv4", port: 0 }),
      close: (closed?: (error?: Error) => void) => {
        closed?.()
        return server as Http.Server
      }
    }
    return server
  }
}

/**
 * Calls of methods from this process. They reject with an `Error`.
 *
 * @internal
 */
export interface DirectCalls {
  /** Answers with the response's text. */
  readonly write: (type: StateType, id: string, request: string) => Promise<string>
  /** Answers with the state's text, "" for one that was never written. */
  readonly read: (type: StateType, id: string) => Promise<string>
}

/**
 * For as long as Reboot is up.
 *
 * @internal
 */
export const directCalls = (loaded: Loaded, harness: Harness): DirectCalls => {
  const native = loaded.library.reboot_native
  const context = harness.createExternalContext("effect-durable-mcp").__external
  const services = new Map(stateTypes.map((type) => [
    type,
    native.Service_constructor({ rbtModule: patchesModule, nodeAdaptor: "DirectCalls", id: type })
  ]))
  const call = (kind: "reader" | "writer", type: StateType, method: string, id: string, text: string) =>
    native.Service_call({
      external: services.get(type),
      kind,
      method,
      requestModule: "effmcp.v1.store_pb2",
      requestType: `${method}Request`,
      context,
      jsonRequest: text,
      jsonOptions: id
    })
  return {
    write: (type, id, request) => call("writer", type, writers[type], id, request),
    read: (type, id) => call("reader", type, readers[type], id, "")
  }
}

/**
 * The settings of the next `new Reboot()`.
 *
 * @internal
 */
export const prepare = (loaded: Loaded, settings: Settings, count: number): void =>
  importPy(loaded, `effect_durable_mcp.opening_${count}`, opening(settings), "Reboot takes no settings")

/**
 * Makes Reboot, which opens the database. Throws when that failed.
 *
 * @internal
 */
export const construct = (loaded: Loaded): Harness => {
  delete process.env[answer]
  const reboot = new loaded.library.Reboot()
  expectOk("Reboot cannot open its database")
  return reboot
}
