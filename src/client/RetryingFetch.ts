/**
 * A `fetch` that repeats POSTs which were cut off, for any MCP client.
 *
 * MCP clients resume broken streams, but a POST that dies on its way in is lost
 * to them, and with it the call or the answer it carried. Repeating it is safe
 * where the server joins a repeated request to the first (S-P10), as servers of
 * this package do. A server that does not may run a repeated call twice.
 *
 * @since 0.1.0
 */
import { EventScanner } from "./internal/eventScanner.ts"

/**
 * @category models
 * @since 0.1.0
 */
export type RetryingFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/**
 * @category models
 * @since 0.1.0
 */
export interface RetryingFetchOptions {
  /** What sends the requests. Default: the global `fetch`. */
  readonly fetch?: RetryingFetch | undefined
  /**
   * For how long a POST is repeated, counted from when it was first cut off.
   * Then the last error is what the caller gets. An attempt that stood for
   * longer than this starts a new count. An attempt that is under way is never
   * given up. Default 60,000.
   */
  readonly deadlineMs?: number | undefined
  /** Wait before the first repetition; each further one waits twice as long. Default 100. */
  readonly initialDelayMs?: number | undefined
  /** Longest wait between two repetitions, before jitter of up to a half. Default 2,000. */
  readonly maxDelayMs?: number | undefined
  /** Told before each wait. */
  readonly onRetry?:
    | ((retry: {
      /** From 1, for each POST. */
      readonly attempt: number
      readonly delayMs: number
      /** The error, or the 503. */
      readonly cause: unknown
    }) => void)
    | undefined
}

/**
 * Makes a `fetch` for the `fetch` option of an MCP client's HTTP transport.
 *
 * **Details**
 *
 * A POST is repeated, byte for byte and with back-off, when the connection was
 * refused or cut before its answer began. An answer has begun with a status and
 * a complete body, or with an event that has an id: from there the client
 * resumes by itself with `Last-Event-ID`. So a stream is handed out at once, and
 * what follows a cut before its first id comes from the repeated request; of
 * an event that was cut nothing is handed out. A 503 with `Retry-After` says that
 * nothing was done, and is repeated when it says, if that is before the deadline.
 *
 * Other methods pass through unchanged. An abort ends attempts, waits and
 * streams at once.
 *
 * **Gotchas**
 *
 * A server that does not exist looks like one that restarts: the first request
 * to it fails only at the deadline. A repeated `initialize` may leave a session
 * behind that nobody uses; it expires by itself.
 *
 * **Example** (With the official SDK)
 *
 * ```ts
 * const transport = new StreamableHTTPClientTransport(new URL("http://127.0.0.1:3000/mcp"), {
 *   fetch: retryingFetch({ deadlineMs: 120_000 })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryingFetch = (options: RetryingFetchOptions = {}): RetryingFetch => async (input, init) => {
  const fetch = options.fetch ?? globalThis.fetch
  const request = input instanceof Request ? input : undefined
  if ((init?.method ?? request?.method ?? "GET").toUpperCase() !== "POST") return fetch(input, init)

  const signal = init?.signal === undefined ? request?.signal : init.signal
  const send = repeatable(fetch, input, init, signal)
  const retries = makeRetries(options, signal)

  const open = async (): Promise<Response> => {
    for (;;) {
      retries.begin()
      try {
        const response = await send()
        if (isEventStream(response)) return response
        await complete(response)
        const retryAfterMs = response.status === 503 ? parseRetryAfter(response.headers.get("retry-after")) : undefined
        if (retryAfterMs === undefined || !await retries.waitAtLeast(retryAfterMs, response)) return response
      } catch (error) {
        await retries.wait(error)
      }
    }
  }

  const response = await open()
  if (!isEventStream(response) || response.body === null) return response
  const body = joinStreams(response.body, retries, open)
  const { headers, status, statusText } = response
  return Object.defineProperty(new Response(body, { headers, status, statusText }), "url", { value: response.url })
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** Sends the same bytes each time it is called. */
const repeatable = (
  fetch: RetryingFetch,
  input: string | URL | Request,
  init: RequestInit | undefined,
  signal: AbortSignal | null | undefined
): () => Promise<Response> => {
  // Takes the bytes out of a body that can be read only once. Fails now for a URL or a header that can never be
  // sent: `fetch` itself would fail as if the network were down, until the deadline. Clients have one signal for
  // all their requests, so this one does not listen to it.
  const request = new Request(input, { ...init, signal: null })
  return typeof init?.body === "string"
    ? () => fetch(input, init)
    : () => fetch(request.clone(), { signal: signal ?? null })
}

const isEventStream = (response: Response): boolean =>
  /^\s*text\/event-stream\s*(;|$)/i.test(response.headers.get("content-type") ?? "")

/** Waits until all of the body is here; fails where it is cut off. The response can still be read. */
const complete = async (response: Response): Promise<void> => {
  if (response.body !== null) await response.clone().arrayBuffer()
}

/** `Retry-After` in milliseconds from now: seconds or a date. */
const parseRetryAfter = (value: string | null): number | undefined => {
  if (value === null) return undefined
  const ms = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

interface Retries {
  /** An attempt begins. */
  readonly begin: () => void
  /** Waits before the next attempt, or fails with the error: past the deadline, or aborted. */
  readonly wait: (error: unknown) => Promise<void>
  /** The same, for at least so long; false, at once, where that would be past the deadline. */
  readonly waitAtLeast: (delayMs: number, cause: unknown) => Promise<boolean>
  /** No further attempt: the reader is gone. */
  readonly stop: (reason: unknown) => void
}

const makeRetries = (options: RetryingFetchOptions, signal: AbortSignal | null | undefined): Retries => {
  const { deadlineMs = 60_000, initialDelayMs = 100, maxDelayMs = 2_000, onRetry } = options
  const reader = new AbortController()
  let attempt = 0
  let failures = 0
  let began = 0
  let firstFailure = 0

  const waitAtLeast = async (atLeastMs: number, cause: unknown): Promise<boolean> => {
    const now = Date.now()
    if (failures === 0 || now - began > deadlineMs) {
      firstFailure = now
      failures = 0
    }
    const backOffMs = Math.min(maxDelayMs, initialDelayMs * 2 ** failures) * (0.5 + Math.random() / 2)
    const delayMs = Math.max(atLeastMs, backOffMs)
    if (now + delayMs > firstFailure + deadlineMs) return false
    failures++
    attempt++
    onRetry?.({ attempt, delayMs, cause })
    await pause(delayMs, signal ?? undefined, reader.signal)
    return true
  }
  return {
    begin: () => {
      began = Date.now()
    },
    wait: async (error) => {
      if (signal?.aborted || reader.signal.aborted || !await waitAtLeast(0, error)) throw error
    },
    waitAtLeast,
    stop: (reason) => reader.abort(reason)
  }
}

/** Fails with its reason as soon as one of the signals is aborted. */
const pause = (delayMs: number, ...signals: ReadonlyArray<AbortSignal | undefined>): Promise<void> =>
  new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      for (const signal of signals) signal?.removeEventListener("abort", end)
      const aborted = signals.find((signal) => signal?.aborted)
      if (aborted === undefined) resolve()
      else reject(aborted.reason)
    }
    const timer = setTimeout(end, delayMs)
    for (const signal of signals) signal?.addEventListener("abort", end)
    if (signals.some((signal) => signal?.aborted)) end()
  })

/** One body of the first stream and, while no event with an id was seen, of those that replace it after a cut. */
const joinStreams = (
  first: ReadableStream<Uint8Array>,
  retries: Retries,
  open: () => Promise<Response>
): ReadableStream<Uint8Array> => {
  let reader = first.getReader()
  let scanner = new EventScanner()
  /** The beginning of an event that has not ended yet. */
  let held: Array<Uint8Array> = []
  let cancelled = false

  const reopen = async (error: unknown): Promise<void> => {
    await retries.wait(error)
    const response = await open()
    const body = isEventStream(response) ? response.body : await asEvent(response)
    scanner = new EventScanner()
    held = []
    reader = (body ?? new Blob().stream()).getReader()
    if (cancelled) await reader.cancel()
  }

  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      for (;;) {
        let chunk: Uint8Array | undefined
        try {
          chunk = (await reader.read()).value
        } catch (error) {
          if (scanner.begun) throw error
          await reopen(error)
          continue
        }
        if (chunk === undefined) {
          for (const part of held) controller.enqueue(part)
          return controller.close()
        }
        if (scanner.begun) return controller.enqueue(chunk)
        const end = scanner.scan(chunk)
        if (end < 0) {
          held.push(chunk)
          continue
        }
        const passed = scanner.begun ? chunk.length : end
        for (const part of [...held, chunk.subarray(0, passed)]) if (part.length > 0) controller.enqueue(part)
        held = passed < chunk.length ? [chunk.subarray(passed)] : []
        return
      }
    },
    cancel: async (reason) => {
      cancelled = true
      retries.stop(reason)
      // Fails where the stream was cut already, which is no concern of who cancels.
      await reader.cancel(reason).catch(() => {})
    }
  }, { highWaterMark: 0 })
}

/** The answer of a repeated request that is no stream, for a caller who already reads one. */
const asEvent = async (response: Response): Promise<ReadableStream<Uint8Array> | null> => {
  const text = await response.text()
  if (!response.ok) throw new TypeError(`The repeated request was answered with ${response.status}: ${text}`)
  if (text === "") return null
  return new Blob([text.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`).join(""), "\n"]).stream()
}
