/**
 * Preloaded into a server (`--expose-gc --import`): on SIGUSR2 it collects
 * garbage and prints the live heap.
 */
process.on("SIGUSR2", () => {
  globalThis.gc?.()
  globalThis.gc?.()
  process.stdout.write(`heap ${process.memoryUsage().heapUsed}\n`)
})
