/**
 * The methods of `store.proto`: each applies the machine of its type, in the
 * process where the state lives.
 *
 * @internal
 */
import * as Crypto from "node:crypto"
import type { Machine, States, StateType, TaskType } from "./Application.ts"
import type {
  AuthorizerRule,
  GeneratedType,
  Loaded,
  Message,
  MethodContext,
  Reader,
  Reference,
  Servicer,
  Writer
} from "./generated.ts"
import { hasTasks, lower, readers, stateTypes, tasks, writers } from "./methods.ts"

/** @internal */
export type Machines = { readonly [T in StateType]: Machine<T> }

/**
 * A write as the servicer of the state sees it.
 *
 * @internal
 */
export interface Incoming<T extends StateType> {
  readonly request: States[T]["request"]
  /**
   * The new state is computed. It is not durable yet, and never becomes so when
   * the write fails. May be called twice (effect validation).
   */
  readonly applied: (state: States[T]["state"], response: States[T]["response"]) => void
}

/** @internal */
export interface Options {
  readonly loaded: Loaded
  readonly machines: Machines
  /** Whoever does not show it gets nothing. */
  readonly secret: string
  /** What the text of a request says; undefined refuses the write. */
  readonly incoming: <T extends StateType>(
    type: T,
    id: string,
    text: string,
    cookie: string | null
  ) => Incoming<T> | undefined
  /** What the caller is answered. */
  readonly answer: <T extends StateType>(type: T, text: string, response: States[T]["response"]) => string
  /** Resolves when the task has ended. Rejects with an `Error`: Reboot begins it again. */
  readonly task: (type: TaskType, id: string, cancelled: Promise<void>) => Promise<void>
}

/** @internal */
export const make = (options: Options): ReadonlyArray<Servicer> => {
  const authorizer = authorizerOf(options)
  return stateTypes.map((type) => servicer(type, options, authorizer))
}

/** Not whether the call says that it comes from the application: that is a header which anybody can set. */
const authorizerOf = ({ loaded, secret }: Options): () => AuthorizerRule => {
  const digest = (text: string) => Crypto.createHash("sha256").update(text).digest()
  const expected = digest(secret)
  const { Ok, PermissionDenied } = loaded.api.errors_pb
  const rule = loaded.library.allowIf({
    all: [
      ({ context }) =>
        Crypto.timingSafeEqual(digest(context.callerBearerToken ?? ""), expected)
          ? new Ok()
          : new PermissionDenied()
    ]
  })
  return () => rule
}

const servicer = <T extends StateType>(type: T, options: Options, authorizer: () => AuthorizerRule): Servicer => {
  const generated: GeneratedType<T> = options.loaded.generated[type]
  const machine: Machine<T> = options.machines[type]
  const latest = latestStates(machine)
  const task = hasTasks(type) ? { type, method: lower(tasks[type]) } : undefined

  /**
   * Reboot schedules a task for the state of the context, whatever state the
   * reference names; making one blocks this thread until Python has time for it.
   */
  let reference: Reference | undefined
  const self = (): Reference => reference ??= generated.ref("self")

  const write: Writer<T> = async (context, message, { request: text }) => {
    const id = context.stateId
    const incoming = options.incoming(type, id, text, context.cookie)
    if (incoming === undefined) {
      return refuse(options.loaded, generated, type)
    }
    const applied = machine.apply(latest.of(id, message), incoming.request)
    if (applied.task && task !== undefined) {
      await self().schedule()[task.method](context)
    }
    latest.set(id, applied.state)
    incoming.applied(applied.state, applied.response)
    return [applied.state, { response: options.answer(type, text, applied.response) }]
  }

  const read: Reader<T> = async (context, message) => ({
    state: JSON.stringify(latest.of(context.stateId, message))
  })

  return generated.servicer({
    authorizer,
    [lower(writers[type])]: write,
    [lower(readers[type])]: read,
    ...(task === undefined ? {} : {
      [task.method]: async (context: MethodContext) => {
        await options.task(task.type, context.stateId, context.cancelled)
        return {}
      }
    })
  })
}

/** An error that Reboot neither prints nor tries again. */
const refuse = <T extends StateType>(loaded: Loaded, generated: GeneratedType<T>, type: T): never => {
  const Aborted = generated[`${writers[type]}Aborted`]
  throw new Aborted(new loaded.api.errors_pb.Cancelled())
}

/** Last states that are known by their objects, for each type. */
const kept = 4_096

/**
 * The objects that machines have made last, by which they remember what they have
 * parsed: Reboot hands a state over as a message that is decoded for each call.
 * An object lives for as long as somebody else has it, such as the mirror.
 */
const latestStates = <T extends StateType>(machine: Machine<T>) => {
  const byId = new Map<string, WeakRef<States[T]["state"]>>()
  const fields = Object.keys(machine.empty) as ReadonlyArray<keyof States[T]["state"]>
  return {
    of: (id: string, message: Message<T>): States[T]["state"] => {
      if (message.version === 0) return machine.empty
      const found = byId.get(id)?.deref()
      if (found?.version === message.version) return found
      const state = { ...machine.empty }
      for (const field of fields) state[field] = message[field]
      return state
    },
    set: (id: string, state: States[T]["state"]): void => {
      byId.delete(id)
      byId.set(id, new WeakRef(state))
      if (byId.size > kept) byId.delete(byId.keys().next().value!)
    }
  }
}
