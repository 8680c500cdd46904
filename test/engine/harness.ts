/**
 * An engine whose handlers are plain Effects: a fake `Dispatch` and `Wire`, a
 * disk that outlives the process, and a client that reads event logs.
 */
import { assert } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { WorkflowEngine } from "effect/workflow"
import { Calls } from "../../src/engine/Calls.ts"
import { Dispatch, type Request } from "../../src/engine/Dispatch.ts"
import * as Driver from "../../src/engine/Driver.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Executions from "../../src/engine/Executions.ts"
import * as Failures from "../../src/engine/Failures.ts"
import * as Limits from "../../src/engine/Limits.ts"
import * as ToolCall from "../../src/engine/ToolCall.ts"
import { type Question, Wire } from "../../src/engine/Wire.ts"
import * as Ids from "../../src/session/Ids.ts"
import type * as JsonRpc from "../../src/session/JsonRpc.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import * as FaultStore from "../../src/testing/FaultStore.ts"

export type Handlers = Record<string, (params: JsonRpc.Params) => Effect.Effect<unknown, unknown, any>>

export interface Server {
  readonly store: Store["Service"]
  readonly calls: Calls["Service"]
  readonly executions: Executions.Executions["Service"]
  readonly engine: WorkflowEngine.WorkflowEngine["Service"]
  /** The process is gone: what it still tries to write fails. */
  readonly kill: Effect.Effect<void>
  /** An orderly shutdown. */
  readonly stop: Effect.Effect<void>
  readonly call: (tool: string, options?: CallOptions) => Effect.Effect<string>
}

export interface CallOptions {
  readonly id?: string
  readonly params?: JsonRpc.Params
  readonly digest?: string
  readonly session?: string
  readonly principal?: string
  readonly progressToken?: string | number
  readonly canAsk?: boolean
}

export const callOf = (tool: string, options: CallOptions = {}) => ({
  id: idOf(options.id ?? "call"),
  digest: options.digest ?? tool,
  request: {
    version: "2025-11-25",
    method: "tools/call",
    params: {
      name: tool,
      arguments: options.params ?? {},
      ...(options.progressToken === undefined ? {} : { _meta: { progressToken: options.progressToken } })
    },
    requestId: 1,
    canAsk: options.canAsk,
    profile: {
      session: options.session,
      principal: options.principal ?? "anonymous",
      clientCapabilities: {},
      headers: {}
    }
  } satisfies Request
})

/** Ids of calls have 22 characters. */
export const idOf = (name: string): string => name.padEnd(22, "_")

const dispatch = (handlers: Handlers): Dispatch["Service"] => ({
  dispatch: (request) => {
    const handler = handlers[String(request.params["name"])]
    assert.isDefined(handler)
    const effect = handler(request.params["arguments"] as JsonRpc.Params) as Effect.Effect<unknown, unknown>
    return Effect.matchCauseEffect(effect, {
      onSuccess: (value) => Effect.succeed<JsonRpc.Answer>({ result: { value: (value ?? null) as never } }),
      onFailure: (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.failCause(cause as Cause.Cause<never>)
          : Effect.as(Failures.report(cause), { result: { isError: true, text: String(Cause.squash(cause)) } })
    })
  }
})

const wire: Wire["Service"] = {
  notification: (_version, notification) => Effect.succeed(JSON.stringify(notification)),
  question: (request, id, question) =>
    Effect.succeed(
      request.params["unsupported"] === true ? undefined : JSON.stringify({ id, question })
    ),
  reply: (_request, _question: Question, answer) =>
    Effect.succeed(
      "error" in answer ? { _tag: "Error", error: answer.error } : { _tag: "Result", result: answer.result }
    )
}

export interface Options {
  readonly disk?: MemoryStore.Disk
  readonly limits?: Context.Context<never>
  /** Registers workflows. */
  readonly workflows?: Layer.Layer<never, never, WorkflowEngine.WorkflowEngine>
  readonly wrap?: (store: Store["Service"]) => Store["Service"]
  /** The process dies, or its disk fails. */
  readonly faults?: FaultStore.Options
  readonly randomBytes?: (size: number) => Uint8Array
}

/** A process on the disk. The one before on the same disk is dead from here on. */
export const boot = Effect.fnUntraced(
  function*(handlers: Handlers, options: Options = {}): Effect.fn.Return<Server, never, Scope.Scope> {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const disk = options.disk ?? MemoryStore.makeDisk()
    const store = yield* MemoryStore.make({ disk }).pipe(Scope.provide(scope))
    const wrapped = options.wrap?.(store) ?? store
    const storeLayer = Layer.succeed(Store)(
      options.faults === undefined ? wrapped : (yield* FaultStore.make(wrapped, options.faults)).store
    )
    const layer = Driver.layer.pipe(
      Layer.provideMerge(options.workflows ?? Layer.empty),
      Layer.provideMerge(Engine.layer),
      Layer.provideMerge(Executions.layer),
      Layer.provideMerge(options.limits === undefined ? Layer.empty : Layer.succeedContext(options.limits)),
      Layer.provideMerge(
        Layer.orDie(options.randomBytes === undefined ? Ids.layer : Ids.layerWith(options.randomBytes))
      ),
      Layer.provideMerge([storeLayer, Layer.succeed(Dispatch)(dispatch(handlers)), Layer.succeed(Wire)(wire)])
    )
    const context = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
    const calls = Context.get(context, Calls)
    return {
      store,
      calls,
      executions: Context.get(context, Executions.Executions),
      engine: Context.get(context, WorkflowEngine.WorkflowEngine),
      // Opening the disk fences the store, so that no finalizer can write.
      kill: MemoryStore.make({ disk }).pipe(
        Effect.scoped,
        Effect.andThen(Scope.close(scope, Exit.void)),
        settleClock
      ),
      stop: Scope.close(scope, Exit.void),
      call: (tool, callOptions) =>
        Effect.map(Effect.orDie(calls.start(callOf(tool, callOptions))), ({ stream }) => stream)
    }
  }
)

/** A shutdown waits for steps that a dead process never finishes. */
const settleClock = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    for (let i = 0; i < 10; i++) {
      yield* turns(5)
    }
    while (fiber.pollUnsafe() === undefined) {
      yield* TestClock.adjust("31 seconds")
      yield* turns(5)
    }
    return yield* Fiber.join(fiber)
  })

/** Lets everything run that is runnable. */
export const turns = (n = 30): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let i = 0; i < n; i++) {
      yield* Effect.yieldNow
    }
  })

export interface Event {
  readonly key: string
  readonly data: any
}

/** What a client that reads the whole log has seen. */
export const events = (server: Server, stream: string): Effect.Effect<ReadonlyArray<Event>> =>
  Effect.map(
    Effect.orDie(server.store.events(stream, 0, 100_000)),
    (page) => page.events.map(({ data, key }) => ({ key, data: data === undefined ? undefined : JSON.parse(data) }))
  )

export const keys = (server: Server, stream: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(events(server, stream), (events) => events.map(({ key }) => key))

/**
 * Turns the loop until it holds. Not so many times but so long: ids of workflows
 * are hashed on another thread, which may have to wait for a busy machine.
 */
export const until = <A>(
  read: Effect.Effect<A>,
  holds: (value: A) => boolean,
  what = "the condition"
): Effect.Effect<A> =>
  Effect.gen(function*() {
    const began = performance.now()
    while (performance.now() - began < 10_000) {
      const value = yield* read
      if (holds(value)) {
        return value
      }
      yield* Effect.yieldNow
    }
    return assert.fail(`${what} did not come: ${JSON.stringify(yield* read)}`)
  })

export const isClosed = (server: Server, stream: string): Effect.Effect<boolean> =>
  Effect.map(
    Effect.orDie(server.store.stream({ id: stream })),
    (found) => Option.isSome(found) && found.value.closed
  )

/** The value with which a handler succeeded, or the text with which it failed. */
export const answer = (server: Server, stream: string): Effect.Effect<any> =>
  Effect.gen(function*() {
    yield* until(isClosed(server, stream), (closed) => closed, `the end of ${stream}`)
    const last = (yield* events(server, stream)).at(-1)!
    return last.key === "end" ? "cancelled" : last.data.error !== undefined
      ? { error: last.data.error.message }
      : last.data.result.isError === true
      ? { failed: last.data.result.text }
      : last.data.result.value
  })

export const record = (server: Server, id: string) =>
  Effect.map(Effect.orDie(server.store.execution(id)), Option.getOrUndefined)

export const state = (server: Server, id: string) =>
  Effect.map(
    Effect.orDie(Stream.runCollect(server.store.list({}))),
    (all) => all.find((summary) => summary.id === id)?.state
  )

export const resultOf = (server: Server, id: string) =>
  Effect.map(
    record(server, id),
    (found) => found?.result === undefined ? undefined : ToolCall.decodeResult(found.result)
  )

/** Wire id of the question that the log shows under `path`. */
export const wireId = (server: Server, stream: string, path: string): Effect.Effect<string> =>
  Effect.map(
    until(
      events(server, stream),
      (all) => all.some(({ key }) => key === `question/${path}`),
      `question ${path}`
    ),
    (all) => all.find(({ key }) => key === `question/${path}`)!.data.id
  )

export const reply = (server: Server, stream: string, path: string, result: any, options?: {
  readonly session?: string
  readonly principal?: string
}) =>
  Effect.flatMap(wireId(server, stream, path), (wireId) =>
    Effect.orDie(server.calls.answer({
      wireId,
      session: options?.session,
      principal: options?.principal ?? "anonymous",
      answer: { result }
    })))

export const limits = Limits
