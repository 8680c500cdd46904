/**
 * Sequences of what one can do to a store. The pools are small, so that ids
 * collide and a second write meets the first.
 */
import { Arbitrary, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Write } from "../../src/store/Store.ts"

export const sessionIds = ["s1", "s 2 ключ"] as const
export const executionIds = ["e1", "e2", "e/3 😀"] as const
export const keyNames = ["ids/1", "ids/2"] as const
const names = ["ask", "sleep", "child/e2", "ü\u2028"] as const
const values = ["1", "\"\\u0000 \u2028 é😀\"", "{\"a\":[null,-0.5]}"] as const

const Session = Schema.Literals(sessionIds)
const Execution = Schema.Literals(executionIds)
const Name = Schema.Literals(names)
const Value = Schema.Literals(values)
const SmallInt = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))
/** Times around those that the clock has in a program, which starts at 0. */
const Time = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120_000 }))

const OpenSession = Schema.Struct({
  _tag: Schema.Literal("OpenSession"),
  id: Session,
  principal: Schema.Literals(["anonymous", "ann"]),
  data: Value
})
const SetSession = Schema.Struct({
  _tag: Schema.Literal("SetSession"),
  id: Session,
  name: Schema.Literals(["logLevel", "initialized"]),
  writeKey: Schema.Literals(["w1", "w2"]),
  value: Value
})
const EndSession = Schema.Struct({ _tag: Schema.Literal("EndSession"), id: Session })
const ForgetSession = Schema.Struct({ _tag: Schema.Literal("ForgetSession"), id: Session })
const PutKey = Schema.Struct({ _tag: Schema.Literal("PutKey"), name: Schema.Literals(keyNames), value: Value })
const OpenStream = Schema.Struct({
  _tag: Schema.Literal("OpenStream"),
  stream: Execution,
  session: Schema.optionalKey(Session),
  principal: Schema.Literals(["anonymous", "ann"]),
  requestDigest: Schema.Literals(["d1", "d2"]),
  version: Schema.Literals(["2025-06-18", "2025-11-25"]),
  execution: Schema.optionalKey(Execution)
})
const Append = Schema.Struct({
  _tag: Schema.Literal("Append"),
  stream: Execution,
  key: Schema.Literals(["body/1", "body/2", "charge@1/1", "charge@1/2", "end"]),
  data: Schema.optionalKey(Value)
})
const AppendLast = Schema.Struct({ ...Append.fields, last: Schema.Boolean })
const Trim = Schema.Struct({ _tag: Schema.Literal("Trim"), stream: Execution, beforeSeq: SmallInt })
const StartExecution = Schema.Struct({
  _tag: Schema.Literal("StartExecution"),
  id: Execution,
  workflow: Schema.Literals(["ToolCall", "Mine"]),
  payload: Value,
  parent: Schema.optionalKey(Execution)
})
const BeginRecovery = Schema.Struct({
  _tag: Schema.Literal("BeginRecovery"),
  id: Execution,
  boot: Schema.Literals(["b1", "b2"])
})
const RecordStep = Schema.Struct({
  _tag: Schema.Literal("RecordStep"),
  id: Execution,
  name: Name,
  key: Schema.Literals(["k1", "k2"]),
  kind: Schema.Literals(["step", "attempt"]),
  root: Schema.Boolean,
  version: Schema.Literals(["1.0.0", "1.1.0"]),
  exit: Value
})
const Signal = Schema.Struct({ _tag: Schema.Literal("Signal"), id: Execution, name: Name, exit: Value })
const ArmTimer = Schema.Struct({ _tag: Schema.Literal("ArmTimer"), id: Execution, name: Name, at: Time, exit: Value })
const RequestCancel = Schema.Struct({
  _tag: Schema.Literal("RequestCancel"),
  id: Execution,
  mode: Schema.Literals(["safe", "now"])
})
const Park = Schema.Struct({
  _tag: Schema.Literal("Park"),
  id: Execution,
  seenSignals: SmallInt,
  seenCancel: Schema.Boolean,
  state: Schema.Literals(["waiting", "waiting", "stopped", "stuck"]),
  reason: Schema.optionalKey(Value)
})
const Resume = Schema.Struct({ _tag: Schema.Literal("Resume"), id: Execution })
const Complete = Schema.Struct({ _tag: Schema.Literal("Complete"), id: Execution, result: Value })
const Forget = Schema.Struct({ _tag: Schema.Literal("Forget"), id: Execution })

/** What begins things is likelier than what ends them. */
const AnyWrite = Schema.Union([
  Schema.Union([OpenSession, SetSession, PutKey]),
  OpenStream,
  Schema.Union([Append, Append, AppendLast]),
  StartExecution,
  Schema.Union([StartExecution, Park]),
  Schema.Union([RecordStep, BeginRecovery]),
  Schema.Union([Signal, ArmTimer]),
  Schema.Union([Park, Resume, RequestCancel]),
  Schema.Union([Trim, Complete, AppendLast]),
  Schema.Union([Complete, Forget, EndSession, ForgetSession])
])

export const anyWrite: Arbitrary.Arbitrary<Write> = Arbitrary.schema(AnyWrite)

export type Writes = NonEmptyReadonlyArray<Write>

const writes = Arbitrary.array(Arbitrary.schema(AnyWrite), { minLength: 1, maxLength: 4 }).pipe(
  Arbitrary.map((list) => list as unknown as Writes)
)

export type Command =
  | { readonly _tag: "Commit" | "Submit"; readonly writes: Writes }
  /** Commits that share a batch. */
  | { readonly _tag: "Together"; readonly commits: ReadonlyArray<Writes> }
  /** Reads while the commits are on their way. */
  | { readonly _tag: "ReadWhileWriting"; readonly commits: ReadonlyArray<Writes> }
  /** The process ends when the first `applied` writes stand; the next one sends all again. */
  | { readonly _tag: "Torn"; readonly writes: Writes; readonly applied: number }
  | { readonly _tag: "Reopen" }
  | { readonly _tag: "Advance"; readonly millis: number }
  | { readonly _tag: "Query"; readonly query: typeof Query["Type"] }
  | { readonly _tag: "ReadAll" }

const Query = Schema.Struct({
  session: Schema.optionalKey(Session),
  workflow: Schema.optionalKey(Schema.Literals(["ToolCall", "Mine"])),
  states: Schema.optionalKey(
    Schema.Array(Schema.Literals(["running", "waiting", "stopped", "stuck", "completed"])).check(Schema.isMaxLength(3))
  ),
  principal: Schema.optionalKey(Schema.Literals(["anonymous", "ann"])),
  ended: Schema.optionalKey(Schema.Boolean),
  before: Schema.optionalKey(Time)
})

const commits = Arbitrary.array(writes, { minLength: 1, maxLength: 3 })

/** What a call begins with, without which most other writes find nothing. */
const begin = Arbitrary.schema(Schema.Tuple([OpenSession, OpenStream, StartExecution])).pipe(
  Arbitrary.map(([session, stream, execution]): Writes => [session, stream, { ...execution, id: stream.stream }])
)

/** How a session goes, which a program would hardly come by. */
const retire = Arbitrary.schema(
  Schema.Tuple([Complete, EndSession, ForgetSession]).check(
    Schema.makeFilter(([, end, forget]) => end.id === forget.id)
  )
)

const commandOf = {
  Retire: Arbitrary.map(retire, (writes): Command => ({ _tag: "Commit", writes })),
  Begin: Arbitrary.map(begin, (writes): Command => ({ _tag: "Commit", writes })),
  Commit: Arbitrary.map(writes, (writes): Command => ({ _tag: "Commit", writes })),
  Submit: Arbitrary.map(writes, (writes): Command => ({ _tag: "Submit", writes })),
  Together: Arbitrary.map(commits, (commits): Command => ({ _tag: "Together", commits })),
  ReadWhileWriting: Arbitrary.map(commits, (commits): Command => ({ _tag: "ReadWhileWriting", commits })),
  Torn: Arbitrary.all([writes, Arbitrary.schema(SmallInt)]).pipe(
    Arbitrary.map(([writes, applied]): Command => ({ _tag: "Torn", writes, applied }))
  ),
  Reopen: Arbitrary.Constant<Command>({ _tag: "Reopen" }),
  Advance: Arbitrary.map(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60_000 }))),
    (millis): Command => ({ _tag: "Advance", millis })
  ),
  Query: Arbitrary.map(Arbitrary.schema(Query), (query): Command => ({ _tag: "Query", query })),
  ReadAll: Arbitrary.Constant<Command>({ _tag: "ReadAll" })
}

const command = Arbitrary.schema(Schema.Literals([
  "Retire0",
  "Begin0",
  "Begin1",
  "Commit0",
  "Commit1",
  "Commit2",
  "Commit3",
  "Commit4",
  "Submit0",
  "Together0",
  "Together1",
  "ReadWhileWriting0",
  "Torn0",
  "Reopen0",
  "Advance0",
  "Query0",
  "ReadAll0"
])).pipe(
  Arbitrary.flatMap((choice): Arbitrary.Arbitrary<Command> => commandOf[choice.slice(0, -1) as keyof typeof commandOf])
)

export const commands: Arbitrary.Arbitrary<ReadonlyArray<Command>> = Arbitrary.array(command, {
  minLength: 1,
  maxLength: 24
})
