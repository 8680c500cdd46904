/**
 * What a bench found: rows with one figure per server, and what was to be
 * reached.
 */

export interface Row {
  readonly what: string
  readonly unit: string
  /** One value per server, the median of its rounds. */
  readonly values: Readonly<Record<string, number>>
  /** All rounds, for the JSON file. */
  readonly rounds?: Readonly<Record<string, ReadonlyArray<number>>> | undefined
  readonly note?: string | undefined
  readonly target?: { readonly text: string; readonly reached: boolean } | undefined
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

const figure = (value: number | undefined): string =>
  value === undefined
    ? "-"
    : Math.abs(value) >= 100
    ? Math.round(value).toLocaleString("en")
    : Number(value.toPrecision(3)).toString()

/** The rows as a table of text. */
export const render = (servers: ReadonlyArray<string>, rows: ReadonlyArray<Row>): string => {
  const lines = rows.map((row) => [
    row.what,
    row.unit,
    ...servers.map((server) => figure(row.values[server])),
    row.target === undefined ? row.note ?? "" : `${row.target.reached ? "reached" : "MISSED"}: ${row.target.text}`
  ])
  const all = [["", "", ...servers, ""], ...lines]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0))) ?? []
  return all
    .map((line) =>
      line
        .map((cell, column) =>
          column < 2 || column === line.length - 1
            ? cell.padEnd(widths[column] ?? 0)
            : cell.padStart(widths[column] ?? 0)
        )
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
