/**
 * Whether an HTTP request may come in, judged by its headers alone (mcp-requirements 1.2).
 *
 * @internal
 */

/** `localhost`, `127.0.0.0/8`, `[::1]`. `host` is without a port. */
const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)

const withoutPort = (authority: string): string => authority.replace(/:\d*$/, "").toLowerCase()

/**
 * Judges the `Origin` header (S-P2). Absent is fine: only browsers send it, and
 * they always do. `null`, the origin of sandboxed frames, is never allowed by
 * default.
 */
export const originPolicy = (allowed: ReadonlyArray<string> | undefined): (origin: string | undefined) => boolean => {
  if (allowed !== undefined) {
    const origins = new Set(allowed)
    return (origin) => origin === undefined || origins.has(origin)
  }
  return (origin) => {
    if (origin === undefined) return true
    const match = /^https?:\/\/([^/]+)$/i.exec(origin)
    return match !== null && isLoopback(withoutPort(match[1] ?? ""))
  }
}

/**
 * Judges the `Host` header (S-P3): a page that rebinds its own name to a local
 * address is same-origin to its browser, but cannot hide the name it came by.
 * `allowed` names hosts without ports.
 */
export const hostPolicy = (allowed: ReadonlyArray<string> | undefined): (host: string | undefined) => boolean => {
  const hosts = allowed === undefined ? undefined : new Set(allowed.map((host) => host.toLowerCase()))
  return (host) => {
    if (host === undefined) return true
    const name = withoutPort(host)
    return hosts === undefined ? isLoopback(name) : hosts.has(name) || hosts.has(host.toLowerCase())
  }
}

/** Whether the body is JSON in UTF-8 (S-P9). */
export const isJson = (contentType: string | undefined): boolean => {
  if (contentType === "application/json") return true
  if (contentType === undefined) return false
  const [type = "", ...parameters] = contentType.split(";")
  if (type.trim().toLowerCase() !== "application/json") return false
  return parameters.every((parameter) => {
    const [name = "", value = ""] = parameter.split("=")
    return name.trim().toLowerCase() !== "charset" || /^"?utf-?8"?$/i.test(value.trim())
  })
}

/** Whether the body is as it was written: a compressed one could be far larger than the limit. */
export const isIdentity = (contentEncoding: string | undefined): boolean =>
  contentEncoding === undefined || contentEncoding.trim().toLowerCase() === "identity"

/** What the official clients send. */
const usual = "application/json, text/event-stream"

/**
 * Whether the `Accept` header takes a media type (S-P8): in any order, by
 * wildcard, with quality values. A missing header takes nothing.
 */
export const accepts = (accept: string | undefined, mediaType: `${string}/${string}`): boolean => {
  if (accept === undefined) return false
  if (accept === usual) return true
  const range = `${mediaType.slice(0, mediaType.indexOf("/"))}/*`
  // The most specific range decides, so that `*/*, text/event-stream;q=0` refuses.
  let specificity = 0
  let accepted = false
  for (const item of accept.split(",")) {
    const [type = "", ...parameters] = item.split(";")
    const name = type.trim().toLowerCase()
    const found = name === mediaType ? 3 : name === range ? 2 : name === "*/*" ? 1 : 0
    if (found > specificity) {
      specificity = found
      accepted = !parameters.some((parameter) => /^\s*q\s*=\s*0(?:\.0*)?\s*$/i.test(parameter))
    }
  }
  return accepted
}

/** Whether arrays and objects of a JSON text are nested deeper than `max`. Reads no more of it than needed. */
export const isDeeper = (json: string, max: number): boolean => {
  // Each level takes two characters.
  if (json.length < 2 * max) return false
  let depth = 0
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const char = json.charCodeAt(i)
    if (inString) {
      if (char === 0x5C) i++
      else if (char === 0x22) inString = false
    } else if (char === 0x22) {
      inString = true
    } else if (char === 0x5B || char === 0x7B) {
      if (++depth > max) return true
    } else if (char === 0x5D || char === 0x7D) {
      depth--
    }
  }
  return false
}
