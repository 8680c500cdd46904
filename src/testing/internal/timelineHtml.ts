/**
 * A timeline as a drawing: rows in the order of what happened, a column for each
 * lane. Written by hand, since it is one page without scripts and must be
 * readable from a file.
 */
import * as Duration from "effect/Duration"
import type { Entry } from "../Timeline.ts"

/** @internal */
export interface Row extends Entry {
  /** A fault with which the process ends. */
  readonly death: boolean
}

/** @internal */
export interface Page {
  readonly title: string
  readonly token: string | undefined
  readonly violations: ReadonlyArray<string>
  readonly entries: ReadonlyArray<Row>
  /** The same as text. */
  readonly text: string
}

interface Column {
  readonly name: string
  readonly x: number
  readonly width: number
}

/** Pixels. Letters are those of a font whose letters are all as wide. */
const rowHeight = 19
const gapHeight = 22
const letterWidth = 6.62
const padding = 16
const timeWidth = 96

/** Virtual time that is worth a line of its own, in milliseconds. */
const longGap = 1000

const columnsOf = (
  ...widths: ReadonlyArray<readonly [name: string, width: number]>
): Readonly<Record<string, Column>> => {
  const columns: Record<string, Column> = {}
  let x = timeWidth
  for (const [name, width] of widths) {
    columns[name] = { name, x, width }
    x += width
  }
  return columns
}

const lanes = columnsOf(["client", 420], ["process", 130], ["step", 190], ["world", 210], ["store", 390])
const pageWidth = timeWidth + Object.values(lanes).reduce((sum, { width }) => sum + width, 0)

/** Backgrounds of processes, in turn. */
const bands = ["#eef4fb", "#f3f7ea", "#fbf3e6", "#f3eefb", "#e9f6f4", "#fbeef3"]
const bars = ["#7ba7d7", "#9dbb61", "#dba94f", "#a98bd3", "#5fb3a5", "#d588a6"]

const inTurn = (colours: ReadonlyArray<string>, process: number): string =>
  colours[(process - 1) % colours.length] ?? "#fff"

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "\"": "&quot;",
  "'": "&#39;"
}

/** Text for HTML; what no page may hold is shown as the sign for it. */
const escape = (text: string): string =>
  text.toWellFormed()
    .replace(/[&<>"']/g, (character) => escapes[character] ?? "")
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, "\ufffd")

const cut = (text: string, pixels: number): string => {
  const line = text.replace(/\s+/g, " ")
  const fitting = Math.floor(pixels / letterWidth)
  return line.length <= fitting ? line : `${Array.from(line).slice(0, fitting - 1).join("")}…`
}

const format = (ms: number): string => Duration.format(Duration.millis(Math.round(ms)))

const rect = (x: number, y: number, width: number, height: number, rest: string): string =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" ${rest}/>`

const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
  `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${kind}"/>`

/** Text that fits, with all of it under the pointer. */
const label = (x: number, y: number, pixels: number, kind: string, text: string, full: string): string =>
  `<text x="${x}" y="${y}" class="${kind}">${escape(cut(text, pixels))}<title>${escape(full)}</title></text>`

/** Where each row lies: below the one before it, and below a gap where time has passed. */
const placed = (entries: ReadonlyArray<Row>) => {
  let y = padding
  let at: number | undefined
  return entries.map((entry) => {
    const passed = at === undefined ? 0 : entry.at - at
    const gap = passed >= longGap ? y : undefined
    y += gap === undefined ? 0 : gapHeight
    const row = { ...entry, y, gap, passed, isLater: at === undefined || passed !== 0 }
    y += rowHeight
    at = entry.at
    return row
  })
}

type Placed = ReturnType<typeof placed>[number]

/** From the first to the last thing that a process did. More than one may live at a time. */
const lifetimes = (rows: ReadonlyArray<Placed>) => {
  const lives = new Map<number, { readonly process: number; readonly from: number; to: number; column: number }>()
  for (const { process, y } of rows) {
    const life = lives.get(process)
    if (life === undefined) {
      lives.set(process, { process, from: y, to: y + rowHeight, column: 0 })
    } else {
      life.to = y + rowHeight
    }
  }
  const all = Array.from(lives.values())
  for (const [i, life] of all.entries()) {
    const taken = new Set(all.slice(0, i).filter(({ to }) => to > life.from).map(({ column }) => column))
    while (taken.has(life.column)) {
      life.column++
    }
  }
  return all
}

/** What a glance wants: the same in every message says nothing. */
const inShort = (row: Row): string => {
  switch (row.lane) {
    case "client":
      return row.text.replace("{\"jsonrpc\":\"2.0\",", "{")
    case "process":
      return `${row.process} ${row.text}`
    default:
      return row.text
  }
}

const isRead = (text: string): boolean => /^\d+ read /.test(text)

const drawRow = (row: Placed): string => {
  const base = row.y + rowHeight - 6
  const full = `${format(row.at)}, process ${row.process}, ${row.lane}: ${row.text}`
  switch (row.lane) {
    case "violation":
      return rect(timeWidth, row.y, pageWidth - timeWidth, rowHeight, "class=\"violation-row\"") +
        label(timeWidth + 8, base, pageWidth - timeWidth - 16, "violation", `✗ ${row.text}`, full)
    case "fault":
      return line(timeWidth, row.y + rowHeight - 1, pageWidth, row.y + rowHeight - 1, row.death ? "death" : "fault") +
        label(timeWidth + 8, base, pageWidth - timeWidth - 16, "fault-text", `⚡ ${row.text}`, full)
    default: {
      const lane = lanes[row.lane]
      if (lane === undefined) {
        return ""
      }
      const left = row.lane === "process" ? lane.x + 38 : lane.x + 16
      const kind = row.lane === "store" && isRead(row.text) ? "read" : row.lane
      return `<circle cx="${left - 8}" cy="${base - 4}" r="3" class="dot-${kind}"/>` +
        label(left, base, lane.x + lane.width - left - 4, kind, inShort(row), full)
    }
  }
}

const draw = (entries: ReadonlyArray<Row>): string => {
  const rows = placed(entries)
  const height = (rows.at(-1)?.y ?? 0) + rowHeight + padding
  const marks: Array<string> = []
  for (const row of rows) {
    marks.push(rect(timeWidth, row.y, pageWidth - timeWidth, rowHeight, `fill="${inTurn(bands, row.process)}"`))
  }
  for (const { x } of Object.values(lanes)) {
    marks.push(line(x, padding, x, height - padding, "grid"))
  }
  for (const row of rows) {
    if (row.gap !== undefined) {
      const middle = row.gap + gapHeight / 2
      marks.push(
        line(timeWidth, middle, pageWidth, middle, "gap"),
        `<text x="${timeWidth - 10}" y="${middle + 4}" class="later">+ ${format(row.passed)}</text>`
      )
    }
    if (row.isLater) {
      marks.push(`<text x="${timeWidth - 10}" y="${row.y + rowHeight - 6}" class="time">${format(row.at)}</text>`)
    }
  }
  for (const { column, from, process, to } of lifetimes(rows)) {
    const x = (lanes["process"]?.x ?? 0) + 6 + column * 8
    marks.push(
      `<g>${rect(x, from + 2, 6, Math.max(4, to - from - 4), `rx="3" fill="${inTurn(bars, process)}"`)}` +
        `<title>process ${process}</title></g>`
    )
  }
  for (const row of rows) {
    marks.push(drawRow(row))
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${pageWidth}" height="${height}" ` +
    `viewBox="0 0 ${pageWidth} ${height}">${marks.join("\n")}</svg>`
}

const style = `
:root { color-scheme: light }
body { margin: 24px; color: #1c2430; background: #fff; font: 14px/1.45 system-ui, sans-serif }
h1 { font-size: 20px; margin: 0 0 8px }
p { margin: 4px 0 }
code, pre, text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 11px }
code { background: #f1f3f6; padding: 1px 4px; border-radius: 3px; font-size: 12px }
ul.violations { margin: 12px 0; padding: 8px 12px 8px 28px; background: #fdecea; border-left: 4px solid #c62828;
  max-width: ${pageWidth - 44}px; white-space: pre-wrap; overflow-wrap: anywhere }
.lanes { position: sticky; top: 0; width: ${pageWidth}px; height: 24px; background: #fff; z-index: 1;
  border-bottom: 1px solid #c3cad4 }
.lanes span { position: absolute; bottom: 3px; font-weight: 600; font-size: 12px }
pre { white-space: pre; overflow-x: auto }
text { fill: #1c2430 }
.time { fill: #6b7685; text-anchor: end }
.later { fill: #9aa4b1; text-anchor: end; font-style: italic }
.grid { stroke: #fff; stroke-width: 2 }
.gap { stroke: #b9c1cc; stroke-dasharray: 2 4 }
.death { stroke: #c62828; stroke-width: 2 }
.fault { stroke: #e08a00; stroke-dasharray: 6 3 }
.fault-text { fill: #a61b1b; font-weight: 600; paint-order: stroke; stroke: #fff; stroke-width: 3 }
.violation-row { fill: #f9d2ce }
.violation { fill: #8e0f0f; font-weight: 600 }
text.read { fill: #98a2af }
text.process { font-weight: 600 }
.dot-client { fill: #2563b0 } .dot-step { fill: #6d3fb5 } .dot-world { fill: #c2571a } .dot-store { fill: #3b4756 }
.dot-read { fill: #c3cad4 } .dot-process { fill: #1c2430 }
`

/** @internal */
export const render = (page: Page): string => {
  const processes = new Set(page.entries.map(({ process }) => process)).size
  const deaths = page.entries.filter(({ death }) => death).length
  const duration = (page.entries.at(-1)?.at ?? 0) - (page.entries[0]?.at ?? 0)
  const replay = page.token === undefined
    ? ""
    : `<p>Schedule <code>${escape(page.token)}</code>, to replay: <code>${
      escape(`CrashTest.replay(options, ${JSON.stringify(page.token)})`)
    }</code></p>\n`
  const violations = page.violations.length === 0
    ? ""
    : `<ul class="violations">${page.violations.map((text) => `<li>${escape(text)}</li>`).join("")}</ul>\n`
  const heads = Object.values(lanes).map(({ name, x }) => `<span style="left: ${x + 8}px">${name}</span>`).join("")
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(page.title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escape(page.title)}</h1>
${replay}<p>${page.entries.length} entries, ${processes} processes, ${deaths} of them killed by the schedule, ${
    format(duration)
  } of virtual time. Grey: reads. Point at a text to see all of it.</p>
${violations}<div class="lanes">${heads}</div>
${draw(page.entries)}
<details><summary>As text</summary>
<pre>${escape(page.text)}</pre>
</details>
</body>
</html>
`
}
