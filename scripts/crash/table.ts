/** Columns of one width each: the first two to the left, numbers to the right. */
export const table = (
  columns: ReadonlyArray<readonly [title: string, align: "left" | "right"]>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): string => {
  const widths = columns.map(([title], i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) =>
    columns.map(([, align], i) => {
      const cell = cells[i] ?? ""
      return align === "left" ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)
    }).join("  ").trimEnd()
  return [line(columns.map(([title]) => title)), ...rows.map(line)].join("\n")
}
