/**
 * The load generator: a process of its own, so that it can have a core of its
 * own. Reads jobs from its channel to the parent and answers each with one
 * result.
 */
import { type McpConnection, open } from "./internal/McpConnection.ts"

/** Calls one tool over `connections` sessions for `seconds`, each as fast as its answers come. */
export interface Job {
  readonly url: string
  readonly connections: number
  readonly seconds: number
  readonly tool: string
  readonly args: unknown
  readonly progress: boolean
  /** Text that each answer must hold. */
  readonly expect: string
  /** Progress messages that each answer must hold. */
  readonly messages: number
}

export interface Result {
  readonly calls: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** CPU that the load itself used, in cores. */
  readonly loadCores: number
}

/** Sessions are kept between jobs: opening one is not what is measured. */
const sessions = new Map<string, Array<McpConnection>>()

const count = (text: string, what: string): number => {
  let n = 0
  for (let at = text.indexOf(what); at !== -1; at = text.indexOf(what, at + what.length)) {
    n++
  }
  return n
}

const connectionsOf = async (job: Job): Promise<ReadonlyArray<McpConnection>> => {
  const known = sessions.get(job.url) ?? []
  sessions.set(job.url, known)
  while (known.length < job.connections) {
    known.push(await open(new URL(job.url)))
  }
  const used = known.slice(0, job.connections)
  await Promise.all(used.map((connection) => connection.reconnect()))
  return used
}

const run = async (job: Job): Promise<Result> => {
  const connections = await connectionsOf(job)
  const latencies: Array<number> = []
  const cpu = process.cpuUsage()
  const begun = performance.now()
  const until = begun + job.seconds * 1000
  await Promise.all(connections.map(async (connection) => {
    for (let now = performance.now(); now < until;) {
      const { body, status } = await connection.call(job.tool, job.args, { progress: job.progress })
      const end = performance.now()
      latencies.push(end - now)
      now = end
      if (status !== 200 || !body.includes(job.expect) || count(body, "notifications/progress") !== job.messages) {
        throw new Error(`wrong answer (${status}) to ${job.tool}: ${body}`)
      }
    }
  }))
  const seconds = (performance.now() - begun) / 1000
  const { system, user } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  return {
    calls: latencies.length,
    seconds,
    p50: latencies[Math.floor(latencies.length * 0.5)] ?? 0,
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    loadCores: (user + system) / 1e6 / seconds
  }
}

process.on("message", (job: Job) => {
  run(job).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) })
  )
})
process.on("disconnect", () => process.exit(0))
process.send?.("ready")
