/**
 * What is used of `@reboot-dev/reboot`, of its API package and of the code that
 * `rbt generate` makes of `store.proto`: their types as far as we need them, and
 * how they are loaded, from the folder in which Reboot lies.
 *
 * @internal
 */
import type * as Http from "node:http"
import * as Module from "node:module"
import { pathToFileURL } from "node:url"
import type { States, StateType, TaskType } from "./Application.ts"
import type { Installation } from "./installation.ts"
import { generated as generatedUrl } from "./installation.ts"
import type { readers, tasks, writers } from "./methods.ts"

/** The context of a method call. */
export interface MethodContext {
  readonly stateId: string
  readonly callerBearerToken: string | null | undefined
  readonly cookie: string | null
  /** Reboot takes the call back. */
  readonly cancelled: Promise<void>
}

/** What an authorizer says, and errors that Reboot knows. */
export interface Decision {
  readonly toBinary: () => Uint8Array
}

/** @internal */
export interface AuthorizerRule {
  readonly execute: (args: { readonly context: MethodContext }) => Promise<Decision>
}

/** A state as the generated code hands it over. */
export type Message<T extends StateType> = { readonly [K in keyof States[T]["state"]]: States[T]["state"][K] }

type WriterName = Uncapitalize<typeof writers[StateType]>
type ReaderName = Uncapitalize<typeof readers[StateType]>
type TaskName = Uncapitalize<typeof tasks[TaskType]>

/** The fields of the state that a writer returns are assigned to the old one. */
export type Writer<T extends StateType> = (
  context: MethodContext,
  state: Message<T>,
  request: { readonly request: string }
) => Promise<readonly [States[T]["state"], { readonly response: string }]>

/** @internal */
export type Reader<T extends StateType> = (
  context: MethodContext,
  state: Message<T>
) => Promise<{ readonly state: string }>

/** @internal */
export type Workflow = (context: MethodContext) => Promise<{}>

/** What a servicer is made of. Of each kind of method it has that of its type. */
export type ServicerLiteral<T extends StateType> =
  & { readonly authorizer: () => AuthorizerRule }
  & { readonly [M in WriterName]?: Writer<T> }
  & { readonly [M in ReaderName]?: Reader<T> }
  & { readonly [M in TaskName]?: Workflow }

/** @internal */
export interface Servicer {
  readonly __rbtModule__: string
}

/** A state, as its own writer sees it. */
export interface Reference {
  /** A task, in the same write as what the writer returns. */
  readonly schedule: () => { readonly [M in TaskName]: (context: MethodContext) => Promise<unknown> }
}

/** @internal */
export type GeneratedType<T extends StateType> =
  & {
    readonly ref: (id: string) => Reference
    readonly servicer: (literal: ServicerLiteral<T>) => Servicer
  }
  & { readonly [M in `${typeof writers[T]}Aborted`]: new(error: Decision) => Error }

/** `reboot/generated/effmcp/v1/store_rbt.js`. */
export type Generated = { readonly [T in StateType]: GeneratedType<T> }

/** @internal */
export interface RebootApplication {
  readonly servicers: ReadonlyArray<Servicer>
  readonly http: { readonly get: Route; readonly post: Route }
  /** Under `rbt dev` and `rbt serve`: does not return. */
  readonly run: () => Promise<never>
}

/** A route of the application itself. Reboot looks at the number of the handler's parameters. */
export type Route = (
  path: string,
  handler: (context: unknown, request: Http.IncomingMessage, response: Http.ServerResponse) => void
) => void

/** Reboot in this process. */
export interface Harness {
  readonly start: () => Promise<void>
  readonly up: (application: RebootApplication) => Promise<void>
  readonly down: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly createExternalContext: (name: string) => { readonly __external: unknown }
}

/** `@reboot-dev/reboot`. */
export interface Library {
  readonly Application: new(options: { readonly servicers: ReadonlyArray<Servicer> }) => RebootApplication
  readonly Reboot: new() => Harness
  readonly allowIf: (rule: {
    readonly all: ReadonlyArray<(args: { readonly context: MethodContext }) => Decision>
  }) => AuthorizerRule
  readonly reboot_native: {
    /** Runs Python source (gzip, base64) once for each module name. An exception in it ends the process. */
    readonly importPy: (module: string, source: string) => void
    readonly Service_constructor: (options: {
      readonly rbtModule: string
      readonly nodeAdaptor: string
      readonly id: string
    }) => unknown
    readonly Service_call: (options: {
      readonly external: unknown
      readonly kind: "reader" | "writer"
      readonly method: string
      readonly requestModule: string
      readonly requestType: string
      readonly context: unknown
      readonly jsonRequest: string
      readonly jsonOptions: string
    }) => Promise<string>
  }
}

/** `@reboot-dev/reboot-api`. */
export interface LibraryApi {
  readonly errors_pb: {
    readonly Ok: new() => Decision
    readonly PermissionDenied: new() => Decision
    readonly Cancelled: new() => Decision
  }
}

/** @internal */
export interface Loaded {
  readonly library: Library
  readonly api: LibraryApi
  readonly generated: Generated
  /** Resolves as a file of the package `@reboot-dev/reboot` would. */
  readonly require: NodeJS.Require
}

/**
 * Imports Reboot, which starts Python in this process, and then the generated
 * code. The generated code lies in our package, from where its imports cannot be
 * resolved: a hook resolves them as if it lay beside Reboot.
 *
 * @internal
 */
export const load = async (installation: Installation): Promise<Loaded> => {
  const parentURL = installation.packageUrl.href
  const require = Module.createRequire(parentURL)
  const hook = Module.registerHooks({
    resolve: (specifier, context, next) =>
      context.parentURL?.startsWith(generatedUrl.href) === true && isBare(specifier)
        ? next(specifier, { ...context, parentURL })
        : next(specifier, context)
  })
  try {
    return {
      library: await import(new URL("index.js", installation.packageUrl).href) as Library,
      api: await import(pathToFileURL(require.resolve("@reboot-dev/reboot-api")).href) as LibraryApi,
      generated: await import(new URL("effmcp/v1/store_rbt.js", generatedUrl).href) as Generated,
      require
    }
  } finally {
    hook.deregister()
  }
}

/** Whether a specifier names a package. */
const isBare = (specifier: string): boolean => !/^(\.{0,2}\/|[a-z]+:)/.test(specifier)
