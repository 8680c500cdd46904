/**
 * A store in memory: for tests, and for servers that need not survive.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { fromBackend } from "./internal/fromBackend.ts"
import * as memoryBackend from "./internal/memoryBackend.ts"
import { Store } from "./Store.ts"

const TypeId = "~effect-durable-mcp/store/MemoryStore/Disk"

/**
 * What stays when the process is gone: stores that are opened on one disk, one
 * after the other, hold the same facts. Opening it fences the store before,
 * whose operations fail with `Fenced` from then on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Disk {
  readonly [TypeId]: typeof TypeId
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The disk to open. Default: a new one. */
  readonly disk?: Disk | undefined
  /** Largest value, in bytes of UTF-8. Default 4 MiB. */
  readonly maxPayloadBytes?: number | undefined
}

class DiskImpl extends memoryBackend.Disk implements Disk {
  readonly [TypeId]: typeof TypeId = TypeId
}

/**
 * A new, empty disk.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeDisk = (): Disk => new DiskImpl()

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: Options): Effect.Effect<Store["Service"], never, Scope.Scope> =>
  Effect.suspend(() => {
    const disk = (options?.disk ?? makeDisk()) as DiskImpl
    return fromBackend(memoryBackend.make(disk), { maxPayloadBytes: options?.maxPayloadBytes })
  })

/**
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options: Options): Layer.Layer<Store> => Layer.effect(Store)(make(options))

/**
 * A store on a new disk.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Store> = Layer.effect(Store)(make())
