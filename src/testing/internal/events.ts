/**
 * Reads server-sent events from chunks of text. Written for the client's side
 * only: it shares no code with the server that it checks.
 */

/** @internal */
export interface Event {
  readonly id: string | undefined
  readonly retryMs: number | undefined
  /** Empty for a priming event. */
  readonly data: string
}

const parse = (block: string): Event | undefined => {
  let id: string | undefined
  let retryMs: number | undefined
  const data: Array<string> = []
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":")
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "id") {
      id = value
    } else if (field === "retry") {
      retryMs = Number(value)
    } else if (field === "data") {
      data.push(value)
    }
  }
  return id === undefined && retryMs === undefined && data.length === 0
    ? undefined
    : { id, retryMs, data: data.join("\n") }
}

/** Takes chunks, gives the events that are whole. @internal */
export const reader = (): (chunk: string) => ReadonlyArray<Event> => {
  let pending = ""
  return (chunk) => {
    const blocks = (pending + chunk).split("\n\n")
    pending = blocks.pop() ?? ""
    return blocks.map(parse).filter((event) => event !== undefined)
  }
}
