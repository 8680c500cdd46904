/**
 * Mutants in the sources of the framework.
 */
import type { Mutant } from "./Mutant.ts"

export const patches: ReadonlyArray<Mutant> = [
  {
    name: "second-answer-wins",
    bug: "a later answer replaces the first",
    edits: [{
      file: "store/internal/callFacts.ts",
      search: "  if (before !== undefined) {\n    return stands(false, before.exit)\n  }\n  execution.signals.set(",
      replace: "  execution.signals.set("
    }]
  },
  {
    name: "second-answer-wins-sqlite",
    bug: "a later answer replaces the first, on SQLite",
    disk: "sqlite",
    edits: [
      {
        file: "store/internal/sqliteStatements.ts",
        search: "ON CONFLICT (execution, name) DO NOTHING`\n    ),\n    signalExit",
        replace: "ON CONFLICT (execution, name) DO UPDATE SET exit = excluded.exit`\n    ),\n    signalExit"
      },
      {
        file: "store/internal/sqliteStatements.ts",
        search: "SET signals = signals + 1,",
        replace: "SET signals = (SELECT count(*) FROM signal WHERE signal.execution = execution.no),"
      }
    ]
  },
  {
    name: "sleep-from-zero",
    bug: "a sleep begins anew with each process",
    edits: [
      {
        file: "engine/internal/sleep.ts",
        search: "const due = record === undefined ? run.now + Duration.toMillis(duration) : Number(record.exit)",
        replace: "const due = run.now + Duration.toMillis(duration)"
      },
      {
        file: "store/internal/callFacts.ts",
        search: "if (before !== undefined || execution.signals.has(write.name)) {",
        replace: "if (execution.signals.has(write.name)) {"
      }
    ]
  },
  {
    name: "suspension-ends-call",
    bug: "a call that is parked is taken for one that was interrupted",
    edits: [{
      file: "engine/internal/Runs.ts",
      search: "    if (run.ending === undefined && Exit.isFailure(exit) &&",
      replace: "    if (run.ending?._tag !== \"Done\" && Exit.isFailure(exit) &&"
    }]
  },
  {
    name: "torn-question",
    bug: "of a torn commit, what came after the record of a question is not sent again",
    edits: [{
      file: "engine/internal/question.ts",
      search: "run.waits.get(answerSignal(path)) !== undefined ? [] : announce(run, path, asked)",
      replace: "run.waits.get(answerSignal(path)) !== undefined ? [] : []"
    }]
  },
  {
    name: "torn-sleep",
    bug: "of a torn commit, the timer that came after the record of a sleep is not armed again",
    edits: [{
      file: "engine/internal/sleep.ts",
      search: ": armed.length === 0 || run.isDecided",
      replace: ": true"
    }]
  },
  {
    name: "compensation-twice",
    bug: "a compensation is recorded under another name in each run",
    edits: [{
      file: "engine/internal/step.ts",
      search: "const path = `${at.path}/${Replay.compensate}`",
      replace: "const path = `${at.path}/${Replay.compensate}${run.number}`"
    }]
  },
  {
    name: "compensation-order",
    bug: "compensations run first first",
    edits: [{
      file: "engine/internal/Compensations.ts",
      search: "const path = this.#order.pop()",
      replace: "const path = this.#order.shift()"
    }]
  },
  {
    name: "progress-of-one-run",
    bug: "progress is told again by each run",
    edits: [
      {
        file: "engine/internal/emission.ts",
        search: "`${progressKey}${notification.progress}`",
        replace: "`run ${run.number}/${progressKey}${notification.progress}`"
      }
    ]
  },
  {
    name: "resume-skips",
    bug: "a resumed stream goes on one event too late",
    edits: [{
      file: "protocol/SessionEra.ts",
      search: "      token,\n      afterSeq,\n      session: isStandalone",
      replace: "      token,\n      afterSeq: afterSeq + 1,\n      session: isStandalone"
    }]
  },
  {
    name: "resume-repeats",
    bug: "a resumed stream begins at its first event",
    edits: [{
      file: "protocol/SessionEra.ts",
      search: "      token,\n      afterSeq,\n      session: isStandalone",
      replace: "      token,\n      afterSeq: 0,\n      session: isStandalone"
    }]
  },
  {
    name: "forgotten-early",
    bug: "a start forgets the calls that ended before it",
    edits: [{
      file: "protocol/internal/retention.ts",
      search: "closedBefore: now - callRetention",
      replace: "closedBefore: now + 1"
    }]
  },
  {
    name: "orphans",
    bug: "the calls of an ended session go on when a crash kept them from being cancelled",
    program: "memos",
    edits: [{
      file: "protocol/internal/retention.ts",
      search: "Effect.forEach(ended, ({ id }) => cancelCalls(id), { discard: true }),",
      replace: "Effect.void,"
    }]
  },
  {
    name: "move-not-repaired",
    bug: "messages whose move was cut off are not carried again",
    program: "memos",
    edits: [{
      file: "session/Outbox.ts",
      search: "if (last !== undefined) yield* carry(",
      replace: "if (false) yield* carry("
    }]
  },
  {
    name: "seq-reused",
    bug: "after a trim, numbers of events are used again",
    program: "memos",
    edits: [{
      file: "store/internal/memoryBackend.ts",
      search: "const seq = this.lastSeq + 1",
      replace: "const seq = this.events.length + 1"
    }]
  },
  {
    name: "stale-process-writes",
    bug: "a process goes on writing when another one has opened the store",
    edits: [{
      file: "store/internal/memoryBackend.ts",
      search: "if (disk.openings !== opening) {",
      replace: "if (disk.openings < opening) {"
    }]
  }
]
