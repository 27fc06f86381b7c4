import { printable } from './text.ts'
import type { Style } from './text.ts'

export interface Column {
  readonly title: string
  /** Default: left. Numbers read better from the right. */
  readonly align?: 'left' | 'right'
}

const gap = '  '

/** Lays out rows below their titles, each column as wide as its widest cell. Every line ends in a newline. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
): string {
  const cells = rows.map((row) => columns.map((_, index) => oneLine(row[index] ?? '')))
  const widths = columns.map(({ title }, index) =>
    cells.reduce((widest, row) => Math.max(widest, widthOf(row[index] ?? '')), widthOf(title)),
  )
  const layOut = (row: readonly string[]): string =>
    columns
      .map(({ align }, index) => pad(row[index] ?? '', widths[index] ?? 0, align))
      .join(gap)
      .trimEnd()
  const heading = style('bold', layOut(columns.map(({ title }) => title)))
  return [heading, ...cells.map(layOut)].map((line) => `${line}\n`).join('')
}

function oneLine(text: string): string {
  return printable(text).replaceAll('\n', ' ')
}

/** In characters as a terminal counts them, but for wide ones, which names in this field hardly have. */
function widthOf(text: string): number {
  return Array.from(text).length
}

function pad(text: string, width: number, align: Column['align'] = 'left'): string {
  const missing = ' '.repeat(Math.max(0, width - widthOf(text)))
  return align === 'left' ? text + missing : missing + text
}
