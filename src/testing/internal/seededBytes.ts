/**
 * Bytes that look random and are the same for the same seed (mulberry32).
 *
 * @internal
 */
export const seededBytes = (seed: number): (size: number) => Uint8Array => {
  let state = Math.imul(seed + 1, 0x9E3779B1)
  const next = () => {
    state = (state + 0x6D2B79F5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) & 0xFF
  }
  return (size) => Uint8Array.from({ length: size }, next)
}
