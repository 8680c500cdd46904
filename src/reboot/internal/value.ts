/**
 * Values of the store inside states: short ones as they are, long ones in chunks
 * that are written before the state that names them, since a write rewrites the
 * whole state.
 *
 * @internal
 */

/** @internal */
export type Value = string | InChunks

/** The value is the text of the chunks `<chunk>.0`, `<chunk>.1` and so on, joined. */
export interface InChunks {
  /** Names the content: the same value has the same chunks. */
  readonly chunk: string
  readonly parts: number
}
