const LF = 10
const CR = 13

/** How many bytes of a line tell which field it is: those of `data:`, or of `id:` and a space. */
const prefixLength = 5

/**
 * Finds, in the bytes of an event stream and however they are cut into chunks,
 * where events end, and the first that a client can resume from.
 *
 * Reads as the parsers of clients do: a `CR` at the end of a chunk may be half
 * of a `CR LF`, so it ends its line only when the next byte is known.
 *
 * @internal
 */
export class EventScanner {
  /** An event with an id has ended: the client knows where to resume (S-R6). */
  begun = false

  private prefix = ""
  private length = 0
  private heldCR = false
  private hasData = false
  private hasId = false

  /**
   * Index in the chunk after the last event that ended in it, or -1. Stops at
   * the first event with an id.
   *
   * @internal
   */
  scan(chunk: Uint8Array): number {
    let end = -1
    for (let i = 0; i < chunk.length && !this.begun; i++) {
      const byte = chunk[i]!
      if (this.heldCR) {
        this.heldCR = false
        if (this.endLine()) end = byte === LF ? i + 1 : i
        if (this.begun || byte === LF) continue
      }
      if (byte === LF) {
        if (this.endLine()) end = i + 1
      } else if (byte === CR) {
        this.heldCR = true
      } else {
        if (this.length < prefixLength) this.prefix += String.fromCharCode(byte)
        this.length++
      }
    }
    return end
  }

  /** Whether the line was the empty one that ends an event. */
  private endLine(): boolean {
    const { length, prefix } = this
    this.prefix = ""
    this.length = 0
    if (length > 0) {
      if (prefix === "data" || prefix.startsWith("data:")) this.hasData = true
      // An empty value takes the id back.
      else if (prefix === "id" || prefix.startsWith("id:")) this.hasId = length > (prefix.startsWith("id: ") ? 4 : 3)
      return false
    }
    // Without data, clients do not see the event, nor therefore its id (S-R3).
    this.begun = this.hasData && this.hasId
    this.hasData = false
    this.hasId = false
    return true
  }
}
