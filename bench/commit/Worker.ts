/**
 * The other candidate: commits in a thread of its own. It gets a batch, answers
 * with the outcomes, and gets the next one.
 */
import { parentPort, workerData } from "node:worker_threads"
import type { Write } from "../../src/store/Store.ts"
import * as Disk from "./Disk.ts"

const { backend } = Disk.open(workerData.filename, workerData.diskMs)

parentPort!.on("message", (message: { readonly batch: ReadonlyArray<ReadonlyArray<Write>>; readonly now: number }) => {
  try {
    parentPort!.postMessage(backend.apply(message.batch, message.now))
  } catch (cause) {
    parentPort!.postMessage({ error: String(cause) })
  }
})
parentPort!.postMessage("open")
