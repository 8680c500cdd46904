/**
 * A program for a reader.
 */
import type { Program, Step, Term } from "./program.ts"

/** Pseudo-code, a line each node: `x1` is the value of the second node in scope. */
export const print = (program: Program): string => lines(program, 0).join("\n")

const indent = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map((line) => `  ${line}`)

const lines = (program: Program, scope: number): ReadonlyArray<string> => {
  const block = (head: string, body: Program, known = scope) => [head, ...indent(lines(body, known))]
  switch (program._tag) {
    case "Give":
      return [term(program.value, scope)]
    case "Fail":
      return [`fail ${term(program.code, scope)}`]
    case "Bind": {
      const [head, ...rest] = program.first._tag === "Bind" ? block("do", program.first) : lines(program.first, scope)
      return [`x${scope} = ${head}`, ...rest, ...lines(program.next, scope + 1)]
    }
    case "If":
      return [...block(`if odd ${term(program.odd, scope)}`, program.yes), ...block("else", program.no)]
    case "Repeat":
      return block(
        `repeat ${program.times} times, x${scope} = 0 and then what the last time gave`,
        program.body,
        scope + 1
      )
    case "Catch":
      return [...block("try", program.body), ...block(`catch x${scope}`, program.next, scope + 1)]
    case "Ensure":
      return [...block("try", program.body), ...block("finally", program.last)]
    case "All":
      return [
        `all, ${program.atATime} at a time`,
        ...program.branches.flatMap((branch) => block("  and", branch).map((line) => `  ${line}`))
      ]
    case "Race":
      return [
        program.inStep ? `race in step ${program.name}` : "race",
        ...indent([...lines(program.left, scope), ...lines(program.right, scope)])
      ]
    case "Abandon":
      return [`abandon ${program.name} after ${program.after} ms`, ...indent(step(program.body, scope))]
    case "Sleep":
      return [`sleep ${program.name} for ${program.ms} ms`]
    case "Question": {
      const { after, name, reply, value } = program
      const said = { accept: `${value} after ${after} ms`, refuse: `no after ${after} ms`, nothing: "nothing" }[reply]
      return [`${program.of === "user" ? "ask the user" : "ask the model"} ${name}, who says ${said}`]
    }
    case "Say":
      return [`tell ${program.as} ${term(program.value, scope)}`]
    case "Step":
      return step(program, scope)
  }
}

const step = ({ fails, how, inside, name, once, pause, retries, takes, undo }: Step, scope: number) => {
  const traits = [
    `${takes} ms`,
    ...fails > 0 ? [`${{ fail: "fails", die: "dies", hang: "hangs" }[how]} ${fails} times`] : [],
    ...retries > 0 ? [`${retries} retries every ${pause} ms`] : [],
    ...once ? ["at most once"] : [],
    ...undo ? ["to be undone"] : []
  ]
  const [only, ...more] = lines(inside, scope)
  const head = `step ${name} (${traits.join(", ")})`
  return more.length === 0 ? [`${head}: ${only}`] : [head, ...indent([...only === undefined ? [] : [only], ...more])]
}

const term = ({ back, plus }: Term, scope: number): string =>
  back === null || back >= scope ? String(plus) : plus === 0 ? `x${scope - 1 - back}` : `x${scope - 1 - back} + ${plus}`
