/**
 * Tokens of streams: they hold the id of their stream, so that no index leads
 * from a token to it, and a number, so that a stream that is opened under the id
 * of one that has never been has another token.
 *
 * `<number in base 36>_<id>`, or, where the id has other characters than a token
 * may have, `<number>-<id in base64url>`.
 *
 * @internal
 */

/** @internal */
export interface StreamToken {
  readonly id: string
  readonly nonce: number
}

const plain = /^[A-Za-z0-9_-]+$/
const token = /^([0-9a-z]+)([_-])([A-Za-z0-9_-]+)$/

/** @internal */
export const make = ({ id, nonce }: StreamToken): string =>
  plain.test(id)
    ? `${nonce.toString(36)}_${id}`
    : `${nonce.toString(36)}-${Buffer.from(id).toString("base64url")}`

/**
 * Undefined for what is no token. Whether it is the token of a stream only the
 * stream can say.
 *
 * @internal
 */
export const parse = (text: string): StreamToken | undefined => {
  const match = token.exec(text)
  if (match === null) {
    return undefined
  }
  const [, nonce, kind, rest] = match as unknown as readonly [string, string, string, string]
  const parsed = {
    id: kind === "_" ? rest : Buffer.from(rest, "base64url").toString(),
    nonce: Number.parseInt(nonce, 36)
  }
  // one spelling only: base64url has several of the same bytes
  return make(parsed) === text ? parsed : undefined
}
