/**
 * Reads what a killed server left behind: its database, with SQL of its own, and
 * the ledgers that its calls wrote. Shares no code with the store.
 */
import { existsSync, readFileSync } from "node:fs"
import * as AuditSqlite from "../../src/testing/internal/auditSqlite.ts"

/** The moment of a kill, as the disk shows it. */
export interface Snapshot {
  /** Keys of the steps whose exit was recorded. */
  readonly recorded: ReadonlySet<string>
  /** Lines of each ledger. */
  readonly lines: ReadonlyMap<string, number>
}

/** Asks the database, which must be whole. */
const query = (filename: string, sql: string): ReadonlyArray<string> => {
  const wrong = AuditSqlite.check(filename)
  if (wrong.length > 0) {
    throw new Error(`${filename}: ${wrong.join("; ")}`)
  }
  return AuditSqlite.withCopy(filename, (db) => db.prepare(sql).all().map(({ value }) => String(value)))
}

/** Keys of the steps that the database holds an exit of. */
export const recordedKeys = (filename: string): ReadonlySet<string> =>
  new Set(query(filename, "SELECT key AS value FROM step WHERE kind = 'step'"))

/** Wire ids of the questions that nobody has answered. */
export const openQuestions = (filename: string): ReadonlySet<string> =>
  new Set(query(
    filename,
    `SELECT name.id || step.key AS value
    FROM step JOIN execution ON execution.no = step.execution JOIN name ON name.no = execution.name
    WHERE step.kind = 'question' AND execution.completed_at IS NULL AND NOT EXISTS (
      SELECT 1 FROM signal WHERE signal.execution = step.execution AND signal.name = 'answer/' || step.name)`
  ))

export const ledgerLines = (path: string): ReadonlyArray<string> =>
  existsSync(path) ? readFileSync(path, "utf8").split("\n").filter((line) => line !== "") : []

export const snapshot = (filename: string, ledgers: ReadonlyArray<string>): Snapshot => ({
  recorded: recordedKeys(filename),
  lines: new Map(ledgers.map((path) => [path, ledgerLines(path).length]))
})

/**
 * What is wrong with a ledger. A line may repeat only if its key had no recorded
 * exit at a kill between the two.
 */
export const violations = (path: string, kills: ReadonlyArray<Snapshot>): ReadonlyArray<string> => {
  const found: Array<string> = []
  const last = new Map<string, number>()
  ledgerLines(path).forEach((key, at) => {
    const before = last.get(key)
    last.set(key, at)
    for (const { lines, recorded } of kills) {
      if (recorded.has(key) && at >= (lines.get(path) ?? 0)) {
        found.push(`${path}: step ${key} was done again after a kill that found its exit recorded`)
      }
    }
    const cutBetween = kills.some(({ lines, recorded }) => {
      const length = lines.get(path) ?? 0
      return before !== undefined && before < length && length <= at && !recorded.has(key)
    })
    if (before !== undefined && !cutBetween) {
      found.push(`${path}: step ${key} was done twice without a kill between`)
    }
  })
  return found
}
