/**
 * `examples/everything` under SIGKILL at random moments, driven by the official
 * SDK v1 client.
 *
 * With `retryingFetch` nothing may be lost. With the client's own `fetch` a call
 * may be lost that was cut off before its first event id arrived, and so may an
 * answer that was cut off before its 202: such losses are counted, any other
 * one is a violation.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { type CallToolResult, CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js"
import { Effect, FileSystem, Random, Scope } from "effect"
import { retryingFetch } from "effect-durable-mcp/client"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Checker from "./checker.ts"

export interface Options {
  readonly kills: number
  /** `retrying`: `retryingFetch`; `plain`: the client's own, which never repeats a POST. */
  readonly fetch: "retrying" | "plain"
  readonly onRound?: ((text: string) => Effect.Effect<void>) | undefined
}

export interface Report {
  readonly kills: number
  readonly calls: number
  readonly questions: number
  /** Progress messages. */
  readonly events: number
  /** Steps that were cut off and done again, under the same key. */
  readonly repeatedSteps: number
  /** Allowed losses; 0 with `retrying`. */
  readonly lostCalls: number
  readonly lostAnswers: number
  readonly violations: ReadonlyArray<string>
}

/** Names of what is checked, for a report. */
export const invariants: ReadonlyArray<string> = [
  "after each kill the database is whole",
  "a line of a ledger repeats only if its key had no recorded exit at a kill between",
  "each result is right",
  "each question is asked once",
  "each progress message arrives once and in order",
  "with retryingFetch nothing is lost",
  "with the client's own fetch only a call before its first event id, or an answer before its 202"
]

const everything = fileURLToPath(new URL("../../examples/everything/main.ts", import.meta.url))

const linesOfLedger = 6
const stepsOfProgress = 12
const ledgersPerRound = 3
const killsPerRound = 5

/** After the last kill of a round all that can end has ended within this time. */
const patienceMs = 30_000

/** A call as its client sees it. */
interface Call {
  readonly what: string
  readonly expected: string
  readonly result: Promise<CallToolResult>
  outcome: "open" | "failed" | "done"
  text: string | undefined
  /** Its first event id has arrived: from there the client resumes. */
  resumable: boolean
}

export const campaign = Effect.fnUntraced(function*(options: Options) {
  const fs = yield* FileSystem.FileSystem
  const dataDir = yield* fs.makeTempDirectoryScoped({ prefix: "kill-" })
  const database = join(dataDir, "everything.db")
  const scope = yield* Scope.Scope

  const startServer = (port: string) =>
    ServerProcess.start({ program: everything, env: { PORT: port, DATA_DIR: dataDir } }).pipe(Scope.provide(scope))

  let server = yield* startServer("0")
  const url = new URL(server.url)
  const violations: Array<string> = []
  const totals = { kills: 0, calls: 0, questions: 0, events: 0, repeatedSteps: 0, lostCalls: 0, lostAnswers: 0 }

  const round = Effect.fnUntraced(function*(number: number, kills: number) {
    const ledgers = Array.from({ length: ledgersPerRound }, (_, i) => join(dataDir, `ledger-${number}-${i}`))
    const thinking = yield* Effect.forEach(ledgers, () => Random.nextIntBetween(0, 300))
    const snapshots: Array<Checker.Snapshot> = []
    /** Wire ids of the questions in the order in which they came. */
    const asked: Array<string> = []
    let answersCut = 0

    // ---- the client
    const watching: typeof fetch = async (input, init) => {
      const isAnswer = typeof init?.body === "string" && /"action":/.test(init.body)
      try {
        const response = await fetch(input, init)
        if (isAnswer && response.status !== 202) {
          violations.push(`round ${number}: an answer was refused with ${response.status}`)
        }
        return response
      } catch (error) {
        answersCut += isAnswer ? 1 : 0
        throw error
      }
    }
    const transport = new StreamableHTTPClientTransport(url, {
      fetch: options.fetch === "retrying" ? retryingFetch({ fetch: watching }) : watching,
      reconnectionOptions: {
        initialReconnectionDelay: 50,
        maxReconnectionDelay: 500,
        reconnectionDelayGrowFactor: 1.2,
        maxRetries: 1000
      }
    })
    const client = new Client({ name: "kill", version: "1.0.0" }, { capabilities: { elicitation: {} } })
    client.setRequestHandler(ElicitRequestSchema, async (_request, { requestId }) => {
      asked.push(String(requestId))
      await delay(thinking[asked.length % thinking.length] ?? 0)
      return { action: "accept", content: { ok: true } }
    })
    yield* Effect.promise(() => client.connect(transport as Transport))

    const progress: Array<number> = []
    const start = (name: string, args: Record<string, unknown>, expected: string): Call => {
      const call: Call = {
        what: `round ${number}: ${name} ${JSON.stringify(args)}`,
        expected,
        outcome: "open",
        text: undefined,
        resumable: false,
        result: client.callTool({ name, arguments: args }, CallToolResultSchema, {
          timeout: 600_000,
          onresumptiontoken: () => {
            call.resumable = true
          },
          ...name === "slow_steps"
            ? { onprogress: ({ progress: value }) => Number.isInteger(value) && progress.push(value) }
            : {}
        }) as Promise<CallToolResult>
      }
      call.result.then(
        ({ content }) => {
          const [first] = content
          call.outcome = "done"
          call.text = first?.type === "text" ? first.text : undefined
        },
        (error: unknown) => {
          call.outcome = "failed"
          call.text = String(error)
        }
      )
      return call
    }
    const steps = start("slow_steps", { n: stepsOfProgress, delay_ms: 60 }, `done:${stepsOfProgress}`)
    const ledgerCalls = ledgers.map((path) =>
      start("ledger", { path, n: linesOfLedger, delay_ms: 60 }, `done:${linesOfLedger}`)
    )
    const calls = [steps, ...ledgerCalls]

    // ---- the kills
    for (let i = 0; i < kills; i++) {
      yield* Effect.sleep(yield* Random.nextIntBetween(20, 700))
      yield* server.kill
      totals.kills++
      snapshots.push(Checker.snapshot(database, ledgers))
      server = yield* startServer(url.port)
    }

    // ---- what came of it
    const settled = yield* Effect.promise(() =>
      Promise.race([
        Promise.allSettled(calls.map(({ result }) => result)).then(() => true),
        // with a client that loses answers some calls never end
        (async () => {
          for (let waited = 0; waited < patienceMs; waited += 100) {
            await delay(100)
            const resumed = calls.filter(({ outcome, resumable }) => outcome === "open" && resumable).length
            if (options.fetch === "plain" && resumed <= answersCut && waited >= (resumed === 0 ? 2000 : 10_000)) {
              return false
            }
          }
          return false
        })()
      ])
    )
    // what the client could not deliver the server has not got: each such question excuses one call
    const open = Checker.openQuestions(database)
    let unanswered = Math.min(answersCut, asked.filter((wireId) => open.has(wireId)).length)
    for (const call of calls) {
      totals.calls++
      if (call.outcome === "done") {
        if (call.text !== call.expected) {
          violations.push(`${call.what}: the result is ${call.text} and not ${call.expected}`)
        }
      } else if (options.fetch === "plain" && !call.resumable) {
        totals.lostCalls++
      } else if (options.fetch === "plain" && call.outcome === "open" && unanswered > 0) {
        unanswered--
        totals.lostAnswers++
      } else {
        violations.push(`${call.what}: ${call.outcome === "open" ? "it never ended" : call.text}`)
      }
    }
    if (!settled && options.fetch === "retrying") {
      violations.push(`round ${number}: not all calls ended. ${yield* server.output}`)
    }
    totals.events += progress.length
    if (
      steps.outcome === "done" && progress.join() !== Array.from({ length: stepsOfProgress }, (_, i) => i + 1).join()
    ) {
      violations.push(`${steps.what}: progress ${progress.join()}`)
    }
    totals.questions += asked.length
    if (new Set(asked).size !== asked.length) {
      violations.push(`round ${number}: a question was asked twice: ${asked.join()}`)
    }
    if (options.fetch === "retrying" && asked.length !== ledgers.length) {
      violations.push(`round ${number}: ${asked.length} questions for ${ledgers.length} calls`)
    }
    ledgers.forEach((path, i) => {
      violations.push(...Checker.violations(path, snapshots))
      const lines = Checker.ledgerLines(path)
      const steps = new Set(lines).size
      totals.repeatedSteps += lines.length - steps
      if (ledgerCalls[i]?.outcome === "done" && steps !== linesOfLedger) {
        violations.push(`${path}: ${steps} steps and not ${linesOfLedger}`)
      }
    })
    yield* Effect.promise(() => client.close())
  })

  for (let number = 1; totals.kills < options.kills; number++) {
    yield* round(number, Math.min(killsPerRound, options.kills - totals.kills))
    yield* options.onRound?.(
      `${options.fetch} fetch, round ${number}: ${totals.kills} kills, ${totals.repeatedSteps} steps repeated, ` +
        `${totals.lostCalls + totals.lostAnswers} lost, ${violations.length} violations`
    ) ?? Effect.void
  }
  const report: Report = { ...totals, violations }
  return report
}, Effect.scoped)
