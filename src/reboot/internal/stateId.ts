/**
 * Ids of Reboot's states: 1 to 128 characters of ASCII, some of which mean
 * something to Reboot. Ids of the store are any text of up to 1,024 characters.
 *
 * The store's code names states by these; an `Application` takes no other.
 *
 * @internal
 */
import { hash } from "node:crypto"

/**
 * Longest id of a state that Reboot takes.
 *
 * @internal
 */
export const maxLength = 128

/** Longest namespace, and longest id that stays as it is: together less than `maxLength`. */
const longest = { namespace: 32, id: 64 }

const plain = /^[A-Za-z0-9._-]+$/
const stateId = /^([A-Za-z0-9._-]{1,32}~)?~?[A-Za-z0-9._-]+$/

/**
 * The id of the state of `id`: the same, where Reboot can take it, else `~` and
 * its SHA-256. Never the same for two ids, or for two namespaces.
 *
 * @param namespace several stores in one application have one each: 1 to 32 of `[A-Za-z0-9._-]`; "" for none
 * @internal
 */
export const make = (id: string, namespace = ""): string => {
  const prefix = namespace === "" ? "" : `${namespace}~`
  return plain.test(id) && id.length <= longest.id
    ? `${prefix}${id}`
    : `${prefix}~${hash("sha256", id, "base64url")}`
}

/**
 * Whether `make` can have made it.
 *
 * @internal
 */
export const isStateId = (id: string): boolean => id.length <= maxLength && stateId.test(id)

/**
 * Whether it can be a namespace.
 *
 * @internal
 */
export const isNamespace = (namespace: string): boolean =>
  namespace === "" || (namespace.length <= longest.namespace && plain.test(namespace))
